"""One stage: how it is called, what it starts from, and that two processes do not work at it at once."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import tiny

import bezoar.experiment.stages
import bezoar.training.loop
from bezoar.core.files import exclusive, read_json, write_json
from bezoar.core.records import Record, now, write_records
from bezoar.experiment.experiment import parse
from bezoar.experiment.stages import DONE, Job, run_stage


def job(tmp_path: Path, number: int = 2, seeds: tuple[int, ...] = (0,)) -> Job:
    experiment = parse(tiny.experiment(seeds=list(seeds)))
    return Job(experiment, experiment.expanded()[number], seeds[-1], tmp_path)


def test_what_it_starts_from(tmp_path: Path) -> None:
    assert job(tmp_path).start == job(tmp_path, 0)
    assert job(tmp_path, 0).start is None


def test_the_seed_is_said_where_there_are_several(tmp_path: Path) -> None:
    assert job(tmp_path).label == "cleanclip"
    assert job(tmp_path, seeds=(3, 4)).label == "cleanclip, seed 4"


def test_a_finished_stage_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bezoar.training.loop, "train", lambda *_, **__: pytest.fail("trained"))
    one = job(tmp_path)
    assert not one.done
    write_json(one.folder / DONE, {})
    assert one.done
    run_stage(one)
    assert [path.name for path in one.folder.iterdir()] == [DONE]


def test_a_stage_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    one = job(tmp_path)
    write_json(one.folder / DONE, {"schema": 2})
    with pytest.raises(ValueError, match=rf"^{one.folder / DONE}: schema 2, this version reads 1$"):
        run_stage(one)
    (one.folder / DONE).write_text("{")
    with pytest.raises(ValueError, match=rf"^{one.folder / DONE}: cannot be read: "):
        assert one.done


def test_one_that_another_process_finished_meanwhile_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker of a killed run may come to its end while the next run waits for the folder."""
    one = job(tmp_path, 0)

    @contextlib.contextmanager
    def waited(folder: Path, patience: float = 0) -> Iterator[None]:
        write_json(folder / DONE, {})
        yield

    monkeypatch.setattr(bezoar.experiment.stages, "exclusive", waited)
    monkeypatch.setattr(bezoar.training.loop, "train", lambda *_, **__: pytest.fail("trained"))
    run_stage(one)


def test_records_come_in_the_order_of_epochs(tmp_path: Path) -> None:
    one = job(tmp_path)
    for epoch in (10, 2, 1, 100):
        record = Record(
            run="tiny", stage="cleanclip", after="cleanclip", epoch=epoch, evaluator="zero_shot", data="validation",
            metric="accuracy_top1", value=0.5, low=0.4, high=0.6, n=10, seed=0, git="", at=now(),
        )  # fmt: skip
        write_records(one.folder / "records" / f"epoch-{epoch:03d}.jsonl", [record])
    assert [record.epoch for record in one.records()] == [1, 2, 10, 100]


def test_records_within_epochs_come_in_the_order_of_steps(tmp_path: Path) -> None:
    one = job(tmp_path)
    for name, epoch, step in (
        ("epoch-000", 0, 0), ("epoch-000-step-000002", 0, 2), ("epoch-001", 1, 3), ("epoch-001-step-000004", 1, 4),
        ("epoch-999-step-1000000", 999, 1_000_000), ("epoch-1000", 1000, 1_000_001),
    ):  # fmt: skip
        record = Record(
            run="tiny", stage="cleanclip", after="cleanclip", epoch=epoch, step=step, evaluator="zero_shot",
            data="validation", metric="accuracy_top1", value=0.5, low=0.4, high=0.6, n=10, seed=0, git="", at=now(),
        )  # fmt: skip
        write_records(one.folder / "records" / f"{name}.jsonl", [record])
    assert [record.step for record in one.records()] == [0, 2, 3, 4, 1_000_000, 1_000_001]


def test_two_at_one_stage_are_one_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker of a run that was killed may be at it for a moment yet, so there is some patience."""
    asked: list[float] = []

    def impatient(folder: Path, patience: float = 0) -> object:
        asked.append(patience)
        return exclusive(folder)

    monkeypatch.setattr(bezoar.experiment.stages, "exclusive", impatient)
    one = job(tmp_path, 0)
    with exclusive(one.folder), pytest.raises(ValueError, match="is in use by another run"):
        run_stage(one)
    assert asked == [5]


def test_loader_processes_change_nothing_and_are_gone_afterwards(tmp_path: Path) -> None:
    weights = []
    for workers in (0, 2):
        experiment = parse(tiny.experiment(workers=workers))
        one = Job(experiment, experiment.expanded()[1], 0, tmp_path / str(workers))
        first = Job(experiment, experiment.expanded()[0], 0, tmp_path / str(workers))
        plan = experiment.attack.plan(experiment.pairs["train"].open(), 0) if experiment.attack else None
        assert plan is not None
        plan.save(first.layout.poison(experiment, first.stage, 0))
        run_stage(first)
        run_stage(one)
        assert not multiprocessing.active_children()
        weights.append((read_json(first.folder / DONE)["weights"], read_json(one.folder / DONE)["weights"]))
    assert weights[0] == weights[1]
