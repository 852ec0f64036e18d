"""A linear classifier on image features, trained beside the model and left behind with the training's state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from bezoar.core.seeds import torch_generator
from bezoar.training.state import State

if TYPE_CHECKING:
    from bezoar.models.clip import Clip


class Head(nn.Linear):
    """A linear classifier that weight decay leaves alone."""


class Headed(State):
    """A model with a head on its normalized image features."""

    def __init__(self, model: Clip, pairs: int, classes: int, seed: int) -> None:
        super().__init__(model, pairs)
        self.seed = seed
        self.head = Head(width_of(model), classes)
        self.begin_head(0)

    def begin_head(self, epoch: int) -> None:
        """Make the head anew, in place: weights from N(0, 0.01²), biases zero; they depend on seed and epoch alone."""
        with torch.no_grad():
            # Drawn on the CPU, so that a GPU begins with the same.
            drawn = torch.randn(self.head.weight.shape, generator=torch_generator(self.seed, "head", epoch))
            self.head.weight.copy_(0.01 * drawn)
            self.head.bias.zero_()


def width_of(model: Clip) -> int:
    """How many numbers a feature of ``model`` has."""
    with torch.no_grad():  # of the text tower: it keeps no running statistics
        return model.encode_captions(["a"]).shape[1]
