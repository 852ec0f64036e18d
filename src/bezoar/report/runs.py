"""A run as a value: its stages, its measures by model, its plans. Tables, plots and pages are functions of it."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from bezoar.metrics import Interval

if TYPE_CHECKING:
    from pathlib import Path

    from bezoar.core.records import Record


class Point(NamedTuple):
    """One measured model: a stage as the records name it, its seed, and the epochs it was trained."""

    stage: str
    seed: int
    epoch: int


@dataclass(frozen=True, kw_only=True)
class Group:
    """A stage as ``experiment.yaml`` has it: one stage of the records, or one for each point of its grid."""

    name: str
    method: Mapping[str, Any]
    pairs: str
    start: str | None
    poison: bool
    points: Mapping[str, Mapping[str, Any]]
    """Names in the records, and the fields of the grid that each stands for."""

    @property
    def kind(self) -> str:
        """The method's kind; of one from outside, its class."""
        return str(self.method.get("kind", "?")).rpartition(":")[2]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A poison folder of the run."""

    pairs: str
    seed: int
    head: Mapping[str, Any]
    """``poison.json``."""
    preview: tuple[Mapping[str, Any], ...]
    """Some of its pairs: both captions, the pictures as PNG, and the trigger's number where the plan tells."""


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """One source as the run found it."""

    kind: str
    """``pairs``, ``labeled`` or ``held_out``."""
    name: str
    count: int
    rows: int
    """Rows or files of its source, of which a part may be taken and some may hold several captions; 0 if unknown."""
    skipped: int
    """How many of the rows were passed over."""
    reasons: Mapping[str, int]
    """Why rows were passed over, and how many for each reason."""
    notes: tuple[str, ...]
    """Sentences without which its numbers would be misread."""
    fingerprint: str
    """Of its content; empty if unknown."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything in a run folder that a report needs."""

    folder: Path
    name: str
    experiment: Mapping[str, Any]
    environment: Mapping[str, Any]
    records: tuple[Record, ...]
    steps: tuple[Mapping[str, Any], ...]
    plans: tuple[Plan, ...]
    stages: Mapping[tuple[str, int], Mapping[str, Any]]
    """``stage.json`` of finished stages, by name and seed."""
    classes: int | None
    """Classes of the set that is reported on, as far as the run has written it down."""
    data: tuple[DataSet, ...] = ()
    """What the sources held, as far as the run has written it down."""
    folders: tuple[Path, ...] = ()
    """Where its seeds come from, if from several folders."""
    label: str = ""
    """What tells it from the other runs of a page; empty where it is alone."""

    @property
    def title(self) -> str:
        """What a page calls it."""
        return self.label or self.name

    @property
    def content(self) -> tuple[tuple[str, str, str], ...]:
        """What its sources held, which the path of a source does not say: kind, name and fingerprint of each."""
        return tuple(sorted((found.kind, found.name, found.fingerprint) for found in self.data))

    @property
    def notes(self) -> tuple[str, ...]:
        """What must stand beside every table of this run, each once."""
        return tuple(dict.fromkeys(note for found in self.data for note in found.notes))

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(self.experiment.get("seeds", (0,)))

    @property
    def select_on(self) -> str:
        return str(self.experiment.get("select_on", "validation"))

    @property
    def report_on(self) -> str:
        return str(self.experiment.get("report_on", "test"))

    @property
    def told_on(self) -> tuple[str, ...]:
        """The sets whose numbers are reported: that of the labels, and held-out pairs, which may go by one name."""
        labeled, held_out = self.experiment.get("labeled") or {}, self.experiment.get("held_out") or {}
        others = [name for name in held_out if name != self.select_on] if self.report_on not in held_out else []
        return (self.report_on,) * bool(self.report_on in {**labeled, **held_out} or not others) + tuple(others)

    @property
    def measured_on(self) -> str:
        """The sets whose numbers are reported, in words."""
        return " and ".join(self.told_on)

    @property
    def splits_differ(self) -> bool:
        """Whether settings are chosen on other pictures than those that are reported on."""
        sets = self.experiment.get("labeled") or {}
        return self.select_on != self.report_on and sets.get(self.select_on) != sets.get(self.report_on)

    @property
    def on_scenes(self) -> bool:
        """Whether any of its data are the built-in scenes."""
        sets = [*(self.experiment.get("pairs") or {}).values(), *(self.experiment.get("labeled") or {}).values()]
        return any(isinstance(source, dict) and source.get("kind") == "scenes" for source in sets)

    @functools.cached_property
    def groups(self) -> Mapping[str, Group]:
        """The stages of ``experiment.yaml`` by name."""
        return {stage["name"]: group_of(stage) for stage in self.experiment["stages"]}

    def victim_of(self, group: Group) -> Group | None:
        """The nearest poisoned stage on the way back from ``group``; of a poisoned stage, itself."""
        while not group.poison:
            if group.start is None or group.start not in self.groups:
                return None
            group = self.groups[group.start]
        return group

    @functools.cached_property
    def _index(self) -> dict[tuple[Point, str], dict[str, Interval]]:
        index: dict[tuple[Point, str], dict[str, Interval]] = {}
        for r in self.records:
            found = index.setdefault((Point(r.stage, r.seed, r.epoch), r.data), {})
            name = f"{r.metric} ({r.evaluator})" if r.metric in found else r.metric
            found[name] = Interval(r.value, r.low, r.high, r.n)
        return index

    @property
    def ambiguous(self) -> bool:
        """Whether several evaluators wrote measures of one name: the first has it, the others add their own name."""
        return any(name.endswith(")") for found in self._index.values() for name in found)

    def measures(self, point: Point, data: str) -> Mapping[str, Interval]:
        """What was measured of one model on set ``data``, by metric."""
        return self._index.get((point, data), {})

    @functools.cached_property
    def _epochs(self) -> dict[tuple[str, int], tuple[Point, ...]]:
        points = sorted({point for point, _ in self._index if point.epoch > 0})
        by_stage = itertools.groupby(points, key=lambda point: (point.stage, point.seed))
        return {key: tuple(found) for key, found in by_stage}

    def epochs(self, stage: str, seed: int) -> tuple[Point, ...]:
        """The measured epochs of a stage, in order, without the model that it started from."""
        return self._epochs.get((stage, seed), ())

    def reported(self, point: Point) -> Mapping[str, Interval]:
        """What is told of one model by metric; one that several sets have carries the name of all but the first."""
        found: dict[str, Interval] = {}
        for name in self.told_on:
            for metric, interval in self.measures(point, name).items():
                found[f"{metric} on {name}" if metric in found else metric] = interval
        return found

    def last(self, stage: str, seed: int) -> Point | None:
        """A stage's last measured epoch."""
        return next(reversed(self.epochs(stage, seed)), None)

    @functools.cached_property
    def missing(self) -> tuple[tuple[str, int], ...]:
        """Stages and seeds that are not finished."""
        wanted = itertools.product((name for g in self.groups.values() for name in g.points), self.seeds)
        return tuple(key for key in wanted if key not in self.stages and not self.epochs(*key))

    @property
    def target(self) -> str | None:
        """The class that the attack calls up."""
        attacks = [self.experiment.get("attack"), *(plan.head.get("attack") for plan in self.plans)]
        return next((str(attack["target"]) for attack in attacks if attack and attack.get("target")), None)


def group_of(stage: Mapping[str, Any]) -> Group:
    """A stage with its grid spelt out: ``NAME field=value …``, the names that the records carry."""
    grid = stage.get("grid") or {}
    points = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    return Group(
        name=stage["name"],
        method=stage["method"],
        pairs=str(stage.get("pairs", "")),
        start=stage.get("start"),
        poison=bool(stage.get("poison")),
        points={" ".join([stage["name"], *(f"{key}={value}" for key, value in at.items())]): at for at in points},
    )
