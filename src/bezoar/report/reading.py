"""Reading a run folder, finished or half finished; what other settings left in it before is passed over."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bezoar.core.files import read_json
from bezoar.core.records import read_lines, read_records
from bezoar.core.yaml import read as read_yaml
from bezoar.report.runs import DataSet, Plan, Run, group_of


def read_run(folder: Path) -> Run:
    """The run in ``folder``; raises ``ValueError`` when it is no run folder, or a file in it is damaged."""
    if not (folder / "experiment.yaml").is_file():
        raise ValueError(f"run: {folder} is not a run folder: it has no experiment.yaml")
    experiment = _experiment(folder / "experiment.yaml")
    heads = _heads(folder, experiment)
    return Run(
        folder=folder,
        name=str(experiment.get("name", folder.name)),
        experiment=experiment,
        environment=_mapping(folder / "environment.json"),
        records=tuple(read_records(folder / "records.jsonl")),
        steps=tuple(_steps(folder / "steps.jsonl")),
        plans=_plans(folder, experiment),
        stages={key: head for key, (_, head) in heads.items()},
        classes=_classes([at for at, _ in heads.values()], str(experiment.get("report_on", "test"))),
        data=tuple(_data(folder / "data.json")),
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
    for key in ("pairs", "labeled", "held_out", "attack"):
        if not isinstance(experiment.get(key) or {}, dict):
            raise ValueError(f"run: {path}: {key} must be a mapping, got {experiment[key]!r}")
    return dict(experiment)


def _mapping(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no file."""
    found = read_json(path) if path.exists() else {}
    if not isinstance(found, dict):
        raise ValueError(f"{path}: must be a JSON object")
    return found


def _steps(path: Path) -> list[dict[str, Any]]:
    found = list(read_lines(path))
    for number, line in enumerate(found, 1):
        terms = line.get("terms")
        if not {"stage", "seed", "step", "pass"} <= set(line) or not isinstance(terms, dict):
            raise ValueError(f"{path}, line {number}: not a step: it needs stage, seed, step, pass and terms")
    return found


def _heads(folder: Path, experiment: Mapping[str, Any]) -> dict[tuple[str, int], tuple[Path, dict[str, Any]]]:
    """Folder and ``stage.json`` of finished stages; those that other settings left here before are passed over."""
    groups = map(group_of, experiment["stages"])
    wanted = {name: {**group.method, **at} for group in groups for name, at in group.points.items()}
    found = {}
    for path in _by_age(folder.glob("stages/*/stage.json")):
        head = _mapping(path)
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
    found = _mapping(path)
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


def _plans(folder: Path, experiment: Mapping[str, Any]) -> tuple[Plan, ...]:
    """The newest whole plan of the experiment's attack for each set of pairs and seed, by seed."""
    attack = experiment.get("attack") or {}
    plans: dict[tuple[int, str], Plan] = {}
    for path in _by_age(folder.glob("poison/*/poison.json")):
        head = _mapping(path)
        named = re.fullmatch(r"(.+)-seed(-?\d+)-[0-9a-f]+", path.parent.name)
        if not {"count", "total"} <= set(head) or not named or int(named[2]) not in experiment.get("seeds", (0,)):
            continue
        if head.get("attack") == attack or (
            attack.get("kind") == "planned" and attack.get("digest") in ("", head.get("digest"))
        ):
            plan = Plan(pairs=named[1], seed=int(named[2]), head=head, preview=_preview(path.parent))
            plans[plan.seed, plan.pairs] = plan
    return tuple(plans[key] for key in sorted(plans))


def _preview(folder: Path) -> tuple[Mapping[str, Any], ...]:
    """The pictures of a plan, each with the number of its trigger where the plan's table is there to tell."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / "preview.parquet"
    try:
        rows = pq.read_table(path).to_pylist() if path.exists() else []
        path = folder / "poison.parquet"
        if not rows or not path.exists():
            return tuple(rows)
        shown = [("id", "in", [row.get("id") for row in rows])]
        table = pq.read_table(path, columns=["id", "trigger"], filters=shown).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{path}: cannot be read: {error}") from None
    number = {row["id"]: row["trigger"] for row in table}
    return tuple({**row, "trigger": number.get(row.get("id"))} for row in rows)


def _by_age(paths: Iterable[Path]) -> list[Path]:
    """Oldest first, so that the newest of one name wins."""
    return sorted(paths, key=lambda path: (path.stat().st_mtime, path.name))
