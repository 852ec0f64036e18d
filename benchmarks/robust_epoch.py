"""An epoch of the robust pre-training methods against one of ``clip``, without and with the same augmentation.

One thread, processor time, the methods in turns, so that other work on the machine does not count. Each method is
trained as it would be; loader, views, pool and whatever is done before an epoch are in its time. Epochs of one phase
are averaged.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from bezoar.core.frame import Frame
from bezoar.data import Scenes
from bezoar.data.captions import Eda
from bezoar.data.prepared import Prepared
from bezoar.data.views import SimClr
from bezoar.models.clip import create
from bezoar.pretraining import ClipPretraining, RoCLIP, SafeCLIP
from bezoar.training.loader import TrainingPairs
from bezoar.training.loop import Pause, train
from bezoar.training.method import Method

EDA = Eda(wordnet="none")


@dataclass(frozen=True)
class Side:
    """A method, what its epochs are called, in their order, and the side and bar it is held against."""

    method: Method
    phases: tuple[str, ...]
    against: str
    bar: float | None = None


def sides(batch: int) -> dict[str, Side]:
    """Everything that is compared, by name."""
    brief: dict[str, Any] = {"batch_size": batch, "lr": 1e-3, "warmup_steps": 10}
    views: dict[str, Any] = {"image_view": SimClr(), "caption_view": EDA}
    return {
        "clip": Side(ClipPretraining(epochs=2, **brief), ("plain", "plain"), "clip"),
        "clip, augmented": Side(ClipPretraining(epochs=2, **brief, **views), ("plain", "plain"), "clip"),
        "roclip": Side(RoCLIP(epochs=2, **brief, **views), ("plain", "matching"), "clip, augmented", 1.15),
        "roclip, trained": Side(
            RoCLIP(epochs=2, **brief, **views, text_tower="trained"), ("plain", "matching"), "clip, augmented"
        ),
        "safeclip": Side(
            SafeCLIP(epochs=4, in_modal_epochs=1, slow_epochs=1, in_modal_lr=1e-3, **brief, **views),
            ("in_modal", "slow", "split", "split"), "clip, augmented", 2.3,
        ),
    }  # fmt: skip


def held(count: int) -> TrainingPairs:
    """Scenes whose pictures are drawn once, as a prepared source has them."""

    class Kept(Prepared):
        def __getitem__(self, index: int) -> torch.Tensor:
            return pictures[index]

    pairs = Scenes(count=count).open()
    prepared = Prepared(pairs, Frame(32))
    pictures = [prepared[index] for index in range(count)]
    return TrainingPairs(pairs, Kept(pairs, Frame(32)))


def epochs(method: Method, architecture: str, data: TrainingPairs) -> Iterator[float]:
    """Processor seconds of each epoch, with all that comes before its first step."""
    began = time.process_time()
    ended: list[float] = []
    train(method, create(architecture), data, seed=0, on_pause=lambda pause: _note(pause, ended))
    for end in ended:
        yield end - began
        began = end


def _note(pause: Pause, ended: list[float]) -> None:
    if pause.whole and len(ended) < pause.epoch:
        ended.append(time.process_time())


def by_phase(side: Side, seconds: Iterable[float]) -> Mapping[str, float]:
    """The mean of each phase, and that of the whole training as ``mean``."""
    taken = list(seconds)
    named = {name: [s for s, phase in zip(taken, side.phases, strict=True) if phase == name] for name in side.phases}
    return {name: statistics.mean(some) for name, some in named.items()} | {"mean": statistics.mean(taken)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="micro-cnn-32")
    parser.add_argument("--pairs", type=int, default=2048)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    data, compared = held(given.pairs), sides(given.batch)
    found: dict[str, list[Mapping[str, float]]] = {name: [] for name in compared}
    for turn in range(given.turns + 1):
        for name, side in compared.items():
            taken = by_phase(side, epochs(side.method, given.model, data))
            if turn:  # the first does not count
                found[name].append(taken)
    print(f"{given.model}, {given.pairs:,} pairs, batch {given.batch}, one thread, median of {given.turns} turns")
    took = {name: {p: statistics.median(one[p] for one in turns) for p in turns[0]} for name, turns in found.items()}
    for name, phases in took.items():
        base, bar = took[compared[name].against]["mean"], compared[name].bar
        said = ", ".join(f"{phase} {seconds:.2f} s ({seconds / base:.2f})" for phase, seconds in phases.items())
        print(f"{name}: {said}, of an epoch of {compared[name].against}{f'; bar {bar:g}' if bar else ''}")


if __name__ == "__main__":
    main()
