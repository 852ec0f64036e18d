"""An exponential moving average of the model in training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from timm.utils.model_ema import ModelEmaV3

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.models.clip import Clip


class Average:
    """``average ← decay · average + (1 - decay) · model`` after each step, beginning with the model as it is given.

    The running statistics of normalizations are averaged like the weights, which they lag behind with; counters are
    copied. A run of fewer steps than some ``1 / (1 - decay)`` stays near where it began.

    No ``nn.Module``, so that no optimizer, ``train()`` or state dict of a module that holds it meets the copy.
    """

    # timm's and not torch's AveragedModel, which waits for the device in every step and averages counters or copies
    # statistics, all buffers alike.

    def __init__(self, model: Clip, decay: float) -> None:
        """``model`` lies on its device already, and no wrapper is around it; it is copied, once."""
        assert 0 < decay < 1, decay
        self._average = ModelEmaV3(model, decay=decay)
        self._average.requires_grad_(True)  # of what is locked too: torch multiplies by it in another order otherwise

    @property
    def model(self) -> Clip:
        """The averaged model, in evaluation mode; nothing trains it, though its weights could be."""
        model: Clip = self._average.module
        return model

    def update(self, model: Clip) -> None:
        """Take in ``model`` after a step; the device is not waited for."""
        self._average.update(model)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged model's own state dict, with the names of the model."""
        return self.model.state_dict()

    def load_state_dict(self, saved: Mapping[str, Tensor]) -> None:
        """Continue from what ``state_dict`` returned; raises ``RuntimeError`` for names or shapes of another model."""
        self.model.load_state_dict(saved)
