"""Reading a run folder, finished or half finished; what other settings left in it before is passed over."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bezoar.core.records import read_lines, read_records
from bezoar.core.yaml import read as read_yaml
from bezoar.metrics import Interval, pooled, wilson
from bezoar.report.groups import Point, group_of
from bezoar.report.paired import changes
from bezoar.report.plans import by_age, mapping, read_plans
from bezoar.report.runs import DataSet, Run
from bezoar.report.splits import splits

Heads = dict[tuple[str, int], tuple[Path, dict[str, Any]]]
"""Folder and ``stage.json`` of finished stages, by name and seed."""


def read_run(folder: Path) -> Run:
    """The run in ``folder``; raises ``ValueError`` when it is no run folder, or a file in it is damaged."""
    if not folder.is_dir():
        raise ValueError(f"run: there is no folder {folder}")
    if not (folder / "experiment.yaml").is_file():
        raise ValueError(f"run: {folder} is the folder of neither a run nor a sweep: it has no experiment.yaml")
    experiment = _experiment(folder / "experiment.yaml")
    heads = _heads(folder, experiment)
    run = Run(
        folder=folder,
        name=str(experiment.get("name", folder.name)),
        experiment=experiment,
        environment=mapping(folder / "environment.json"),
        records=tuple(read_records(folder / "records.jsonl")),
        steps=tuple(_steps(folder / "steps.jsonl")),
        plans=read_plans(folder, experiment),
        stages={key: head for key, (_, head) in heads.items()},
        classes=_classes([at for at, _ in heads.values()], str(experiment.get("report_on", "test"))),
        data=tuple(_data(folder / "data.json")),
    )
    folders = {key: at for key, (at, _) in heads.items()}
    return replace(
        run,
        untouched=dict(_untouched(run, heads)),
        changes=dict(changes(run, folders)),
        splits=dict(splits(run, folders)),
    )


def _experiment(path: Path) -> Mapping[str, Any]:
    """A resolved experiment, as far as a report relies on it."""
    experiment = read_yaml(path)
    stages = experiment.get("stages") if isinstance(experiment, dict) else None
    if not isinstance(stages, list) or not all(
        isinstance(stage, dict) and isinstance(stage.get("name"), str) and isinstance(stage.get("method"), dict)
        for stage in stages
    ):
        raise ValueError(f"run: {path} is not a resolved experiment: it has no list of stages")
    for stage in stages:
        grid = stage.get("grid") or {}
        if not isinstance(grid, dict) or not all(isinstance(values, list) for values in grid.values()):
            raise ValueError(f"run: {path}: the grid of stage '{stage['name']}' is no mapping of lists")
    seeds = experiment.get("seeds", [0])
    if not isinstance(seeds, list) or not all(isinstance(seed, int) for seed in seeds):
        raise ValueError(f"run: {path}: seeds must be a list of whole numbers, got {seeds!r}")
    for key in ("pairs", "labeled", "held_out", "attack", "attacks"):
        if not isinstance(experiment.get(key) or {}, dict):
            raise ValueError(f"run: {path}: {key} must be a mapping, got {experiment[key]!r}")
    for name, attack in (experiment.get("attacks") or {}).items():
        if not isinstance(attack, dict):
            raise ValueError(f"run: {path}: attack '{name}' must be a mapping, got {attack!r}")
    return dict(experiment)


def _steps(path: Path) -> list[dict[str, Any]]:
    found = list(read_lines(path))
    for number, line in enumerate(found, 1):
        terms = line.get("terms")
        if not {"stage", "seed", "step", "pass"} <= set(line) or not isinstance(terms, dict):
            raise ValueError(f"{path}, line {number}: not a step: it needs stage, seed, step, pass and terms")
    return found


def _heads(folder: Path, experiment: Mapping[str, Any]) -> Heads:
    """Folder and ``stage.json`` of finished stages; those that other settings left here before are passed over."""
    groups = map(group_of, experiment["stages"])
    wanted = {name: {**group.method, **at} for group in groups for name, at in group.points.items()}
    found = {}
    for path in by_age(folder.glob("stages/*/stage.json")):
        head = mapping(path)
        if "seed" in head and head.get("method") == wanted.get(str(head.get("stage"))):
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


def _data(path: Path) -> Iterable[DataSet]:
    """What the sources held: ``{kind: {name: {count, rows, skipped, reasons, notes, fingerprint}}}``."""
    found = mapping(path)
    if found.get("schema", 1) != 1:
        raise ValueError(f"{path}: schema {found['schema']}, this version reads 1")
    for kind, sets in found.items():
        for name, facts in (sets if isinstance(sets, dict) else {}).items():
            try:
                yield DataSet(
                    kind=kind,
                    name=name,
                    count=int(facts.get("count", 0)),
                    rows=int(facts.get("rows", 0)),
                    skipped=int(facts.get("skipped", 0)),
                    reasons={str(reason): int(n) for reason, n in (facts.get("reasons") or {}).items()},
                    notes=tuple(map(str, facts.get("notes") or ())),
                    fingerprint=str(facts.get("fingerprint", "")),
                )
            except (AttributeError, TypeError, ValueError):
                raise ValueError(f"{path}: {kind}.{name} is not what a source held") from None


def _untouched(run: Run, heads: Heads) -> Iterator[tuple[tuple[str, int], Interval]]:
    """Of finished stages on poison with scores, how often the model they leave takes untouched pictures for the target.

    Raises ``ValueError`` where scores cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    poisoned = {name for group in run.groups.values() if group.poison for name in group.points}
    for key, (folder, _) in heads.items():
        at = run.kept(*key) if key[0] in poisoned else None
        paths = folder.glob(f"scores/epoch-*.attack_success.{run.report_on}.parquet")
        for path in (path for path in paths if _of(path, at)):
            clean = path.with_name(path.name.replace(".attack_success.", ".zero_shot."))
            try:
                if clean.is_file() and {"target", "case"} <= set(pq.read_schema(path).names):
                    cases = pq.read_table(path, columns=["case", "target"]).group_by(["case", "target"]).aggregate([])
                    targets = {row["target"] for row in cases.to_pylist()}
                    yield key, _taken(pq.read_table(clean, columns=["label", "predicted"]), targets)
            except (OSError, pa.ArrowException) as error:
                raise ValueError(f"{clean}: cannot be read: {error}") from None


def _of(path: Path, point: Point | None) -> bool:
    """Whether the scores in a file are those of a model."""
    found = re.match(r"epoch-(\d+)(?:-step-(\d+))?\.", path.name)
    if point is None or found is None:
        return False
    epoch, step = found.groups()
    return (int(epoch), step and int(step)) == (point.epoch, None if point.whole else point.step)


def _taken(table: Any, targets: set[int]) -> Interval:
    """Share of pictures of other classes that are taken for the target; of several targets, over all of them."""
    label, predicted = (table[name].to_numpy() for name in ("label", "predicted"))
    shares = [
        wilson(int((predicted[label != target] == target).sum()), int((label != target).sum())) for target in targets
    ]
    return pooled(shares) if len(shares) > 1 else shares[0]
