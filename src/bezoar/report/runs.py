"""Reading a run folder, finished or half finished, into one frozen value that tables, plots and pages are made from."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bezoar.core.files import read_json
from bezoar.core.records import Record, read_lines, read_records
from bezoar.core.yaml import read as read_yaml
from bezoar.metrics import Interval


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
    """Some of its pairs: both captions, and the pictures as PNG."""


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
        return {stage["name"]: _group(stage) for stage in self.experiment["stages"]}

    def victim_of(self, group: Group) -> Group | None:
        """The nearest poisoned stage on the way back from ``group``; of a poisoned stage, itself."""
        while not group.poison:
            if group.start not in self.groups:
                return None
            group = self.groups[group.start]
        return group

    @functools.cached_property
    def _index(self) -> dict[tuple[Point, str], dict[str, Interval]]:
        index: dict[tuple[Point, str], dict[str, Interval]] = {}
        for r in self.records:
            found = index.setdefault((Point(r.stage, r.seed, r.epoch), r.data), {})
            found.setdefault(r.metric, Interval(r.value, r.low, r.high, r.n))
        return index

    @property
    def ambiguous(self) -> bool:
        """Whether two evaluators wrote a measure of one name; what is shown is then the first one's."""
        return len(self.records) > sum(map(len, self._index.values()))

    def measures(self, point: Point, data: str) -> Mapping[str, Interval]:
        """What was measured of one model on set ``data``, by metric."""
        return self._index.get((point, data), {})

    def epochs(self, stage: str, seed: int) -> tuple[Point, ...]:
        """The measured epochs of a stage, in order, without the model that it started from."""
        found = {point for point, _ in self._index if point[:2] == (stage, seed) and point.epoch > 0}
        return tuple(sorted(found))

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


def _group(stage: Mapping[str, Any]) -> Group:
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


def read_run(folder: Path) -> Run:
    """The run in ``folder``; raises ``ValueError`` when it is no run folder, or a file in it is damaged."""
    if not (folder / "experiment.yaml").is_file():
        raise ValueError(f"run: {folder} is not a run folder: it has no experiment.yaml")
    experiment = read_yaml(folder / "experiment.yaml")
    stages = experiment.get("stages") if isinstance(experiment, dict) else None
    if not isinstance(stages, list) or not all(
        isinstance(stage, dict) and isinstance(stage.get("name"), str) and isinstance(stage.get("method"), dict)
        for stage in stages
    ):
        raise ValueError(f"run: {folder / 'experiment.yaml'} is not a resolved experiment: it has no list of stages")
    environment = folder / "environment.json"
    heads = _heads(folder, experiment)
    return Run(
        folder=folder,
        name=str(experiment.get("name", folder.name)),
        experiment=experiment,
        environment=read_json(environment) if environment.exists() else {},
        records=tuple(read_records(folder / "records.jsonl")),
        steps=tuple(read_lines(folder / "steps.jsonl")),
        plans=_plans(folder, experiment),
        stages={key: head for key, (_, head) in heads.items()},
        classes=_classes([at for at, _ in heads.values()], str(experiment.get("report_on", "test"))),
    )


def _heads(folder: Path, experiment: Mapping[str, Any]) -> dict[tuple[str, int], tuple[Path, dict[str, Any]]]:
    """Folder and ``stage.json`` of finished stages; those that other settings left here before are passed over."""
    groups = map(_group, experiment["stages"])
    wanted = {name: {**group.method, **at} for group in groups for name, at in group.points.items()}
    found = {}
    for path in _by_age(folder.glob("stages/*/stage.json")):
        head = read_json(path)
        if isinstance(head, dict) and head.get("method") == wanted.get(str(head.get("stage"))):
            found[head["stage"], head["seed"]] = (path.parent, head)
    return found


def _classes(folders: list[Path], data: str) -> int | None:
    """The number of classes that the per-sample tables of set ``data`` carry."""
    import pyarrow.parquet as pq

    for folder in folders:
        for path in sorted(folder.glob("scores/epoch-*.parquet")):
            if path.name.endswith(f".zero_shot.{data}.parquet"):
                facts = pq.read_schema(path).metadata or {}
                return int(facts[b"classes"]) if b"classes" in facts else None
    return None


def _plans(folder: Path, experiment: Mapping[str, Any]) -> tuple[Plan, ...]:
    """The newest whole plan of the experiment's attack for each set of pairs and seed, by seed."""
    attack = experiment.get("attack") or {}
    plans: dict[tuple[int, str], Plan] = {}
    for path in _by_age(folder.glob("poison/*/poison.json")):
        head = read_json(path)
        named = re.fullmatch(r"(.+)-seed(-?\d+)-[0-9a-f]+", path.parent.name)
        if not isinstance(head, dict) or not named or int(named[2]) not in experiment.get("seeds", (0,)):
            continue
        if head.get("attack") == attack or (
            attack.get("kind") == "planned" and attack["digest"] in ("", head["digest"])
        ):
            plan = Plan(
                pairs=named[1], seed=int(named[2]), head=head, preview=_preview(path.parent / "preview.parquet")
            )
            plans[plan.seed, plan.pairs] = plan
    return tuple(plans[key] for key in sorted(plans))


def _preview(path: Path) -> tuple[Mapping[str, Any], ...]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return tuple(pq.read_table(path).to_pylist()) if path.exists() else ()
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{path}: cannot be read: {error}") from None


def _by_age(paths: Any) -> list[Path]:
    """Oldest first, so that the newest of one name wins."""
    return sorted(paths, key=lambda path: (path.stat().st_mtime, path.name))
