"""``sweep.json``: what the records of a sweep are of. Reports read it beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bezoar.core.settings import dump, kind_of
from bezoar.experiment.run import sources_of
from bezoar.experiment.sweep import Sweep
from bezoar.experiment.sweep_works import Work

INDEX = "sweep.json"
SCHEMA = 1


def index(sweep: Sweep, works: Sequence[Work]) -> dict[str, Any]:
    """The axes and their values, and every training: its stage, where it stands, its method, what it starts from.

    A record is of the training of its ``stage`` and ``axes``. ``starts_trained`` says that its epoch 0 is the model it
    was given, and ``poisoned`` that a plan was laid over its pairs.
    """
    base = sweep.base
    return {
        "schema": SCHEMA, "name": sweep.name, "about": sweep.about,
        "select_on": base.select_on, "report_on": base.report_on, "seeds": list(base.seeds),
        "axes": {axis.name: list(axis.changes) for axis in sweep.axes}, "choose": list(sweep.choose),
        "classes": {name: len(source.open().classes) for name, source in base.labeled.items()},
        "notes": list(dict.fromkeys(n for w in works for source in sources_of(w.experiment) for n in source.notes())),
        "works": [_entry(work) for work in works],
    }  # fmt: skip


def with_failures(told: dict[str, Any], works: Sequence[Work]) -> dict[str, Any]:
    """The same, with what cannot be had: a training that diverged, or that starts from one, by seed the reason."""
    failed = [{str(job.seed): job.failed for job in work.jobs if job.failed is not None} for work in works]
    return {**told, "works": [{**work, "failed": why} for work, why in zip(told["works"], failed, strict=True)]}


def _entry(work: Work) -> dict[str, Any]:
    threat = work.experiment.threatening(work.stage)
    return {
        "stage": work.stage.name, "group": work.group, "grid": dict(work.grid), "axes": dict(work.axes),
        "kind": kind_of(work.stage.method), "method": dump(work.stage.method), "model": work.experiment.model,
        "pairs": work.stage.pairs, "poisoned": bool(work.stage.poison), "start": work.start,
        "starts_trained": work.jobs[0].starts_trained, "threat": kind_of(threat) if threat else None,
        "best_by": work.stage.best_by if work.stage.keep == "best" else None,
        "failed": {},
        "folders": [job.folder.name for job in work.jobs],
    }  # fmt: skip
