"""A linear classifier on image features, whose classes have names."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class LinearHead(nn.Linear):
    """Image features before normalization, ``[n, d]``, to a logit for each class, ``[n, classes]``."""

    def __init__(self, width: int, classes: Sequence[str], generator: torch.Generator) -> None:
        """Weights and biases are uniform in ±1/√width, as torch's, drawn from ``generator``."""
        super().__init__(width, len(classes))
        self.classes = tuple(classes)
        """The name of each class, in the order of the logits; no two are the same."""
        with torch.no_grad():
            for parameter in (self.weight, self.bias):
                parameter.uniform_(-(width**-0.5), width**-0.5, generator=generator)
