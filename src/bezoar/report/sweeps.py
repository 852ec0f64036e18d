"""A sweep as a value: its trainings, and what was measured of every model that they passed through."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bezoar.core.files import read_object
from bezoar.core.records import Record, read_records
from bezoar.metrics import Interval

INDEX = "sweep.json"
SCHEMA = 1
"""Of ``sweep.json``."""
METRICS = ("accuracy_top1", "asr_top1")


class Numbers(NamedTuple):
    """Clean accuracy and attack success: Student's interval over seeds, of one seed Wilson's over images."""

    accuracy: Interval
    asr: Interval


@dataclass(frozen=True, kw_only=True)
class Training:
    """One distinct training: a stage at the values of the axes that it depends on, for all seeds."""

    number: int
    stage: str
    """As the records name it."""
    group: str
    """As the experiment names it: without what its grid adds."""
    kind: str
    """Of its method."""
    settings: Mapping[str, Any]
    """Its fields of the stage's grid, and its axes."""
    axes: Mapping[str, Any]
    poisoned: bool
    start: int | None
    starts_trained: bool
    """Whether its epoch 0 is a model that was given, not trained here."""
    threat: str | None
    """The kind of attack that is measured after it."""
    best_by: str | None
    """The metric whose best model it leaves; ``None`` where that is its last."""
    failed: Mapping[int, str]
    """Why it cannot be had, by seed."""


class At(NamedTuple):
    """One model: a training of a seed, and how far it had come."""

    training: int
    seed: int
    epoch: int
    step: int
    whole: bool


@dataclass(frozen=True, kw_only=True)
class Swept:
    """Everything in the folder of a sweep that tables need."""

    name: str
    about: str
    select_on: str
    report_on: str
    seeds: tuple[int, ...]
    choose: tuple[str, ...]
    """Axes among whose values a defender may choose."""
    axes: Mapping[str, tuple[Any, ...]]
    classes: Mapping[str, int]
    """How many classes each labeled set has."""
    notes: tuple[str, ...]
    """What must stand beside its numbers."""
    trainings: tuple[Training, ...]
    measures: Mapping[At, Mapping[str, Mapping[str, Interval]]]
    """By model, then by set, then by metric; of several evaluators that measure the same the first has it."""

    def models(self, training: int, seed: int) -> tuple[At, ...]:
        """The measured models of a training in their order, without the one that it started from."""
        return self._models.get((training, seed), ())

    def numbers(self, at: At, on: str) -> Numbers | None:
        """Both numbers of one model on a set; none without the other."""
        return self._numbers.get(on, {}).get(at)

    @functools.cached_property
    def _numbers(self) -> dict[str, dict[At, Numbers]]:
        found: dict[str, dict[At, Numbers]] = {}
        for at, sets in self.measures.items():
            for on, told in sets.items():
                if all(name in told for name in METRICS):
                    found.setdefault(on, {})[at] = Numbers(*(told[name] for name in METRICS))
        return found

    @functools.cached_property
    def _models(self) -> dict[tuple[int, int], tuple[At, ...]]:
        later = sorted(at for at in self.measures if at.epoch or at.step)
        return {key: tuple(found) for key, found in itertools.groupby(later, key=lambda at: (at.training, at.seed))}

    def victim_of(self, training: Training) -> Training | None:
        """The first poisoned training on the way to it, which may be itself."""
        before = self.victim_of(self.trainings[training.start]) if training.start is not None else None
        return before or (training if training.poisoned else None)


def swept(index: Mapping[str, Any], records: Iterable[Record]) -> Swept:
    """A sweep from its ``sweep.json`` and its records; a record of no training in it is a ``ValueError``."""
    trainings = tuple(_training(number, work) for number, work in enumerate(index["works"]))
    places = {_key(training.stage, training.axes): training.number for training in trainings}
    measures: dict[At, dict[str, dict[str, Interval]]] = {}
    for r in records:
        place = places.get(_key(r.stage, r.axes))
        if place is None:
            raise ValueError(f"records: '{r.stage}' at {dict(r.axes)} is no training of sweep.json")
        found = measures.setdefault(At(place, r.seed, r.epoch, r.step, r.whole), {}).setdefault(r.data, {})
        found.setdefault(r.metric, Interval(r.value, r.low, r.high, r.n))
    return Swept(
        name=str(index["name"]), about=str(index["about"]),
        select_on=str(index["select_on"]), report_on=str(index["report_on"]),
        seeds=tuple(index["seeds"]), choose=tuple(index["choose"]), classes=dict(index["classes"]),
        axes={name: tuple(values) for name, values in index["axes"].items()}, notes=tuple(index["notes"]),
        trainings=trainings, measures=measures,
    )  # fmt: skip


def _training(number: int, work: Mapping[str, Any]) -> Training:
    return Training(
        number=number, stage=str(work["stage"]), group=str(work["group"]), kind=str(work["kind"]).rpartition(":")[2],
        settings={**work["grid"], **work["axes"]}, axes=dict(work["axes"]), poisoned=bool(work["poisoned"]),
        start=work["start"], starts_trained=bool(work["starts_trained"]), threat=work["threat"],
        best_by=work["best_by"], failed={int(seed): str(why) for seed, why in work["failed"].items()},
    )  # fmt: skip


def _key(stage: str, axes: Mapping[str, Any]) -> str:
    return json.dumps([stage, dict(axes)], sort_keys=True)


def read_sweep(folder: Path) -> Swept:
    """The sweep in ``folder``, finished or half finished; raises ``ValueError`` where there is none."""
    if not (folder / INDEX).is_file():
        raise ValueError(f"sweep: {folder} is not the folder of a sweep: it has no sweep.json")
    index = read_object(folder / INDEX, SCHEMA)
    try:
        return swept(index, read_records(folder / "records.jsonl"))
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"sweep: {folder / INDEX} is not what a sweep was: {error!r}") from None
