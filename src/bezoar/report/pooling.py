"""Several run folders as runs: folders that hold other seeds of one experiment are one run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bezoar.report.fields import ASIDE, labeled
from bezoar.report.reading import read_run
from bezoar.report.runs import Run


def read_runs(folders: Sequence[Path]) -> tuple[Run, ...]:
    """The runs in ``folders``, seeds pooled, each with a label of its own where they are several.

    Raises ``ValueError`` when there is none, or one cannot be read. A folder that is named twice counts once.
    """
    if not folders:
        raise ValueError("run: at least one run folder is needed")
    return labeled(pooled([read_run(folder) for folder in {folder.resolve(): folder for folder in folders}.values()]))


def pooled(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Runs of the same experiment and of other seeds as one, in the place of the first."""
    pools: list[list[Run]] = []
    for run in runs:
        for pool in pools:
            taken = {seed for other in pool for seed in other.seeds}
            if _same(run) == _same(pool[0]) and taken.isdisjoint(run.seeds):
                pool.append(run)
                break
        else:
            pools.append([run])
    return tuple(_one(pool) for pool in pools)


def _same(run: Run) -> str:
    """The name and all that makes an experiment what it is besides its seeds."""
    settings = {k: v for k, v in run.experiment.items() if k not in ASIDE}
    return json.dumps([run.name, settings, run.content], sort_keys=True)


def _one(pool: Sequence[Run]) -> Run:
    first = pool[0]
    if len(pool) == 1:
        return first
    return replace(
        first,
        folders=tuple(run.folder for run in pool),
        experiment={**first.experiment, "seeds": [seed for run in pool for seed in run.seeds]},
        environment=_merged([run.environment for run in pool]),
        records=tuple(record for run in pool for record in run.records if record.seed in run.seeds),
        steps=tuple(step for run in pool for step in run.steps if step["seed"] in run.seeds),
        plans=tuple(plan for run in pool for plan in run.plans),
        stages={key: head for run in pool for key, head in run.stages.items() if key[1] in run.seeds},
        untouched={key: taken for run in pool for key, taken in run.untouched.items() if key[1] in run.seeds},
        changes={key: found for run in pool for key, found in run.changes.items() if key[1] in run.seeds},
        splits={key: found for run in pool for key, found in run.splits.items() if key[1] in run.seeds},
        classes=next((run.classes for run in pool if run.classes), None),
        data=next((run.data for run in pool if run.data), ()),
    )


def _merged(environments: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What all agree in as it is, the rest side by side."""
    found: dict[str, Any] = {}
    for key in dict.fromkeys(key for environment in environments for key in environment):
        values = [environment[key] for environment in environments if key in environment]
        if all(isinstance(value, Mapping) for value in values):
            found[key] = _merged(values)
        else:
            same = all(value == values[0] for value in values)
            found[key] = values[0] if same else " / ".join(dict.fromkeys(map(str, values)))
    return found
