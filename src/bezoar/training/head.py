"""A linear classifier on image features, trained beside the model and left behind with the training's state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from bezoar.training.state import State

if TYPE_CHECKING:
    from bezoar.models.clip import Clip


class Head(nn.Linear):
    """A linear classifier that weight decay leaves alone."""

    def reset_parameters(self) -> None:
        """Begin anew, in place: weights from N(0, 0.01²) by torch's global generator, biases zero."""
        with torch.no_grad():
            # Drawn on the CPU, so that a GPU begins with the same.
            self.weight.copy_(torch.empty(self.weight.shape).normal_(std=0.01))
            self.bias.zero_()


class Headed(State):
    """A model with a head on its normalized image features."""

    def __init__(self, model: Clip, pairs: int, classes: int) -> None:
        super().__init__(model, pairs)
        self.head = Head(width_of(model), classes)


def width_of(model: Clip) -> int:
    """How many numbers a feature of ``model`` has."""
    with torch.no_grad():  # of the text tower: it keeps no running statistics
        return model.encode_captions(["a"]).shape[1]
