"""What a run folder held before: other settings are run beside it, and the user is told that they are."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bezoar.core import yaml
from bezoar.core.settings import dump
from bezoar.experiment.layout import slug

if TYPE_CHECKING:
    from bezoar.experiment.experiment import Experiment
    from bezoar.experiment.layout import Layout
    from bezoar.experiment.stages import Job


def warn_of_others(experiment: Experiment, layout: Layout, jobs: Sequence[Job]) -> None:
    """Say, before ``experiment.yaml`` is written anew, that the folder holds stages that will not be gathered."""
    path, stages = layout.root / "experiment.yaml", layout.root / "stages"
    own = {job.folder for job in jobs}
    others = {found for found in stages.glob("*-seed*") if found not in own}
    if not path.exists() or not others:
        return
    try:
        before = yaml.read(path)
    except ValueError:
        before = {}
    paths = list(differing(before, yaml.parse(yaml.render(dump(experiment)))))
    log = logging.getLogger(__name__)
    if paths:
        more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
        log.warning(
            "out: %s: its last run had other settings (%s%s); what depends on them is run anew, and stages of the "
            "others stay in the folder, out of its records and its report", layout.root, ", ".join(paths[:3]), more,
        )  # fmt: skip
        return
    anew = [job.label for job in jobs if not job.folder.exists() and _had_another(job, others)]
    if anew:
        log.warning(
            "out: %s: begins anew: %s; the settings are those of the last run, so its data, its device, its word lists "
            "or this version of bezoar are others", layout.root, "; ".join(anew),
        )  # fmt: skip


def _had_another(job: Job, others: set[Any]) -> bool:
    return any(found.name.rpartition("-")[0] == f"{slug(job.stage.name)}-seed{job.seed}" for found in others)


def differing(before: Any, now: Any, at: str = "") -> Iterator[str]:
    """Paths at which two plain values differ, as ``stages.finetune.method.lr``; entries of lists go by their name."""
    left, right = _entries(before), _entries(now)
    if left is None or right is None:
        if before != now:
            yield at or "everything"
        return
    for key in dict.fromkeys(itertools.chain(left, right)):
        where = f"{at}.{key}" if at else key
        if key not in left or key not in right:
            yield where
        else:
            yield from differing(left[key], right[key], where)


def _entries(value: Any) -> dict[str, Any] | None:
    """A mapping, or a list of named things, by key; of other values there are no entries."""
    if isinstance(value, dict):
        return {str(key): entry for key, entry in value.items()}
    if isinstance(value, list) and value and all(isinstance(entry, dict) and "name" in entry for entry in value):
        return {str(entry["name"]): entry for entry in value}
    return None
