"""A run as a value: grids, chains of stages, epochs, measures."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from tests.report.handmade import (
    BEST,
    CLEANINGS,
    EARLY,
    TRAINED,
    WHOLE,
    add_loss,
    add_within,
    make_run,
    many_attacks,
    seeded,
)

from bezoar.core.records import Measure, read_records, write_records
from bezoar.core.yaml import read, render
from bezoar.evaluation.choosing import score
from bezoar.experiment.experiment import parse
from bezoar.report.groups import Point
from bezoar.report.reading import read_run
from bezoar.report.tables import role_of


def test_victims_are_found_through_chains_of_stages(tmp_path: Path) -> None:
    again = {**CLEANINGS[0], "name": "again", "start": "finetune"}
    other = {**CLEANINGS[0], "name": "other", "start": "control"}
    run = read_run(make_run(tmp_path, {}, (*TRAINED, *CLEANINGS, again, other)))
    found = {name: run.victim_of(group) for name, group in run.groups.items()}
    victim = run.groups["victim"]
    assert found == {
        "victim": victim, "control": None, "finetune": victim, "cleanclip": victim, "again": victim, "other": None
    }  # fmt: skip


def test_poison_in_the_pairs_of_a_cleaning_makes_no_victim_of_it(tmp_path: Path) -> None:
    leaky = {**CLEANINGS[0], "name": "leaky", "poison": True}
    after = {**CLEANINGS[0], "name": "after", "start": "leaky"}
    attacked = {**CLEANINGS[0], "name": "attacked", "start": "control", "poison": True}
    run = read_run(make_run(tmp_path, {}, (*TRAINED, leaky, after, attacked)))
    found = {name: (victim.name if (victim := run.victim_of(run.groups[name])) else None) for name in run.groups}
    assert found == {
        "victim": "victim", "control": None, "leaky": "victim", "after": "victim", "attacked": "attacked"
    }  # fmt: skip
    assert role_of(run, run.groups["leaky"]) == "cleaned"


def test_threats_are_those_that_the_experiment_measures(tmp_path: Path) -> None:
    more = [
        {**TRAINED[1], "name": "bare"},
        {**TRAINED[1], "name": "tried", "threat": "sine"},
        {**CLEANINGS[0], "name": "clean", "pairs": "train", "start": "dual"},
    ]
    folder = many_attacks(tmp_path, {}, more=more)
    run, whole = read_run(folder), parse(read(folder / "experiment.yaml"))
    for stage in whole.stages:
        threat = run.threat_of(run.groups[stage.name])
        assert whole.threatening(stage) == (whole.attacks[threat] if threat else None)
    assert [run.threat_of(run.groups[name]) for name in ("bare", "tried", "clean")] == [None, "sine", "dual"]
    assert run.target is None
    assert run.targets_of("sine") == ("tree",)


def test_epochs_are_in_order_and_the_start_is_none_of_them(tmp_path: Path) -> None:
    measured = {("victim", 0, epoch): (0.5, 0.5, 0.5, 0.5) for epoch in (10, 2, 0, 9)}
    run = read_run(make_run(tmp_path, measured))
    assert [point.epoch for point in run.epochs("victim", 0)] == [2, 9, 10]
    assert run.last("victim", 0) == Point("victim", 0, 10)
    assert run.last("victim", 1) is None
    assert run.measures(Point("victim", 0, 0), "test")["asr_top1"].value == 0.5
    assert run.measures(Point("victim", 0, 1), "test") == {}


def test_a_model_within_an_epoch_stands_between_whole_ones(tmp_path: Path) -> None:
    """The records of whole epochs here are old ones, which do not say their steps."""
    folder = make_run(tmp_path, WHOLE)
    assert not read_run(folder).within
    for epoch, step, share in ((1, 150, 0.3), (1, 120, 0.2), (0, 50, 0.1)):
        add_within(folder, "victim", epoch, step, [share] * 4)
    run = read_run(folder)
    assert run.within
    assert [(p.epoch, p.step, p.whole) for p in run.epochs("victim", 0)] == [
        (0, 50, False), (1, 0, True), (1, 120, False), (1, 150, False), (2, 0, True)
    ]  # fmt: skip
    found = [run.measures(point, "test")["accuracy_top1"].value for point in run.epochs("victim", 0)]
    assert found == [0.1, 0.41, 0.2, 0.3, 0.61]
    assert not run.ambiguous
    add_within(folder, "victim", 2, 250, [0.4] * 4)
    assert read_run(folder).last("victim", 0) == Point("victim", 0, 2, 250, False)


@pytest.mark.parametrize("keep", [{}, {"keep": "last"}, {"keep": "none"}, {"best_by": "asr_top1"}])
def test_without_a_word_a_stage_leaves_its_last_model(tmp_path: Path, keep: dict[str, Any]) -> None:
    folder = make_run(tmp_path, EARLY, ({**TRAINED[0], **keep}, TRAINED[1]))
    assert read_run(folder).kept("victim", 0) == Point("victim", 0, 2)
    old = read(folder / "experiment.yaml")
    old["stages"] = [{k: v for k, v in stage.items() if not k.startswith(("keep", "best"))} for stage in old["stages"]]
    (folder / "experiment.yaml").write_text(render(old))
    run = read_run(folder)
    assert run.kept("victim", 0) == run.last("victim", 0) == Point("victim", 0, 2)
    assert not run.keeps_best


@pytest.mark.parametrize(
    ("best_by", "accuracies", "asrs", "expected"),
    [
        ("accuracy_top1", [0.3, 0.6, 0.5], [0.9, 0.9, 0.0], 2),
        ("accuracy_top1", [0.6, 0.6, 0.6], [0.9, 0.8, 0.7], 1),
        ("accuracy_top1", [0.3, 0.4, 0.5], [0.9, 0.9, 0.9], 3),
        ("accuracy_top1", [None, 0.4, None], [0.9, 0.9, 0.9], 2),
        ("asr_top1", [0.6, 0.6, 0.6], [0.9, 0.2, 0.7], 2),
        ("asr_top1", [0.6, 0.7, 0.6], [0.2, 0.9, 0.2], 1),
        ("asr_top1", [0.6, 0.7, 0.6], [None, None, None], None),
    ],
)
def test_the_best_model_is_that_of_a_dumber_loop(
    tmp_path: Path, best_by: str, accuracies: list[float | None], asrs: list[float | None], expected: int | None
) -> None:
    """On the set of the choice, of equal ones the first; the other set and the model at the start do not count."""
    numbers = zip((1, 2, 3), accuracies, asrs, strict=True)
    measured = {("victim", 0, n): (accuracy, asr, 1 - n / 10, n / 10) for n, accuracy, asr in numbers}
    stages = ({**TRAINED[0], "keep": "best", "best_by": best_by}, *CLEANINGS)
    folder = make_run(tmp_path, {**measured, ("victim", 0, 0): (1.0, 0.0, 1.0, 0.0)}, stages)
    run = read_run(folder)
    assert run.kept("victim", 0) == (Point("victim", 0, expected) if expected else None)
    best, kept = None, None
    for epoch in (1, 2, 3):
        found = [
            Measure(metric=r.metric, value=r.value, low=r.low, high=r.high, n=r.n, data=r.data)
            for r in run.records
            if (r.epoch, r.metric, r.data) == (epoch, best_by, "validation")
        ]
        value = score(found, "validation", best_by) if found else None
        if value is not None and (best is None or value > best):
            best, kept = value, epoch
    assert kept == expected


def test_a_loss_is_best_where_it_is_least(tmp_path: Path) -> None:
    stages = ({**TRAINED[0], "keep": "best", "best_by": "contrastive_loss"}, *CLEANINGS)
    folder = make_run(tmp_path, WHOLE, stages)
    add_loss(folder, 4.5, 4.0, 5.0, data="validation")
    found = [
        dataclasses.replace(r, value=r.value + r.epoch) if r.metric == "contrastive_loss" else r
        for r in read_records(folder / "records.jsonl")
    ]
    write_records(folder / "records.jsonl", found)
    assert read_run(folder).kept("victim", 0) == Point("victim", 0, 1)


def test_a_model_within_an_epoch_may_be_the_best(tmp_path: Path) -> None:
    folder = make_run(tmp_path, EARLY, BEST)
    assert read_run(folder).kept("victim", 0) == Point("victim", 0, 1)
    add_within(folder, "victim", 1, 150, [0.7, 0.5, 0.1, 0.5])
    assert read_run(folder).kept("victim", 0) == Point("victim", 0, 1, 150, False)


def test_each_point_and_seed_has_a_best_of_its_own(tmp_path: Path) -> None:
    stages = (*TRAINED, {**CLEANINGS[1], "keep": "best"})
    second = {**seeded(WHOLE, 1), ("cleanclip lr=0.001", 1, 2): (0.9, 0.0, 0.9, 0.0)}
    run = read_run(make_run(tmp_path, {**WHOLE, **second}, stages, seeds=[0, 1]))
    found = {(lr, seed): run.kept(f"cleanclip lr={lr}", seed) for lr in ("1e-05", "0.001") for seed in (0, 1, 2)}
    assert {key: point.epoch if point else None for key, point in found.items()} == {
        ("1e-05", 0): 1, ("0.001", 0): 1, ("1e-05", 1): 1, ("0.001", 1): 2, ("1e-05", 2): None, ("0.001", 2): None
    }  # fmt: skip
    assert run.kept("no such stage", 0) is None


def test_of_two_evaluators_with_one_metric_the_first_has_its_name(tmp_path: Path) -> None:
    folder = make_run(tmp_path, WHOLE)
    found = read_records(folder / "records.jsonl")
    second = dataclasses.replace(found[0], evaluator="zero_shot-2", value=0.123)
    write_records(folder / "records.jsonl", [*found, second])
    run = read_run(folder)
    measures = run.measures(Point("victim", 0, 1), "validation")
    assert run.ambiguous
    assert {name: interval.value for name, interval in measures.items()} == {
        "accuracy_top1": 0.4, "asr_top1": 0.5, "accuracy_top1 (zero_shot-2)": 0.123
    }  # fmt: skip


def test_one_split_under_two_names_is_one_split(tmp_path: Path) -> None:
    same = {"kind": "scenes", "split": "test", "count": 100}
    assert not read_run(make_run(tmp_path / "a", {}, labeled={"validation": same, "test": same})).splits_differ
    assert not read_run(make_run(tmp_path / "b", {}, select_on="test")).splits_differ
    held = {"validation": {"kind": "scenes", "split": "clean", "count": 100}}
    pairs = {**held, "test": {"kind": "scenes", "split": "train", "count": 100}}
    assert read_run(make_run(tmp_path / "c", {}, labeled={"test": same}, held_out=held)).splits_differ
    assert read_run(make_run(tmp_path / "d", {}, labeled={}, held_out=pairs)).splits_differ
