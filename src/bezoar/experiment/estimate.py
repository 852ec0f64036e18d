"""What a run will cost: steps counted, time measured on a few real steps, disk added up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from bezoar.experiment.experiment import Experiment, Stage


class Cost(NamedTuple):
    """One stage: how many steps, and about how many seconds on this machine."""

    stage: str
    steps: int
    seconds: float


def disk_bytes(experiment: Experiment, size: int) -> int:
    """About how much a run writes: prepared pictures, weights of every stage, states while training."""
    from bezoar.data.prepared import needed_bytes
    from bezoar.experiment.run import PREPARE_LIMIT, sets_of
    from bezoar.models.checkpoint import load

    weights = 4 * sum(p.numel() for p in load(experiment.model).parameters())
    stages = len(experiment.expanded()) * len(experiment.seeds)
    pictures = sum(b for s in sets_of(experiment) if (b := needed_bytes(s, size)) <= PREPARE_LIMIT)
    return pictures + stages * (weights + (1 << 20)) + 6 * weights


def estimate(experiment: Experiment, steps: int = 3) -> list[Cost]:
    """Steps and seconds of every stage; seconds are extrapolated from ``steps`` timed steps of each method's kind."""
    speeds: dict[tuple[str, int], float] = {}
    costs = []
    for stage in experiment.expanded():
        key = (stage.method.kind, stage.method.batch_size)
        if key not in speeds:
            speeds[key] = _seconds_per_step(experiment, stage, steps)
        total = stage.method.total_steps(len(experiment.pairs[stage.pairs].open())) * len(experiment.seeds)
        costs.append(Cost(stage.name, total, total * speeds[key]))
    return costs


def _seconds_per_step(experiment: Experiment, stage: Stage, steps: int) -> float:
    import dataclasses

    import torch

    from bezoar.core.progress import Event
    from bezoar.data.prepared import Prepared
    from bezoar.models.checkpoint import load
    from bezoar.training.loader import TrainingPairs
    from bezoar.training.loop import train

    torch.set_num_threads(experiment.threads)
    model = load(experiment.model)
    pairs = experiment.pairs[stage.pairs].open()
    data = TrainingPairs(pairs, Prepared(pairs, model.image_size))
    marks: list[float] = []

    def mark(_: Event) -> None:
        marks.append(time.perf_counter())

    for count in (1, steps):
        began = time.perf_counter()
        train(dataclasses.replace(stage.method, steps=count), model, data, seed=0, listen=mark)
        seconds = time.perf_counter() - began
    return seconds / steps
