"""A run as a value: grids, chains of stages, epochs, measures."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tests.report.handmade import CLEANINGS, TRAINED, WHOLE, add_within, make_run, many_attacks

from bezoar.core.records import read_records, write_records
from bezoar.core.yaml import read
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
