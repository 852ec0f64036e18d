"""The smallest trainings that still show something: a few scenes, a micro model, a second."""

from __future__ import annotations

import copy
import dataclasses
import functools
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bezoar.attacks import Backdoor, Labels, Targeted
from bezoar.attacks.plan import PoisonPlan
from bezoar.attacks.triggers import Patch
from bezoar.cleaning import Supervised
from bezoar.core.frame import Frame
from bezoar.core.progress import Event
from bezoar.data import LabelPairs, SceneClasses, Scenes
from bezoar.data.captions import Eda
from bezoar.data.pairs import Pairs
from bezoar.data.prepared import Prepared
from bezoar.models.clip import Clip, create
from bezoar.training import loop, steplog
from bezoar.training.loader import TrainingPairs
from bezoar.training.method import Method
from bezoar.training.objective import ClipLoss
from bezoar.training.oracle import Oracle
from bezoar.training.taught import Taught

GOLDEN = Path(__file__).parent / "golden"
UPDATE = "BEZOAR_UPDATE_GOLDEN"
ATTACK = Backdoor(target="mushroom", count=12, templates=("a {c}",), trigger=Patch(size=8, reference=32))


@functools.cache
def _first(name: str) -> Clip:
    return create(name)


def clip(name: str = "micro-cnn-32") -> Clip:
    """A new model, with the same weights each time."""
    return copy.deepcopy(_first(name))


class Kept(Prepared):
    """Pictures drawn once for all tests of a process."""

    def __init__(self, pairs: Pairs, pictures: Sequence[Tensor]) -> None:
        super().__init__(pairs, Frame(pictures[0].shape[-1]))
        self.pictures = pictures

    def __getitem__(self, index: int) -> Tensor:
        return self.pictures[index]


@functools.cache
def _scenes(count: int) -> tuple[Pairs, Kept]:
    pairs = Scenes(count=count).open()
    prepared = Prepared(pairs, Frame(32))
    return pairs, Kept(pairs, [prepared[i] for i in range(count)])


def data(count: int = 48, plan: PoisonPlan | None = None) -> TrainingPairs:
    """Scenes to train on."""
    pairs, kept = _scenes(count)
    return TrainingPairs(pairs, kept, plan)


def labeled(count: int = 48, attack: Labels | None = None) -> TrainingPairs:
    """The same pictures with the names of their classes as captions."""
    pairs, kept = LabelPairs(of=SceneClasses(split="train", count=count)).open(), _scenes(count)[1]
    return TrainingPairs(pairs, Kept(pairs, kept.pictures), attack.plan(pairs, 0) if attack else None)


def fitting(method: Method, count: int) -> TrainingPairs:
    """What ``method`` can be trained on: pairs, poisoned ones for an oracle, labels for what learns them."""
    if isinstance(method, Supervised):
        return labeled(count)
    return data(count, plan(count) if isinstance(method, Oracle) else None)


def plan(count: int = 48) -> PoisonPlan:
    """Twelve of the scenes poisoned."""
    return ATTACK.plan(_scenes(count)[0], 0)


def method(kind: type[Method], **changes: Any) -> Method:
    """A method for few scenes on any machine: without word lists, with few clusters, with labels, with a pool or a
    bank, with a short warm-up."""
    eda = Eda(wordnet="none")
    few: dict[str, Any] = {"caption_view": eda, "centroids": 5, "labels": str(labels()), "pool_share": 0.5}
    few |= {"bank_size": 8, "in_modal_epochs": 1, "slow_epochs": 0}
    few |= {"queue_size": 12, "projector_width": 16, "predictor_width": 8, "warmup_from": 0.0}
    few |= {"schedule_at": 0, "schedule_steps": None, "objective": ClipLoss(), "attack_steps": 2, "steps": None}
    named = {field.name for field in dataclasses.fields(kind)}
    return kind(**{name: value for name, value in few.items() if name in named} | changes)


def added(count: int = 48) -> PoisonPlan:
    """Ten pairs added to the scenes: two pictures under five captions each."""
    held_out = SceneClasses(split="test", count=60)
    attack = Targeted(
        images=held_out, targets=("mushroom",), images_per_target=2, captions_per_image=5, captions="templates"
    )  # fmt: skip
    return attack.plan(_scenes(count)[0], 0)


def fewer() -> PoisonPlan:
    """Of 48 scenes 16 are left, a quarter of them poisoned."""
    attack = Backdoor(target="mushroom", count=4, templates=("a {c}",), size=16)
    return attack.plan(_scenes(48)[0], 0)


def teacher(method: Method, name: str = "micro-cnn-32") -> Clip | None:
    """A model that teaches ``method``, where it has a teacher: one like ``clip``, with other weights."""
    return create(name, 1).eval() if isinstance(method, Taught) else None


@functools.cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="bezoar-tests-")  # until the process ends


@functools.cache
def labels(count: int = 640) -> Path:
    """A file with a label of four for each scene."""
    pairs = Scenes(count=count).open()
    path = Path(_scratch().name) / "labels.csv"
    path.write_text("id,label\n" + "".join(f"{pairs.id(i)},{'abcd'[i * i % 7 % 4]}\n" for i in range(count)))
    return path


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two state dicts are equal bit by bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def experiment(**changes: Any) -> dict[str, Any]:
    """An experiment as plain values: a victim and two cleanings of it."""
    eda = {"kind": "eda", "wordnet": "none"}
    plain: dict[str, Any] = {
        "name": "tiny",
        "model": "micro-cnn-32",
        "pairs": {"train": {"kind": "scenes", "count": 32}, "clean": {"kind": "scenes", "split": "clean", "count": 16}},
        "labeled": {"validation": {"kind": "scenes", "count": 20}},
        "report_on": "validation",
        "attack": {
            "kind": "backdoor", "target": "mushroom", "count": 8, "templates": ["a {c}"],
            "trigger": {"kind": "patch", "size": 8, "reference": 32},
        },
        "stages": [
            {"name": "victim", "pairs": "train", "poison": True, "method": {"kind": "clip", **BRIEF, "epochs": 2}},
            {"name": "finetune", "start": "victim", "pairs": "clean", "method": {"kind": "finetune", **BRIEF}},
            {
                "name": "cleanclip", "start": "victim", "pairs": "clean",
                "method": {"kind": "cleanclip", "caption_view": eda, **BRIEF},
            },
        ],
        "evaluators": [{"kind": kind, "templates": ["a {c}"]} for kind in ("zero_shot", "attack_success")],
    }  # fmt: skip
    return copy.deepcopy(plain) | changes


TAUGHT: dict[str, Any] = {
    "epochs": 2, "steps": None, "batch_size": 8, "lr": 1e-3, "warmup_steps": 2, "warmup_from": 0.0, "schedule_at": 0,
    "schedule_steps": None, "precision": "fp32",
}  # fmt: skip
"""A budget for a method with a teacher."""
BRIEF: dict[str, Any] = {"epochs": 1, "batch_size": 8, "lr": 1e-3, "warmup_steps": 2}


def golden(
    name: str, method: Method, monkeypatch: pytest.MonkeyPatch, pairs: TrainingPairs | None = None, steps: int = 20,
    near: float = 1e-3,
) -> None:  # fmt: skip
    """The losses of twenty steps on 640 scenes, one thread, against ``golden/NAME.txt``: one a line, a step a line.

    ``BEZOAR_UPDATE_GOLDEN=1 pytest tests/pretraining tests/cleaning -k golden`` writes the files anew, which a change
    that is meant to leave training as it is must not need. ``near``: the relative difference that is allowed, since
    kernels differ between processors in their last bits, and training spreads that: 2e-4 from AVX-512 to SSE 4.1.
    """
    losses: list[float] = []

    def hear(event: Event) -> None:
        losses.append(sum(value for name, value in event.facts.items() if name not in ("epoch", "lr")))

    monkeypatch.setattr(steplog, "LOG_EVERY", 1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        loop.train(method, clip(), pairs or data(640), seed=0, listen=hear, teacher=teacher(method))
    finally:
        torch.set_num_threads(threads)
    path = GOLDEN / f"{name}.txt"
    if os.environ.get(UPDATE) == "1":
        path.write_text("".join(f"{loss!r}\n" for loss in losses))
    # Kernels differ between processors in their last bits, and training spreads that: 2e-4 from AVX-512 to SSE 4.1.
    assert losses == pytest.approx([float(line) for line in path.read_text().split()], rel=near)
    assert len(losses) == steps


def their_method(folder: Path) -> str:
    """The method that the documentation writes down for people, in a file of its own; its kind."""
    page = (Path(__file__).parents[1] / "docs" / "adding-a-method.md").read_text("utf-8")
    folder.mkdir(exist_ok=True)
    (folder / "my_method.py").write_text(page.partition("```python\n")[2].partition("```")[0])
    return "my_method:Smoothed"
