"""Reading a run folder, finished or half finished; what other settings left in it before is passed over."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bezoar.core.files import read_json
from bezoar.core.records import read_lines, read_records
from bezoar.core.yaml import read as read_yaml
from bezoar.report.runs import Plan, Run, group_of


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
    groups = map(group_of, experiment["stages"])
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


def _by_age(paths: Iterable[Path]) -> list[Path]:
    """Oldest first, so that the newest of one name wins."""
    return sorted(paths, key=lambda path: (path.stat().st_mtime, path.name))
