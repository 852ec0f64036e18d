"""What a sweep takes: its distinct trainings, their steps and seconds, and the disk for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bezoar.core.files import bytes_in, free_bytes
from bezoar.experiment.estimate import Cost, models_of, seconds_per_step
from bezoar.experiment.sweep_works import Work

if TYPE_CHECKING:
    from bezoar.core.frame import Frame

_RECORDS = 1 << 20


def sweep_costs(works: Sequence[Work], steps: int = 6) -> list[Cost]:
    """Steps and seconds of every training, all seeds together; a few steps of each kind of training are timed.

    Evaluation, the drawing of pictures and the start of processes are not counted.
    """
    speeds: dict[tuple[str, str, int], float] = {}
    costs = []
    for work in works:
        method, experiment = work.stage.method, work.experiment
        key = (experiment.model, method.kind, method.batch_size)
        if key not in speeds:
            speeds[key] = seconds_per_step(experiment, replace(work.stage, start=None), steps)
        total = method.total_steps(len(experiment.pairs[work.stage.pairs].open())) * len(work.jobs)
        costs.append(Cost(f"{work.stage.name} {work.jobs[0].at}".strip(), total, total * speeds[key]))
    return costs


def sweep_disk(works: Sequence[Work], frames: Mapping[str, Frame]) -> int:
    """About how many bytes a sweep writes: pictures once, the models that its stages keep, states while training."""
    from bezoar.data.prepared import needed_bytes
    from bezoar.experiment.run import PREPARE_LIMIT, sets_of
    from bezoar.models.opening import load_model

    weights = {model: 4 * sum(p.numel() for p in load_model(model).parameters()) for model in frames}
    sets = {(w.experiment.model, s.fingerprint): s for w in works for s in sets_of(w.experiment)}
    pictures = [needed_bytes(s, frames[model].size) for (model, _), s in sets.items()]
    models = 0
    for work in works:
        kept = models_of(work.stage, len(work.experiment.pairs[work.stage.pairs].open()))
        models += len(work.jobs) * (kept * weights[work.experiment.model] + _RECORDS)
    return sum(size for size in pictures if size <= PREPARE_LIMIT) + models + 6 * max(weights.values())


def check_disk(works: Sequence[Work], frames: Mapping[str, Frame], out: Path) -> None:
    """Raise ``OSError`` when less is free than what is still to be written."""
    need, free = sweep_disk(works, frames) - bytes_in(out), free_bytes(out)
    if need > free:
        raise OSError(f"out: {out} needs about {need / 1e9:.1f} GB, {free / 1e9:.1f} GB are free")
