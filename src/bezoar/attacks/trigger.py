"""What every image trigger is: a pure function of a uint8 image and an id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bezoar.core.settings import Settings, settings

if TYPE_CHECKING:
    from typing import Self

    from torch import Tensor


@settings
class Trigger(Settings):
    """A pure function image → image. The same settings, image and id give the same bytes, on any machine."""

    def apply(self, image: Tensor, image_id: str) -> Tensor:
        """uint8 ``[3, height, width]`` to a new uint8 tensor of the shape of ``canvas(image)``.

        Raises ``ValueError`` when the trigger does not fit the image.
        """
        raise NotImplementedError

    def canvas(self, image: Tensor) -> Tensor:
        """The picture as the trigger takes it: itself. Only legacy variants reshape it first, and so confound."""
        return image

    def tensors(self) -> dict[str, Tensor]:
        """What it draws with, in integers, for the plan's ``triggers.safetensors``; empty where that is nothing fixed.

        The pixels of a user's picture stand under a name that is ``picture`` or ends in ``.picture``.
        """
        return {}

    def pinned(self) -> Self:
        """The same trigger with what it reads from files named by its content, so that the content is its setting."""
        return self
