"""Run folders: what is read, what is passed over, what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.report.handmade import WHOLE, add_plan, add_stage, make_run, png, preview_row

from bezoar.core.files import write_text
from bezoar.report.reading import read_run


def test_a_run_is_what_its_files_say(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, WHOLE))
    assert (run.name, run.seeds, run.select_on, run.report_on) == ("by hand", (0,), "validation", "test")
    assert run.environment["packages"] == {"torch": "2.9"}
    assert len(run.records) == 4 * len(WHOLE)
    assert len(run.steps) == 4
    assert (run.target, run.on_scenes, run.splits_differ, run.ambiguous) == ("mushroom", True, True, False)
    assert run.plans == ()
    assert run.missing == ()
    assert run.classes is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "is not a run folder: it has no experiment.yaml"),
        ("- 1\n", "no list of stages"),
        ("name: x\n", "no list of stages"),
        ("stages: [1]\n", "no list of stages"),
        ("stages: [{name: a}]\n", "no list of stages"),
        ("stages: [\n", "not valid YAML"),
    ],
)
def test_other_folders_are_refused(tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        write_text(tmp_path / "experiment.yaml", content)
    with pytest.raises(ValueError, match=said):
        read_run(tmp_path)


def test_a_run_that_has_only_begun_can_be_read(tmp_path: Path) -> None:
    folder = make_run(tmp_path, {})
    for name in ("records.jsonl", "steps.jsonl", "environment.json"):
        (folder / name).unlink()
    run = read_run(folder)
    assert (run.records, run.steps, run.environment) == ((), (), {})
    assert run.missing == (
        ("victim", 0), ("control", 0), ("finetune", 0), ("cleanclip lr=1e-05", 0), ("cleanclip lr=0.001", 0)
    )  # fmt: skip


def test_stages_of_other_settings_are_passed_over(tmp_path: Path) -> None:
    folder = make_run(tmp_path, WHOLE)
    add_stage(folder, "cleanclip lr=0.001", seconds=7.0)
    old = add_stage(folder, "cleanclip lr=1e-05", digest="ffffffff", seconds=1.0)
    os.utime(old / "stage.json", (1, 1))
    add_stage(folder, "cleanclip lr=1e-05", seconds=2.0)
    add_stage(folder, "finetune", method={"kind": "finetune", "epochs": 99})
    run = read_run(folder)
    assert {key: head["seconds"] for key, head in run.stages.items()} == {
        ("cleanclip lr=0.001", 0): 7.0,
        ("cleanclip lr=1e-05", 0): 2.0,
    }
    assert run.classes == 32


def test_plans_are_those_of_the_attack_and_the_seeds(tmp_path: Path) -> None:
    folder = make_run(tmp_path, WHOLE, seeds=[0, 2])
    add_plan(folder, 2, rows=[preview_row("two")])
    add_plan(folder, 1)
    old = add_plan(folder, 0, rows=[preview_row("old")], digest="ffffffff")
    os.utime(old / "poison.json", (1, 1))
    add_plan(folder, 0, rows=[preview_row("zero")])
    add_plan(folder, 0, attack={"kind": "backdoor", "target": "tree"}, digest="11111111")
    (add_plan(folder, 0, digest="22222222") / "poison.json").unlink()
    run = read_run(folder)
    assert [(plan.pairs, plan.seed, plan.preview[0]["original"]) for plan in run.plans] == [
        ("train", 0, "zero"),
        ("train", 2, "two"),
    ]


@pytest.mark.parametrize(("digest", "count"), [("", 1), ("0a1b2c3d4e5f6071", 1), ("ffff", 0)])
def test_a_plan_made_before_is_known_by_its_digest(tmp_path: Path, digest: str, count: int) -> None:
    folder = make_run(tmp_path, WHOLE, attack={"kind": "planned", "folder": "there", "digest": digest})
    add_plan(folder, 0, attack={"kind": "backdoor", "target": "tree"})
    run = read_run(folder)
    assert len(run.plans) == count
    assert run.target == ("tree" if count else None)


def test_a_plan_may_lack_pictures_but_not_hold_broken_ones(tmp_path: Path) -> None:
    folder = make_run(tmp_path, WHOLE)
    path = add_plan(folder) / "preview.parquet"
    path.unlink()
    assert read_run(folder).plans[0].preview == ()
    path.write_bytes(png())
    with pytest.raises(ValueError, match=r"preview\.parquet: cannot be read"):
        read_run(folder)
