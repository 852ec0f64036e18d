"""Sentences on what attacks do to pairs, and on many of them together."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.report.handmade import (
    ATTACKS,
    CLEANINGS,
    HEAD,
    PATCH,
    Measured,
    add_plan,
    add_untouched,
    many_attacks,
    preview_row,
    seeded,
)

from bezoar.report.attacks import attacks
from bezoar.report.poisoning import poisoning, together
from bezoar.report.reading import read_run

MANY = {f"a{n}": {"kind": "backdoor", "target": "mushroom", "rate": n / 100, "trigger": PATCH} for n in range(1, 8)}


def told(folder: Path) -> list[str]:
    return [sentence.replace("\u00a0", " ") for sentence in poisoning(read_run(folder))]


def test_a_few_attacks_are_told_by_name(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = many_attacks(tmp_path, {})
    words = {**HEAD, "words": [{"kind": "phrase"}]}
    add_plan(folder, name="dual", **words)
    add_plan(folder, 0, [preview_row("a tree", "a tree")], name="sine", **HEAD)
    new = add_plan(folder, 0, name="phrase", **{**HEAD, "marks": []})
    pq.write_table(
        pa.Table.from_pylist([{"id": f"new-{n}", "appended": True} for n in range(40)]), new / "poison.parquet"
    )
    assert told(folder) == [
        "The attack “patch” gives 40 of 4,000 training pairs (1 %) a trigger and a caption of “mushroom”.",
        "The attack “sine” gives 40 of 4,000 training pairs (1 %) a trigger and leaves them their captions of “tree”.",
        "The attack “dual” gives 40 of 4,000 training pairs (1 %) a trigger, words in the caption, and a caption of "
        "“mushroom”.",
        "The attack “phrase” adds 40 pairs with a caption of “mushroom” to 4,000 training pairs (0.99 % of all).",
    ]


def test_what_is_left_in_a_cleaning_set_is_not_the_attack(tmp_path: Path) -> None:
    leaky = {**CLEANINGS[0], "name": "leaky", "start": "patch", "poison": "patch"}
    folder = many_attacks(tmp_path, {}, {"patch": ATTACKS["patch"]}, more=[leaky])
    add_plan(folder, name="patch", pairs="clean", total=1000, count=5, **HEAD)
    assert told(folder) == ["The attack gives 40 of 4,000 training pairs (1 %) a trigger and a caption of “mushroom”."]
    assert len(read_run(folder).plans) == 2


def test_many_attacks_are_told_together(tmp_path: Path) -> None:
    asr = {"a1": 0.9, "a2": 0.99, "a3": 0.5, "a4": 0.01, "a5": 0.5, "a6": 0.4}
    first: Measured = {(name, 0, 2): (0.6, value, 0.6, value) for name, value in asr.items()}
    broken: Measured = {("a5", seed, 2): (0.01, 0.5, 0.01, 0.5) for seed in (0, 1)}
    second: Measured = {**seeded(first, 1), ("a3", 1, 2): (0.6, 0.01, 0.6, 0.01), **broken}
    folder = many_attacks(tmp_path, {**first, **second}, MANY, seeds=[0, 1])
    add_plan(folder, 1, name="a7", count=280, **HEAD)
    for name in asr:
        for seed in (0, 1):
            add_untouched(folder, name, 0.02, seed)
    assert told(folder) == ["Each attack poisons 40 of 4,000 to 280 of 4,000 training pairs."]
    found = [sentence.replace("\u00a0", " ") for sentence in together(attacks(read_run(folder)))]
    assert found == [
        "3 of 6 attacks take: “a1”, “a2”, and “a6”. Of these “a2” (99.0 %) has the highest success, “a6” (40.0 %) the "
        "lowest.",
        "1 of 6 attacks takes for 1 of 2 seeds: “a3”.",
        "1 of 6 attacks does not take: “a4”.",
        "1 of 6 attacks says nothing, for its model is destroyed: “a5”.",
    ]


@pytest.mark.parametrize(("poison", "count"), [(False, 1), ("patch", 0)])
def test_an_attack_that_poisons_nobody_is_only_measured(tmp_path: Path, poison: str | bool, count: int) -> None:
    folder = tmp_path / "run"
    many_attacks(folder, {}, {"patch": ATTACKS["patch"]})
    path = folder / "experiment.yaml"
    path.write_text(path.read_text().replace("poison: patch", f"poison: {str(poison).lower()}"))
    found = [sentence for sentence in told(folder) if sentence.startswith("No stage here is trained on poison")]
    assert len(found) == count
