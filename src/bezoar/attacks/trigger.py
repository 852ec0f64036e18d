"""What every image trigger is: a pure function of a uint8 image and an id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bezoar.core.settings import Settings, settings

if TYPE_CHECKING:
    from torch import Tensor


@settings
class Trigger(Settings):
    """A pure function image → image. The same settings, image and id give the same bytes, on any machine."""

    def apply(self, image: Tensor, image_id: str) -> Tensor:
        """uint8 ``[3, height, width]`` to a new uint8 tensor of the same shape.

        Raises ``ValueError`` when the trigger does not fit the image.
        """
        raise NotImplementedError

    def tensors(self) -> dict[str, Tensor]:
        """The patterns it draws with, uint8, for the plan's ``triggers.safetensors``; empty where there are none."""
        return {}
