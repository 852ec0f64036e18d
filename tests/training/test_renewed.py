"""Parameters made anew: the optimizer keeps nothing of what they were, and a resume gives the same bits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch
from tests import tiny
from tests.training.test_resume import _each_step, broken, equal, run
from torch import Tensor, nn

from bezoar.core.seeds import torch_generator
from bezoar.core.settings import settings
from bezoar.data.pairs import Pairs
from bezoar.models.clip import Clip
from bezoar.training.batch import Batch, Features
from bezoar.training.contrastive import Contrastive
from bezoar.training.loop import train
from bezoar.training.method import Method
from bezoar.training.optimizer import adamw
from bezoar.training.state import State

__all__ = ["_each_step"]


class Headed(State):
    """A head on the images."""

    def __init__(self, model: Clip, pairs: int) -> None:
        super().__init__(model, pairs)
        self.head = nn.Linear(128, 4)


@settings
class Anew(Contrastive):
    """A new head every epoch."""

    kind: ClassVar[str] = "anew"
    epochs: int = 2
    batch_size: int = 8
    warmup_steps: int = 0
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "fp32"
    forget: bool = True

    def build(self, model: Clip, pairs: Pairs, seed: int) -> Headed:
        return Headed(model, len(pairs))

    def begin_epoch(self, state: Headed, epoch: int, scorer: Any) -> None:
        with torch.no_grad():
            state.head.weight.normal_(std=0.01, generator=torch_generator(0, "head", epoch))
            state.head.bias.zero_()

    def renewed(self, state: Headed) -> Sequence[nn.Parameter]:
        return tuple(state.head.parameters()) if self.forget else ()

    def loss(self, state: Any, features: Features, batch: Batch) -> dict[str, Tensor]:
        return {**super().loss(state, features, batch), "head": state.head(features.images[0].own).square().mean()}


def counted(method: Method, monkeypatch: pytest.MonkeyPatch) -> tuple[set[float], set[float], int]:
    """How many steps the optimizer counts for the head and for the model, and how many parameters it knows."""
    made: list[torch.optim.AdamW] = []

    def kept(*given: Any) -> torch.optim.AdamW:
        made.append(adamw(*given))
        return made[-1]

    monkeypatch.setattr("bezoar.training.loop.adamw", kept)
    state = train(method, tiny.clip(), tiny.data(32), seed=0).state
    (optimizer,) = made
    head = {float(optimizer.state[one]["step"]) for one in state.head.parameters()}  # type: ignore[union-attr]
    model = {float(optimizer.state[one]["step"]) for one in state.model.parameters() if one in optimizer.state}
    return head, model, sum(len(group["params"]) for group in optimizer.param_groups)


def test_the_optimizer_forgets_them_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    head, model, many = counted(Anew(), monkeypatch)
    assert (head, model) == ({4.0}, {8.0})
    assert counted(Anew(forget=False), monkeypatch) == ({8.0}, {8.0}, many)
    assert counted(Anew(epochs=4), monkeypatch)[2] == many  # no group, no parameter is left behind


@pytest.mark.parametrize("after", [1, 4, 6])
def test_a_killed_training_goes_on_with_the_same_bits(after: int, tmp_path: Path) -> None:
    whole = run(Anew(), tmp_path / "whole")
    broken(Anew(), tmp_path / "broken", after)
    assert equal(run(Anew(), tmp_path / "broken"), whole)


def test_what_is_not_forgotten_makes_other_weights(tmp_path: Path) -> None:
    forgot, kept = (run(Anew(forget=forget), tmp_path / str(forget)) for forget in (True, False))
    assert torch.equal(forgot[0]["head.weight"], kept[0]["head.weight"]) is False
    assert [line["terms"] for line in forgot[2][:4]] == [line["terms"] for line in kept[2][:4]]
