"""A run as a value: its stages, its measures by model, its plans. Tables, plots and pages are functions of it."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bezoar.metrics import Interval
from bezoar.report.groups import Group, Point, group_of
from bezoar.report.plans import Plan, slug

if TYPE_CHECKING:
    from pathlib import Path

    from bezoar.core.records import Record
    from bezoar.report.paired import Changes
    from bezoar.report.splits import Split


TRAINED_ON = "pairs"
"""Where measures stand that are of the pairs of a training, and of no set."""


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """One source as the run found it."""

    kind: str
    """``pairs``, ``labeled``, ``held_out``, or ``evaluators`` and ``attacks`` of what those read besides."""
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
    untouched: Mapping[tuple[str, int], Interval] = field(default_factory=dict)
    """By stage and seed: how often the model it leaves takes untouched pictures of other classes for the target."""
    changes: Mapping[tuple[str, int], Changes] = field(default_factory=dict)
    """By stage and seed: what has changed since the model was given, where that was measured, sample by sample."""
    splits: Mapping[tuple[str, int], tuple[Split, ...]] = field(default_factory=dict)
    """By stage and seed: what a method held for safe, of some of its epochs."""
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
        sets = {**(self.experiment.get("held_out") or {}), **(self.experiment.get("labeled") or {})}
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
        """The first stage that was poisoned on the way to ``group``, which may be itself.

        What is left of poison in the pairs of a cleaning does not make another victim of it.
        """
        before = self.groups.get(group.start) if group.start is not None else None
        victim = self.victim_of(before) if before else None
        return victim or (group if group.poison else None)

    def attack_of(self, group: Group) -> Mapping[str, Any] | None:
        """The settings of the attack that the pairs of ``group`` are poisoned by."""
        return self.attacks.get(group.attack) if group.attack is not None else None

    def threat_of(self, group: Group) -> str | None:
        """The attack that is measured after ``group``: named there, or that of its own pairs or of its start."""
        if group.threat is not None:
            return group.threat
        if group.attack is not None:
            return group.attack
        before = self.groups.get(group.start) if group.start is not None else None
        return self.threat_of(before) if before else "" if "" in self.attacks else None

    def plan_of(self, group: Group, seed: int) -> Plan | None:
        """The plan that is laid over the pairs of ``group``."""
        wanted = (slug(group.pairs), group.attack, seed)
        return next((plan for plan in self.plans if (plan.pairs, plan.attack, plan.seed) == wanted), None)

    @functools.cached_property
    def _index(self) -> dict[tuple[Point, str], dict[str, Interval]]:
        index: dict[tuple[Point, str], dict[str, Interval]] = {}
        for r in self.records:
            found = index.setdefault((Point(r.stage, r.seed, r.epoch, r.step, r.whole), r.data), {})
            name = f"{r.metric} ({r.evaluator})" if r.metric in found else r.metric
            found[name] = Interval(r.value, r.low, r.high, r.n)
        return index

    @property
    def ambiguous(self) -> bool:
        """Whether several evaluators wrote measures of one name: the first has it, the others add their own name."""
        return any(name.endswith(")") for found in self._index.values() for name in found)

    @property
    def cautions(self) -> tuple[str, ...]:
        """What its stages had to say before they trained, each once."""
        told = (line for head in self.stages.values() for line in head.get("cautions") or ())
        return tuple(dict.fromkeys(f"{str(line).removesuffix('.')}." for line in told))

    @property
    def known_poisoned(self) -> bool:
        """Whether the history of a model from elsewhere says that it was trained on poisoned pairs."""
        return any(head.get("known_poisoned") for head in self.stages.values())

    def given(self, stage: str, seed: int) -> Mapping[str, Interval]:
        """What was measured of the model that a stage began with, where it is none of this run's: by metric."""
        return self.reported(Point(stage, seed, 0))

    def began_trained(self, group: Group) -> bool:
        """Whether a stage began with weights from elsewhere, as far as its end has been written down."""
        heads = (head for (stage, _), head in self.stages.items() if stage in group.points)
        return group.start is None and any(head.get("given") for head in heads)

    def measures(self, point: Point, data: str) -> Mapping[str, Interval]:
        """What was measured of one model on set ``data``, by metric."""
        return self._index.get((point, data), {})

    @functools.cached_property
    def _epochs(self) -> dict[tuple[str, int], tuple[Point, ...]]:
        points = sorted({point for point, _ in self._index if point.epoch > 0 or point.step > 0})
        by_stage = itertools.groupby(points, key=lambda point: (point.stage, point.seed))
        return {key: tuple(found) for key, found in by_stage}

    def epochs(self, stage: str, seed: int) -> tuple[Point, ...]:
        """The measured models of a stage in the order of training, without the one that it started from."""
        return self._epochs.get((stage, seed), ())

    def reported(self, point: Point) -> Mapping[str, Interval]:
        """What is told of one model by metric; one that several sets have carries the name of all but the first."""
        found: dict[str, Interval] = {}
        for name in dict.fromkeys((*self.told_on, TRAINED_ON)):
            for metric, interval in self.measures(point, name).items():
                found[f"{metric} on {name}" if metric in found else metric] = interval
        return found

    def last(self, stage: str, seed: int) -> Point | None:
        """A stage's last measured model."""
        return next(reversed(self.epochs(stage, seed)), None)

    def kept(self, stage: str, seed: int) -> Point | None:
        """The measured model that a stage leaves to those that start from it: its last, or the first of its best."""
        return self._best[stage, seed] if (stage, seed) in self._best else self.last(stage, seed)

    @functools.cached_property
    def _best(self) -> Mapping[tuple[str, int], Point | None]:
        """Of stages that keep their best model."""
        by = {stage: group.best_by for group in self.groups.values() for stage in group.points if group.best_by}
        return {key: self._best_of(points, by[key[0]]) for key, points in self._epochs.items() if key[0] in by}

    def _best_of(self, points: Sequence[Point], metric: str) -> Point | None:
        """The first of the points that are best on the set of the choice; ``None`` where none was measured there."""
        from bezoar.evaluation.choosing import better

        found = {point: self.measures(point, self.select_on) for point in points}
        values = {point: measures[metric].value for point, measures in found.items() if metric in measures}
        best = max if better(metric) == "higher" else min
        return best(values, key=values.__getitem__, default=None)

    @property
    def keeps_best(self) -> bool:
        """Whether any stage leaves its best model instead of its last."""
        return any(group.best_by for group in self.groups.values())

    @property
    def within(self) -> bool:
        """Whether any model was measured in the middle of an epoch."""
        return not all(record.whole for record in self.records)

    @functools.cached_property
    def missing(self) -> tuple[tuple[str, int], ...]:
        """Stages and seeds that are not finished."""
        wanted = itertools.product((name for g in self.groups.values() for name in g.points), self.seeds)
        return tuple(key for key in wanted if key not in self.stages and not self.epochs(*key))

    @functools.cached_property
    def attacks(self) -> Mapping[str, Mapping[str, Any]]:
        """Settings of all attacks by name; the experiment's own has none. Of one planned before, what its plan says."""
        own = self.experiment.get("attack")
        found = {**({"": own} if own else {}), **(self.experiment.get("attacks") or {})}
        planned = {plan.attack: plan.head.get("attack") for plan in reversed(self.plans)}
        return {
            name: (planned.get(name) or attack) if attack.get("kind") == "planned" else attack
            for name, attack in found.items()
        }

    @property
    def target(self) -> str | None:
        """The class that its attacks call up, where it is one."""
        found = {target for name in self.attacks for target in self.targets_of(name)}
        return next(iter(found)) if len(found) == 1 else None

    def targets_of(self, attack: str | None) -> tuple[str, ...]:
        """The classes that one of its attacks calls up."""
        settings = self.attacks.get(attack) if attack is not None else None
        parts = [settings or {}, *((settings or {}).get("attacks") or ())]
        return tuple(dict.fromkeys(str(part["target"]) for part in parts if part.get("target")))
