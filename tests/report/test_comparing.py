"""What is said of several runs: every number with its partner, every caveat where it belongs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.report.handmade import WHOLE, Measured, make_run, seeded

from bezoar.core.files import write_json
from bezoar.report.comparing import compared
from bezoar.report.pooling import read_runs

HIGHER = seeded(WHOLE, 0, 0.03)


def tell(folder: Path, second: Measured = HIGHER, first: Measured = WHOLE, **changes: Any) -> str:
    folders = [make_run(folder / "a", first, name="one"), make_run(folder / "b", second, **{"name": "two", **changes})]
    return "\n".join(compared(read_runs(folders))).replace("\u00a0", " ")


def test_the_whole_comparison(tmp_path: Path) -> None:
    assert tell(tmp_path).splitlines() == [
        "2 runs stand beside each other: “one” (seed 0) and “two” (seed 0).",
        "They differ in no setting: what differs between them is chance, the code and the machine.",
        "Before any cleaning the attack success is highest in “victim” of “two”, 99.0 % (98.2–99.5) at a clean "
        "accuracy of 64.0 % (61.0–66.9), and lowest in “victim” of “one”, 96.0 % (94.6–97.0) at a clean accuracy of "
        "61.0 % (57.9–64.0).",
        "Of all cleanings that keep the accuracy, “cleanclip” of “one” leaves the least attack success: 8.0 % "
        "(6.5–9.8) at a clean accuracy of 59.0 % (55.9–62.0).",
        "Each run has one seed: how much of a difference between runs is chance is not known.",
    ]


def test_remedies_that_do_not_differ_are_said_to_overlap(tmp_path: Path) -> None:
    text = tell(tmp_path, WHOLE)
    assert "Also at 10 % or less: “cleanclip” of “two”, 8.0 % (6.5–9.8) at a clean accuracy of 59.0 %" in text
    assert "(the two intervals overlap)" in text


def test_no_remedy(tmp_path: Path) -> None:
    rest = {key: values for key, values in WHOLE.items() if not key[0].startswith("cleanclip")}
    assert "No cleaning of these runs keeps the accuracy and brings the attack success to 10 %" in tell(
        tmp_path, rest, rest
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"report_on": "validation"}, "not all measured on the same pictures"),
        ({"attack": {"kind": "backdoor", "target": "tree", "rate": 0.01}}, "do not all have the same target class"),
        ({"model": "micro-vit-32"}, "They differ in model."),
        ({"name": "one", "seeds": [0, 4]}, "“b” is not finished: 5 of 10 stages are done."),
    ],
)
def test_caveats(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    assert said not in tell(tmp_path / "without")
    assert said in tell(tmp_path / "with", **changes)


def test_other_revisions_are_mentioned(tmp_path: Path) -> None:
    tell(tmp_path)
    write_json(tmp_path / "b" / "environment.json", {"git": "another"})
    assert "made with different revisions" in "\n".join(compared(read_runs([tmp_path / "a", tmp_path / "b"])))


def test_pooled_seeds_are_counted(tmp_path: Path) -> None:
    folders = [
        make_run(tmp_path / "a", WHOLE),
        make_run(tmp_path / "b", seeded(WHOLE, 1), seeds=[1]),
        make_run(tmp_path / "c", WHOLE, name="other"),
    ]
    text = "\n".join(compared(read_runs(folders)))
    assert "“by hand” (seeds 0, 1 from 2 folders)" in text
    assert "Each run has one seed" not in text
