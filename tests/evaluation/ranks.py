"""A round of every evaluator as one of several processes has it; as a program, one rank: ``… ranks OUT``."""

from __future__ import annotations

import dataclasses
import pickle
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from tests import tiny
from tests.data.test_part import Photographs
from torch import Tensor

from bezoar.attacks.base import Aim, Chosen, Threat
from bezoar.attacks.caption_triggers import Phrase
from bezoar.attacks.triggers import Patch
from bezoar.core.frame import Frame
from bezoar.core.records import Measure
from bezoar.data import SceneClasses, Scenes
from bezoar.data.prepared import Prepared
from bezoar.evaluation import (
    EVALUATORS,
    Captioning,
    Context,
    ContrastiveLoss,
    Evaluator,
    HeldOut,
    LabeledImages,
    LinearProbe,
    RetrievalCaptioner,
    TrainedProbe,
    looks_of,
    names_of,
    others_of,
    sharing,
)
from bezoar.training.linear_head import LinearHead
from bezoar.training.peers import Peers, joined
from bezoar.training.precision import autocast_for

T = TypeVar("T")

CPU = torch.device("cpu")
CHUNK = 7
PICTURES = SceneClasses(count=20)
CHOSEN = Chosen(PICTURES, tuple(PICTURES.open().id(place) for place in (1, 5, 7)), ("bell", "tree", "mushroom"))
AIM = Aim(
    threats=(
        Threat(Patch(size=8, reference=32), "mushroom", words=Phrase()),
        Threat(Patch(size=7, reference=32), "tree", "file"),
        Threat(None, "tree", words=Phrase()),
    ),
    chosen=(CHOSEN,),
)
FITTED = SceneClasses(split="train", count=24)
_GIVEN = (
    ContrastiveLoss(batch_size=6), LinearProbe(train=FITTED), TrainedProbe(train=FITTED, epochs=1),
    Captioning(captioner=RetrievalCaptioner(bank=Scenes(split="clean", count=20))),
)  # fmt: skip
EVALUATED: tuple[Evaluator, ...] = (
    *(kind() for kind in EVALUATORS.members.values() if kind not in map(type, _GIVEN)),
    *_GIVEN,
)

Found = dict[str, tuple[tuple[Measure, ...], dict[str, dict[str, list[object]]]]]
"""Measures and per-sample tables of each evaluator."""


def labeled() -> LabeledImages:
    opened = PICTURES.open()
    return LabeledImages(opened, Prepared(opened, Frame(32)))


def context(peers: Peers, images: LabeledImages) -> Context:
    pairs = Photographs([place // 3 for place in range(25)])
    return Context(
        sets={"test": images}, aim=AIM, autocast=autocast_for("fp32", CPU), looks=looks_of(EVALUATED, AIM, ("test",)),
        held_out={"held": HeldOut(pairs, Prepared(pairs, Frame(32)))}, peers=peers,
        others=others_of(EVALUATED, Frame(32)),
    )  # fmt: skip


def told(here: Context) -> Context:
    """The same with what methods offer: a head of the set's classes, dropped and risky pairs, some of them poison."""
    pairs = Scenes(count=20).open()
    head = LinearHead(128, PICTURES.open().classes, torch.Generator().manual_seed(0))
    offered: dict[str, float | Tensor | torch.nn.Module] = {
        "head": head, "dropped": torch.arange(20) % 3 - 1,
        "safe": torch.arange(20) % 3 > 0, "cosine": torch.linspace(-1, 1, 20),
    }  # fmt: skip
    return dataclasses.replace(here, diagnostics=offered, pairs=pairs, plan=tiny.ATTACK.plan(pairs, 0))


def everything(peers: Peers, images: LabeledImages | None = None) -> Found:
    """What every evaluator finds."""
    model, here = tiny.clip().eval(), told(context(peers, images or labeled()))
    found = {}
    for evaluator, name in zip(EVALUATED, names_of(EVALUATED), strict=True):
        measures, scores = evaluator.evaluate(model, here)
        found[name] = measures, {data: rows.to_pydict() for data, rows in scores.items()}
    return found


@dataclass(frozen=True)
class Meeting:
    """Where threads meet that stand for processes."""

    world: int
    slots: dict[int, Tensor] = field(default_factory=dict)
    told: dict[int, Any] = field(default_factory=dict)
    barrier: threading.Barrier = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "barrier", threading.Barrier(self.world, timeout=60))

    def peers(self, rank: int) -> Peers:
        return Thread(rank, self.world, meeting=self)


@dataclass(frozen=True)
class Thread(Peers):
    """A process that is a thread of this one; it insists on what ``all_gather`` needs."""

    meeting: Meeting = field(kw_only=True)

    def collect(self, own: Tensor, count: int) -> Tensor:
        meeting = self.meeting
        assert len(own) == len(self.share(count))
        meeting.slots[self.rank] = own
        meeting.barrier.wait()
        parts: Sequence[Tensor] = [meeting.slots[rank] for rank in range(self.world)]
        meeting.barrier.wait()
        assert {(part.dtype, part.shape[1:]) for part in parts} == {(own.dtype, own.shape[1:])}
        return torch.cat(list(parts))

    def led(self, work: Callable[[], T]) -> T:
        meeting = self.meeting
        if self.lead:
            meeting.told[0] = work()
        meeting.barrier.wait()
        found: T = meeting.told[0]
        meeting.barrier.wait()
        return found


def main() -> None:
    torch.set_num_threads(1)
    sharing.CHUNK = CHUNK
    with joined(CPU) as peers:
        found = everything(peers)
        Path(sys.argv[1], f"rank{peers.rank}.pickle").write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main()
