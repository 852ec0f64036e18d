"""A model from elsewhere: before and after over the same samples, what is said of it, and what nobody can know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.report.handmade import Measured, N, add_loss, add_records, add_stage, make_run, seeded

from bezoar.core.files import read_json, write_json
from bezoar.metrics import paired_difference, student_t
from bezoar.report import Run, aligned, pooled, read_run, sentences, table

STAGES = ({"name": "cleanclip", "pairs": "clean", "method": {"kind": "finetune", "epochs": 2}},)
KINDS = (500, 120, 60, 320)
"""Right both times, only before, only after, never."""
BEFORE, AFTER = (KINDS[0] + KINDS[1]) / N, (KINDS[0] + KINDS[2]) / N
MEASURED: Measured = {
    ("cleanclip", 0, 0): (0.60, None, BEFORE, None),
    ("cleanclip", 0, 1): (0.58, None, 0.57, None),
    ("cleanclip", 0, 2): (0.56, None, AFTER, None),
}
NOT_KNOWN = "Not known: whether “theirs.pt” was ever poisoned, and whether a backdoor is left."
TRIED = "Only the triggers named here were tried: whether “theirs.pt” has another backdoor is not known"


def ranks(right: Sequence[bool], ids: Sequence[str] | None = None, **more: Any) -> pa.Table:
    ids = ids or [f"p{index}" for index in range(len(right))]
    return pa.table({"id": list(ids), "rank": pa.array([0 if found else 5 for found in right], pa.int32()), **more})


def spread(kinds: Sequence[int]) -> tuple[list[bool], list[bool]]:
    """Whether each sample was right before, and after."""
    both, lost, gained, neither = kinds
    before = [True] * (both + lost) + [False] * (gained + neither)
    return before, [True] * both + [False] * lost + [True] * gained + [False] * neither


def made(folder: Path, measured: Measured = MEASURED, scores: bool = True, **changes: Any) -> Path:
    """The run of somebody who cleans a model; a dictionary of ``measured`` has epoch 0 where it was measured before."""
    changes = {"model": "theirs.pt", "attack": None, **changes}
    make_run(folder, measured, STAGES, **changes)
    for seed in changes.get("seeds", [0]):
        at = add_stage(folder, "cleanclip", seed, given=True)
        for epoch, right in zip((0, 2), spread(KINDS), strict=True):
            if scores:
                pq.write_table(ranks(right), at / "scores" / f"epoch-{epoch:03d}.zero_shot.test.parquet")
    return folder


def told(folder: Path) -> tuple[str, ...]:
    run = read_run(folder)
    return sentences(run, table(run))


def test_before_and_after_stand_beside_each_other_with_the_paired_difference(tmp_path: Path) -> None:
    run = read_run(made(tmp_path))
    wanted = paired_difference(*KINDS)
    assert run.changes == {("cleanclip", 0): {("test", "accuracy_top1"): wanted}}
    first, *rest = sentences(run, table(run))
    assert first == (
        "“theirs.pt” has a clean accuracy of 62.0 % (59.0–65.0, n 1,000) on “test”, “cleanclip” (epoch 2) "
        "56.0 % (52.9–59.0, n 1,000): 6.0 points lower "
        f"({-100 * wanted.high:.1f}–{-100 * wanted.low:.1f})."
    ).replace(" %", "\u00a0%").replace("n 1", "n\u00a01").replace("epoch 2", "epoch\u00a02")
    assert rest[0].startswith(NOT_KNOWN)
    assert rest[1] == "The pairs were taken as they are: nothing here has looked for poison in them."
    assert rest[2].startswith("More is told by trying triggers: bezoar evaluate with --trigger and --target")
    assert "Differences are over the same samples" in " ".join(rest)


def test_the_table_has_the_model_that_was_given(tmp_path: Path) -> None:
    before, after = table(read_run(made(tmp_path)))
    assert (before.role, before.epoch, before.change) == ("before", 0, None)
    assert (after.role, after.epoch) == ("trained", 2)
    assert after.change == pytest.approx(100 * (AFTER - BEFORE))
    assert "before" in aligned([before, after])


def test_a_model_from_elsewhere_that_a_stage_poisons_stands_before_it_too(tmp_path: Path) -> None:
    """As where unlearning, or poison that is left in the clean pairs, lays a plan over what a cleaning learns."""
    poisoned = ({**STAGES[0], "poison": True},)
    make_run(tmp_path, MEASURED, poisoned, model="theirs.pt")
    add_stage(tmp_path, "cleanclip", 0, given=True)
    run = read_run(tmp_path)
    before, after = table(run)
    assert (before.role, before.epoch, before.change) == ("before", 0, None)
    assert after.role == "victim"
    assert after.change == pytest.approx(100 * (AFTER - BEFORE))
    assert any(line.startswith("“theirs.pt” has a clean accuracy of 62.0") for line in sentences(run, table(run)))


def test_small_changes_do_not_stand_out(tmp_path: Path) -> None:
    folder = made(tmp_path)
    (scores,) = folder.glob("stages/*/scores")
    for epoch, right in zip((0, 2), spread((500, 62, 60, 378)), strict=True):
        pq.write_table(ranks(right), scores / f"epoch-{epoch:03d}.zero_shot.test.parquet")
    moved = paired_difference(500, 62, 60, 378)
    low, high = f"−{-100 * moved.low:.1f}", f"+{100 * moved.high:.1f}"
    assert told(folder)[0].endswith(f": no difference stands out ({low} to {high} points).")


def test_without_scores_both_numbers_are_told_all_the_same(tmp_path: Path) -> None:
    folder = made(tmp_path, scores=False)
    assert read_run(folder).changes == {("cleanclip", 0): {}}
    assert "%".join(told(folder)[0].split("%")[-1:]).endswith("1,000).")


def test_everything_else_that_was_measured_is_compared(tmp_path: Path) -> None:
    folder = made(tmp_path, attack={"kind": "backdoor", "target": "mushroom", "rate": 0.01})
    add_records(folder, "asr_top1", 0.5, evaluator="attack_success")
    add_loss(folder, 2.5, 2.4, 2.6)
    (scores,) = folder.glob("stages/*/scores")
    for epoch, right, lower in zip((0, 2), spread((30, 400, 10, 60)), (0.0, 0.5), strict=True):
        cases: dict[str, Any] = {"case": [""] * 500, "label": [1] * 500, "target": [3] * 500}
        pq.write_table(ranks(right, **cases), scores / f"epoch-{epoch:03d}.attack_success.test.parquet")
        losses = pa.table({"id": list("abcd"), "batch": [0, 0, 1, 1], "loss": [2.0 + lower, 2.2, 3.0, 3.1]})
        pq.write_table(losses, scores / f"epoch-{epoch:03d}.contrastive_loss.test.parquet")
    found = read_run(folder).changes["cleanclip", 0]
    assert found["test", "asr_top1"] == paired_difference(30, 400, 10, 60)
    assert found["test", "contrastive_loss"] == pytest.approx(student_t([0.25, 0.0]))
    said = told(folder)
    assert any(
        line.startswith("Its attack success on “test” goes from 50.0") and "points lower" in line for line in said
    )
    assert any(line.startswith("Its contrastive loss on “test” goes from 2.500") and "nats)." in line for line in said)
    assert any(line.startswith(TRIED) for line in said)
    assert not any(line.startswith("Not known") for line in said)


def test_where_nothing_was_measured_it_says_what_to_give(tmp_path: Path) -> None:
    first, second, *_ = told(made(tmp_path, {}, scores=False, labeled={}, evaluators=[]))
    assert first.startswith("Nothing was measured of “theirs.pt”, before or after “cleanclip”: what was done to it is")
    assert "(--val)" in first
    assert "(--held-out)" in first
    assert second.startswith(NOT_KNOWN)


def test_over_seeds_it_is_the_mean_of_their_differences(tmp_path: Path) -> None:
    measured: Mapping[Any, Any] = {**MEASURED, **seeded(MEASURED, 1)}
    run = read_run(made(tmp_path, measured, seeds=[0, 1]))
    first = sentences(run, table(run))[0]
    assert "(epoch\u00a02), on average over 2 seeds, 56.0" in first
    assert first.endswith(": 6.0 points lower (6.0–6.0).")
    assert [row.role for row in table(run)] == ["before", "trained", "trained", "trained"]


def test_what_stages_said_before_they_trained_is_told_once(tmp_path: Path) -> None:
    folder = made(tmp_path)
    (head,) = folder.glob("stages/*/stage.json")
    write_json(head, {**read_json(head), "cautions": ["pairs.clean: 3 of 16 pairs", "pairs.clean: 3 of 16 pairs"]})
    assert [line for line in told(folder) if "3 of 16" in line] == ["pairs.clean: 3 of 16 pairs."]


def test_poison_that_the_history_tells_of_is_known(tmp_path: Path) -> None:
    folder = made(tmp_path)
    (head,) = folder.glob("stages/*/stage.json")
    write_json(head, {**read_json(head), "known_poisoned": True})
    said = told(folder)
    assert not any(line.startswith("Not known") for line in said)
    known = "“theirs.pt” was trained on poisoned pairs, as its history says. Not known: whether a backdoor is left. "
    assert any(line.startswith(known) for line in said)


def test_of_a_model_trained_from_random_weights_nothing_of_it_is_said(tmp_path: Path) -> None:
    measured = {key: values for key, values in MEASURED.items() if key[2]}
    folder = made(tmp_path, measured, scores=False)
    (head,) = folder.glob("stages/*/stage.json")
    write_json(head, {**read_json(head), "given": False})
    run: Run = read_run(folder)
    assert not any("Not known" in line or "theirs.pt" in line for line in sentences(run, table(run)))
    assert [row.role for row in table(run)] == ["trained"]


def test_measures_of_the_pairs_stand_with_the_others(tmp_path: Path) -> None:
    folder = made(tmp_path)
    add_records(folder, "removed_recall", 0.25, data="pairs", evaluator="removed_poison")
    _, row = table(read_run(folder))
    assert row.more["removed_recall"].value == 0.25


def test_seeds_from_several_folders_keep_their_differences(tmp_path: Path) -> None:
    runs = [read_run(made(tmp_path / str(seed), seeded(MEASURED, seed), seeds=[seed])) for seed in (0, 1)]
    (both,) = pooled([replace(run, label="") for run in runs])
    assert set(both.changes) == {("cleanclip", 0), ("cleanclip", 1)}
