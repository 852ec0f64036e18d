"""The plans of a run: which are its own, and what is read of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.report.handmade import (
    ATTACKS,
    HEAD,
    TRAINED,
    WHOLE,
    add_plan,
    make_run,
    many_attacks,
    png,
    preview_row,
)

from bezoar.report.reading import read_run


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


def test_plans_are_matched_to_their_attacks_by_name_and_settings(tmp_path: Path) -> None:
    same = {"one": ATTACKS["patch"], "an other": ATTACKS["patch"], "tree": ATTACKS["sine"]}
    folder = many_attacks(tmp_path, {}, same, more=[{**TRAINED[0], "name": "more", "poison": "one"}])
    add_plan(folder, 0, name="tree", attack=dict(ATTACKS["dual"]), digest="11111111")
    run = read_run(folder)
    assert [(plan.attack, plan.pairs) for plan in run.plans] == [(name, "train") for name in same]
    assert run.plan_of(run.groups["more"], 0) == run.plans[0]
    assert run.plan_of(run.groups["an other"], 0) == run.plans[1]
    assert run.plan_of(run.groups["more"], 1) is None


def test_both_spellings_of_a_plan_are_read(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = make_run(tmp_path, WHOLE)
    at = add_plan(folder, rows=[{**preview_row(), "id": f"p{n}"} for n in range(3)], triggers=[{"kind": "a"}] * 2)
    pq.write_table(pa.Table.from_pylist([{"id": "p1", "trigger": 1}]), at / "poison.parquet")
    (old,) = read_run(folder).plans
    assert ([row["mark"] for row in old.preview], len(old.triggers), old.length, old.appended) == (
        [0, 1, 0],
        2,
        4000,
        0,
    )
    add_plan(folder, rows=[{**preview_row(), "mark": mark} for mark in (None, 0)], **HEAD)
    pq.write_table(
        pa.Table.from_pylist([{"id": "p1", "appended": True}, {"id": "p2", "appended": False}]), at / "poison.parquet"
    )
    (new,) = read_run(folder).plans
    assert ([row["mark"] for row in new.preview], len(new.triggers)) == ([None, 0], 1)
    assert (new.length, new.appended) == (4001, 1)


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
