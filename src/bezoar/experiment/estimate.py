"""What a run will cost: steps counted, time measured on a few real steps, disk added up."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from bezoar.core.settings import digest
from bezoar.training.continued import Continued
from bezoar.training.taught import Taught

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.core.frame import Frame
    from bezoar.data.pairs import Images, Pairs
    from bezoar.experiment.experiment import Experiment, Stage
    from bezoar.training.loop import Pause
    from bezoar.training.method import Method


PATIENCE = 10.0
"""Seconds of steps that are timed at most, where steps are slow; one is timed always."""


class Cost(NamedTuple):
    """One stage: how many steps, and about how many seconds on this machine."""

    stage: str
    steps: int
    seconds: float


def disk_bytes(experiment: Experiment, size: int) -> int:
    """About how much a run writes: prepared pictures, the models that stages keep, states while training."""
    from bezoar.data.prepared import needed_bytes
    from bezoar.experiment.run import PREPARE_LIMIT, sets_of
    from bezoar.models.opening import load_model

    weights = 4 * sum(p.numel() for p in load_model(experiment.model).parameters())
    stages, seeds = experiment.expanded(), len(experiment.seeds)
    pairs = {name: len(experiment.pairs[name].open()) for name in dict.fromkeys(stage.pairs for stage in stages)}
    models = sum(models_of(stage, pairs[stage.pairs]) for stage in stages)
    pictures = sum(b for s in sets_of(experiment) if (b := needed_bytes(s, size)) <= PREPARE_LIMIT)
    return pictures + seeds * (models * weights + len(stages) * (1 << 20)) + 6 * weights


def models_of(stage: Stage, pairs: int) -> int:
    """How many models a stage leaves."""
    method = stage.method
    epochs = method.epochs if method.steps is None else -(-method.steps // max(method.steps_per_epoch(pairs), 1))
    return (stage.keep != "none") + (epochs // stage.keep_every if stage.keep_every else 0)


class _Kept:
    """Pictures of a few batches, kept: what a run finds prepared."""

    def __init__(self, images: Images, frame: Frame) -> None:
        self.images, self.frame = images, frame
        self._kept: dict[int, Tensor] = {}

    def __getitem__(self, index: int) -> Tensor:
        from bezoar.data.images import load

        if index not in self._kept:
            self._kept[index] = load(self.images, index, self.frame)
        return self._kept[index]


def estimate(experiment: Experiment, steps: int = 6) -> list[Cost]:
    """Steps and seconds of every stage, from up to ``steps`` timed steps of each method, batch size and set of views.

    Evaluation, the drawing of pictures and the start of processes are not counted.
    """
    speeds: dict[tuple[object, ...], float] = {}
    costs = []
    for stage in experiment.expanded():
        method = stage.method
        # What a taught method does in a step, its settings say.
        taught = digest(method) if isinstance(method, Taught) else ""
        key = (method.kind, method.batch_size, method.views(), taught)
        if key not in speeds:
            speeds[key] = seconds_per_step(experiment, stage, steps)
        total = stage.method.total_steps(len(experiment.pairs[stage.pairs].open())) * len(experiment.seeds)
        costs.append(Cost(stage.name, total, total * speeds[key]))
    return costs


class _EnoughError(Exception):
    """As many steps were taken as are to be timed."""


def _some(method: Method, pairs: Pairs, steps: int) -> Pairs:
    """As few of the pairs as so many steps need: before the first a method may look at all there are."""
    import numpy as np

    from bezoar.data.part import PartOfPairs

    count = steps * method.batch_size
    while count < len(pairs):
        part = PartOfPairs(pairs, np.arange(count))
        try:
            method.check_pairs(part)
        except ValueError:
            count *= 2
        else:
            return part
    return pairs


def seconds_per_step(experiment: Experiment, stage: Stage, steps: int) -> float:
    """About what a step of a stage takes: ``steps`` more than two of them, as the way to the first cancels out."""
    import torch

    from bezoar.core.quiet import quiet
    from bezoar.models.clip import pick_device
    from bezoar.models.opening import load_model
    from bezoar.training.loader import TrainingPairs
    from bezoar.training.loop import train

    torch.set_num_threads(experiment.threads)
    model = load_model(experiment.model)
    model.to(pick_device(experiment.device))
    # Its teacher is not there yet: one with the same weights takes as long.
    teacher = copy.deepcopy(model).eval() if isinstance(stage.method, Taught) else None
    pairs = _some(stage.method, experiment.pairs[stage.pairs].open(), 2 + steps)
    data = TrainingPairs(pairs, _Kept(pairs, model.frame))

    # The budget stays as it is, for methods whose phases follow from it; it only has to be long enough.
    budget = stage.method.steps
    method = dataclasses.replace(stage.method, steps=None if budget is None else max(budget, 2 + steps))
    if isinstance(method, Continued):
        method = dataclasses.replace(method, schedule_steps=None)  # it may end with the budget

    def timed(count: int) -> float:
        def enough(pause: Pause) -> None:
            if pause.step >= count:
                raise _EnoughError

        began = time.perf_counter()
        # Warnings would be of the few pairs that are timed.
        with contextlib.suppress(_EnoughError), quiet("bezoar", logging.ERROR):
            train(method, model, data, seed=0, on_pause=enough, pause_steps=count, teacher=teacher)
        return time.perf_counter() - began

    warm = timed(2)  # draws the first pictures
    steps = max(1, min(steps, int(2 * PATIENCE / warm)))
    timed(2 + steps)  # draws the others
    more = timed(2 + steps)
    return max(more - timed(2), 0.0) / steps
