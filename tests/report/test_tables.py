"""Tables: recomputed from the records by a dumber loop, for one seed and several, whole and half."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
from tests.report.handmade import (
    BEST,
    CLEANINGS,
    EARLY,
    TRAINED,
    WHOLE,
    Measured,
    N,
    add_loss,
    add_records,
    add_stage,
    add_within,
    make_run,
    many_attacks,
    seeded,
    share,
)

from bezoar.core.records import read_records, write_records
from bezoar.metrics import wilson
from bezoar.report.grid import further, grid
from bezoar.report.reading import read_run
from bezoar.report.sentences import sentences
from bezoar.report.tables import DESTROYED, NONE_WITHIN, NOT_CHOSEN, Row, every_epoch, last_epochs, plain, table

T_TWO_SEEDS = 12.7062
"""Student's t for 95 % and one degree of freedom, from a printed table."""


def rows_of(folder: Path, measured: Measured, **changes: Any) -> tuple[Row, ...]:
    return table(read_run(make_run(folder, measured, **changes)))


def test_one_seed_by_hand(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, WHOLE)
    found = [
        (
            r.role,
            r.group,
            dict(r.settings),
            r.epoch,
            r.accuracy and r.accuracy.value,
            r.asr and r.asr.value,
            r.change and round(r.change, 6),
        )
        for r in rows
    ]
    assert found == [
        ("victim", "victim", {}, 2, 0.61, 0.96, None),
        ("control", "control", {}, 2, 0.63, 0.03, None),
        ("cleaned", "finetune", {}, 2, 0.57, 0.85, -4.0),
        ("cleaned", "cleanclip", {"lr": 0.001}, 1, 0.59, 0.08, -2.0),
    ]
    assert [row.chosen for row in rows] == [False, False, True, True]
    assert not any(row.notes or row.part for row in rows)
    assert [row.victim for row in rows] == [None, None, "victim", "victim"]


def test_intervals_and_counts_are_those_of_the_records(tmp_path: Path) -> None:
    for row in (*rows_of(tmp_path, WHOLE), *every_epoch(read_run(tmp_path))):
        (accuracy, asr) = WHOLE[row.stage, 0, row.epoch or 0][2:]
        assert row.accuracy == wilson(round((accuracy or 0) * N), N)
        assert row.asr == wilson(round((asr or 0) * N), N)


def test_every_record_of_the_reported_split_is_in_a_row(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, WHOLE))
    expected = {}
    for record in read_records(tmp_path / "records.jsonl"):
        if record.data == "test":
            expected[record.stage, record.epoch, record.metric] = record.value
    found: dict[tuple[str, int | None, str], float | None] = {}
    for row in every_epoch(run):
        found[row.stage, row.epoch, "accuracy_top1"] = row.accuracy.value if row.accuracy else None
        found[row.stage, row.epoch, "asr_top1"] = row.asr.value if row.asr else None
    assert found == expected
    last = {(row.stage, row.epoch) for row in last_epochs(run)}
    assert last == {(stage, 2) for stage, _, _ in WHOLE}
    assert [(row.stage, row.epoch) for row in every_epoch(run) if row.chosen] == [
        ("finetune", 2),
        ("cleanclip lr=0.001", 1),
    ]


def test_two_seeds_have_a_mean_before_them(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, {**WHOLE, **seeded(WHOLE, 7, 0.02)}, seeds=[0, 7])
    assert [(row.group, row.seed, row.part) for row in rows[:3]] == [
        ("victim", None, False),
        ("victim", 0, True),
        ("victim", 7, True),
    ]
    assert len(rows) == 12
    for start in range(0, 12, 3):
        mean, *seeds = rows[start : start + 3]
        values = [row.accuracy.value for row in seeds if row.accuracy]
        half = T_TWO_SEEDS * stdev(values) / 2**0.5
        assert mean.accuracy == pytest.approx((fmean(values), fmean(values) - half, fmean(values) + half, 2), abs=1e-5)
        assert mean.asr
        assert mean.asr.value == pytest.approx(fmean(row.asr.value for row in seeds if row.asr))
        if mean.victim:
            assert mean.change == pytest.approx(fmean(row.change for row in seeds if row.change is not None))


def test_seeds_that_choose_differently_share_what_is_common(tmp_path: Path) -> None:
    second = {**seeded(WHOLE, 1), ("cleanclip lr=0.001", 1, 1): (0.57, 0.9, 0.5, 0.05)}
    second["cleanclip lr=0.001", 1, 2] = (0.58, 0.1, 0.5, 0.05)
    mean, first, other = rows_of(tmp_path / "a", {**WHOLE, **second}, seeds=[0, 1])[-3:]
    assert (first.epoch, other.epoch, mean.epoch, mean.settings) == (1, 2, None, {"lr": 0.001})
    second["cleanclip lr=0.001", 1, 2] = (0.1, 0.1, 0.5, 0.05)
    mean, _, other = rows_of(tmp_path / "b", {**WHOLE, **second}, seeds=[0, 1])[-3:]
    assert (other.settings, mean.settings) == ({"lr": 1e-5}, {})


def test_one_finished_seed_of_two_stands_alone(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, WHOLE, seeds=[0, 1])
    assert [(row.seed, row.part) for row in rows] == [(0, False)] * 4


def test_notes_say_what_is_missing_and_what_is_broken(tmp_path: Path) -> None:
    measured = {key: values for key, values in WHOLE.items() if key[0] != "cleanclip lr=0.001"}
    measured["finetune", 0, 1] = measured["finetune", 0, 2] = (0.03, 0.0, 0.03, 0.0)
    folder = make_run(tmp_path, measured)
    add_stage(folder, "victim", classes=32)
    rows = {row.group: row for row in table(read_run(folder))}
    assert rows["finetune"].notes == (DESTROYED, NONE_WITHIN)
    assert rows["cleanclip"].notes == ("1 of 2 settings measured",)
    assert rows["victim"].notes == ()


def test_notes_of_a_mean_say_for_how_many_seeds(tmp_path: Path) -> None:
    broken = {**seeded(WHOLE, 1), ("finetune", 1, 1): (0.1, 0, 0.1, 0), ("finetune", 1, 2): (0.2, 0, 0.2, 0)}
    rows = rows_of(tmp_path, {**WHOLE, **broken}, seeds=[0, 1])
    assert [row.notes for row in rows if row.group == "finetune"] == [
        (f"{NONE_WITHIN} (1 of 2 seeds)",),
        (),
        (NONE_WITHIN,),
    ]


def test_without_an_attack_there_are_accuracies_alone(tmp_path: Path) -> None:
    stages = ({**TRAINED[0], "poison": False}, CLEANINGS[1])
    clean = {key: (values[0], None, values[2], None) for key, values in WHOLE.items() if key[0] != "finetune"}
    rows = table(read_run(make_run(tmp_path, clean, stages, attack=None)))
    assert [(row.role, row.stage, row.epoch, row.asr) for row in rows] == [
        ("trained", "victim", 2, None),
        ("trained", "cleanclip lr=1e-05", 2, None),
        ("trained", "cleanclip lr=0.001", 2, None),
    ]


def test_where_no_attack_success_was_measured_nothing_is_chosen(tmp_path: Path) -> None:
    clean = {key: (values[0], None, values[2], None) for key, values in WHOLE.items()}
    rows = [row for row in rows_of(tmp_path, clean) if row.role == "cleaned"]
    assert [(row.stage, row.epoch, row.chosen, row.notes) for row in rows] == [
        (stage, 2, False, (NOT_CHOSEN,)) for stage in ("finetune", "cleanclip lr=1e-05", "cleanclip lr=0.001")
    ]


KEPT = "kept: best on validation by clean accuracy, top-1"


def test_a_victim_that_keeps_its_best_model_stands_there(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, EARLY, stages=BEST)
    assert [(row.group, row.epoch, row.notes, row.change and round(row.change, 6)) for row in rows] == [
        ("victim", 1, (KEPT,), None),
        ("control", 2, (), None),
        ("finetune", 2, (), -3.0),
        ("cleanclip", 2, (), 0.0),
    ]
    run = read_run(tmp_path)
    assert [(row.epoch, row.notes) for row in every_epoch(run) if row.group == "victim"] == [(1, (KEPT,)), (2, ())]
    last = last_epochs(run)
    assert [(row.epoch, row.notes) for row in last] == [(2, ())] * 5
    assert [row.change and round(row.change, 6) for row in last] == [None, None, -3.0, 0.0, -9.0]


def test_a_mean_over_models_that_are_kept(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, {**EARLY, **seeded(WHOLE, 1)}, stages=BEST, seeds=[0, 1])
    mean, first, second = (row for row in rows if row.group == "victim")
    assert [(row.epoch, row.notes) for row in (mean, first, second)] == [(None, (KEPT,)), (1, (KEPT,)), (2, (KEPT,))]
    assert mean.accuracy
    assert mean.accuracy.value == pytest.approx((0.60 + 0.61) / 2)


def test_a_cleaning_that_keeps_its_best_model_is_chosen_like_any(tmp_path: Path) -> None:
    stages = (*TRAINED, CLEANINGS[0], {**CLEANINGS[1], "keep": "best"})
    *_, cleaned = rows_of(tmp_path / "a", WHOLE, stages=stages)
    assert (cleaned.stage, cleaned.epoch, cleaned.chosen, cleaned.notes) == ("cleanclip lr=0.001", 1, True, (KEPT,))
    clean = {key: (values[0], None, values[2], None) for key, values in WHOLE.items()}
    rows = [row for row in rows_of(tmp_path / "b", clean, stages=stages) if row.role == "cleaned"]
    assert [(row.stage, row.epoch, row.chosen, row.notes) for row in rows] == [
        ("finetune", 2, False, (NOT_CHOSEN,)),
        ("cleanclip lr=1e-05", 1, False, (KEPT,)),
        ("cleanclip lr=0.001", 1, False, (KEPT,)),
    ]


def test_an_attack_success_without_its_accuracy_is_not_shown(tmp_path: Path) -> None:
    alone = {**WHOLE, ("control", 0, 2): (None, 0.02, None, 0.03)}
    rows = rows_of(tmp_path, alone)
    assert all(row.group != "control" for row in rows)
    assert {row.epoch for row in every_epoch(read_run(tmp_path)) if row.group == "control"} == {1}


def test_a_run_without_records_has_no_rows(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, {}))
    assert table(run) == last_epochs(run) == every_epoch(run) == ()


def test_a_model_within_an_epoch_says_its_step(tmp_path: Path) -> None:
    folder = make_run(tmp_path, WHOLE)
    add_within(folder, "finetune", 0, 50, [0.58, 0.9, 0.58, 0.9])
    add_within(folder, "finetune", 1, 1150, [0.58, 0.05, 0.56, 0.25])
    run = read_run(folder)
    rows = [row for row in every_epoch(run) if row.group == "finetune"]
    assert [(row.epoch, row.step, row.within, row.chosen) for row in rows] == [
        (0, 50, 50, False), (1, None, None, False), (1, 1150, 1150, True), (2, None, None, False)
    ]  # fmt: skip
    cells = [line[3].replace("\u00a0", " ") for line in grid(rows).lines]
    assert cells == ["epoch 0, step 50", "epoch 1", "epoch 1, step 1,150", "epoch 2"]
    (chosen,) = (row for row in table(run) if row.group == "finetune")
    assert chosen.asr == share(0.25)
    assert plain([chosen])[0]["step"] == 1150
    assert not plain([chosen])[0]["whole"]
    (told,) = (one for one in sentences(run, table(run)) if one.startswith("“finetune”") and "leaves" in one)
    assert told.replace("\u00a0", " ").startswith("“finetune” (epoch 1, step 1,150) leaves an attack success of 25.0 %")


def test_a_mean_has_the_step_that_all_seeds_have(tmp_path: Path) -> None:
    folder = make_run(tmp_path, {**WHOLE, **seeded(WHOLE, 1)}, seeds=[0, 1])
    best = [0.58, 0.01, 0.56, 0.25]
    for seed in (0, 1):
        add_within(folder, "finetune", 1, 150, best, seed)
    mean, *_ = (row for row in table(read_run(folder)) if row.group == "finetune")
    assert (mean.epoch, mean.step, mean.within) == (1, 150, 150)
    add_within(folder, "finetune", 1, 160, [0.58, 0.0, 0.56, 0.25], 1)
    mean, *_ = (row for row in table(read_run(folder)) if row.group == "finetune")
    assert (mean.epoch, mean.step, mean.within) == (None, None, None)
    whole = [
        dataclasses.replace(r, step=100 * r.epoch + r.seed) for r in read_records(folder / "records.jsonl") if r.whole
    ]
    write_records(folder / "records.jsonl", whole)
    mean, *parts = (row for row in table(read_run(folder)) if row.group == "finetune")
    assert (mean.epoch, mean.step, [part.step for part in parts]) == (2, None, [200, 201])


def test_a_loss_stands_beside_the_rest_as_a_number(tmp_path: Path) -> None:
    folder = make_run(tmp_path, {**WHOLE, **seeded(WHOLE, 1)}, seeds=[0, 1])
    add_loss(folder, 4.8525, 4.8, 4.9)
    mean, row = table(read_run(folder))[:2]
    assert list(mean.losses) == list(row.losses) == ["contrastive_loss"]
    found = grid([row])
    assert found.head[-5:-3] == ("Contrastive loss", "Clean accuracy")
    assert found.lines[0][-5].replace("\u00a0", " ") == "4.853 (4.800–4.900, n 896)"
    assert further([row]) == ("contrastive_loss",)


def test_a_loss_alone_makes_rows(tmp_path: Path) -> None:
    pairs = {"kind": "scenes", "split": "clean", "count": 100}
    folder = make_run(tmp_path, WHOLE, held_out={"test": pairs, "validation": pairs}, labeled={})
    add_loss(folder, 4.8525, 4.8, 4.9)
    found = [r for r in read_records(folder / "records.jsonl") if r.metric == "contrastive_loss"]
    write_records(folder / "records.jsonl", found)
    run = read_run(folder)
    rows = every_epoch(run)
    assert len(rows) == len(WHOLE)
    assert "Clean accuracy" not in grid(rows).head
    assert "has a contrastive loss of 4.853 (4.800–4.900)" in " ".join(sentences(run, table(run)))


def test_plain_rows_are_json(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, WHOLE)
    values = json.loads(json.dumps(plain(rows)))
    assert [value["asr_top1"]["value"] for value in values] == [0.96, 0.03, 0.85, 0.08]
    assert values[3]["settings"] == {"lr": 0.001}
    assert rows[3].accuracy
    assert values[3]["accuracy_top1"] == rows[3].accuracy._asdict()


def test_a_mean_is_over_all_seeds_or_there_is_none(tmp_path: Path) -> None:
    second = {**seeded(WHOLE, 1), ("control", 1, 2): (0.6, None, 0.6, None)}
    control = [row for row in rows_of(tmp_path / "a", {**WHOLE, **second}, seeds=[0, 1]) if row.group == "control"]
    assert [row.asr is None for row in control] == [True, False, True]
    clean = {key: (a, None, c, None) for key, (a, _, c, _) in {**WHOLE, **seeded(WHOLE, 1)}.items()}
    del clean["victim", 1, 1], clean["victim", 1, 2]
    finetune = [row for row in rows_of(tmp_path / "b", clean, seeds=[0, 1]) if row.group == "finetune"]
    assert [row.change is None for row in finetune] == [True, False, True]


def test_a_cleaned_model_says_so_where_another_attack_is_measured(tmp_path: Path) -> None:
    more = [
        {**CLEANINGS[0], "name": name, "start": "patch", "poison": poison}
        for name, poison in (("again", "sine"), ("leaky", "patch"))
    ]
    measured = {(name, 0, 2): WHOLE["finetune", 0, 2] for name in ("patch", "again", "leaky")}
    run = read_run(many_attacks(tmp_path, measured, more=more))
    assert [(row.group, row.role, row.victim, row.notes) for row in table(run)] == [
        ("patch", "victim", None, ()),
        ("again", "cleaned", "patch", ("under attack sine",)),
        ("leaky", "cleaned", "patch", ()),
    ]


def test_retrieval_is_told_with_the_set_it_was_measured_on(tmp_path: Path) -> None:
    pairs = {"kind": "scenes", "split": "clean", "count": 100}
    folder = make_run(tmp_path, WHOLE, held_out={"test": pairs, "validation": pairs})
    add_records(folder, "text_recall_top1", 0.4)
    add_records(folder, "text_recall_top10", 0.8)
    add_records(folder, "text_recall_top1", 0.9, data="validation")
    row = table(read_run(folder))[0]
    assert list(row.recall) == ["text_recall_top1"]
    assert {name: interval.value for name, interval in row.more.items()} == {
        "text_recall_top1": 0.4, "text_recall_top10": 0.8
    }  # fmt: skip
    assert list(row.measured)[:2] == ["accuracy_top1", "asr_top1"]


def test_held_out_sets_of_other_names_stand_beside_the_reported_one(tmp_path: Path) -> None:
    pairs = {"kind": "scenes", "split": "clean", "count": 100}
    folder = make_run(tmp_path, WHOLE, held_out={"flowers": pairs, "validation": pairs, "ships": pairs})
    for name, value in (("flowers", 0.3), ("ships", 0.2), ("validation", 0.9)):
        add_records(folder, "image_recall_top1", value, data=name)
    run = read_run(folder)
    assert run.measured_on == "test and flowers and ships"
    found = {name: interval.value for name, interval in table(run)[0].recall.items()}
    assert found == {"image_recall_top1": 0.3, "image_recall_top1 on ships": 0.2}


def test_a_linear_probe_stands_beside_the_clean_accuracy(tmp_path: Path) -> None:
    folder = make_run(tmp_path, WHOLE)
    for metric, value in (("accuracy_top1", 0.7), ("accuracy_top5", 0.9), ("asr_top1", 0.2)):
        add_records(folder, f"linear_probe_{metric}", value, evaluator="linear_probe")
    rows = table(read_run(folder))
    assert {name: one.value for name, one in rows[0].probes.items()} == {
        "linear_probe_accuracy_top1": 0.7, "linear_probe_asr_top1": 0.2
    }  # fmt: skip
    found = grid(rows)
    at = found.head.index("Linear probe accuracy, top-1")
    assert found.head[at + 1 : at + 3] == ("Linear probe attack success, top-1", "Clean accuracy")
    assert found.lines[0][at].startswith("70.0\u00a0% (")


def test_a_model_of_which_only_a_probe_was_fitted_has_a_row(tmp_path: Path) -> None:
    folder = make_run(tmp_path, {("victim", 0, 1): (0.4, None, 0.4, None)})
    add_records(folder, "trained_probe_accuracy_top1", 0.7, evaluator="trained_probe")
    kept = [r for r in read_records(folder / "records.jsonl") if r.evaluator == "trained_probe"]
    write_records(folder / "records.jsonl", kept)
    (row,) = table(read_run(folder))
    assert row.accuracy is None
    assert row.probes["trained_probe_accuracy_top1"].value == 0.7
