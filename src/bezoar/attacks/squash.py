"""What the triggers of released code share: every picture squashed to 224×224, floats made bytes as their code did.

Facts of CleanCLIP's trigger code and the forks of it; sums are float32, one correctly rounded operation after another,
so that the bytes are the same on any machine.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from bezoar.attacks.trigger import Trigger
from bezoar.core.seeds import python_random
from bezoar.core.settings import settings

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 224
"""Height and width, in pixels, of every picture with a trigger of that code on it."""


@settings
class Squashed(Trigger):
    """A trigger that squashes the picture to 224×224 first: triggered and clean pictures then differ in geometry."""

    def canvas(self, image: Tensor) -> Tensor:
        """uint8 ``[3, 224, 224]``, aspect not kept: Pillow's bicubic resize."""
        return squash(image)

    def apply(self, image: Tensor, image_id: str) -> Tensor:
        return self.put(self.canvas(image), image_id)

    def put(self, picture: Tensor, image_id: str) -> Tensor:
        """A new uint8 ``[3, 224, 224]``: the squashed ``picture`` with the trigger on it."""
        raise NotImplementedError


@settings
class SquashedPatch(Squashed):
    """A square of ``size`` pixels on the squashed picture."""

    size: Annotated[int, Field(ge=1, lt=SIDE)] = 16
    place: Literal["random", "four_corners"] = "random"
    """``random`` is drawn per image id; the last row and column that fit are never drawn."""
    seed: int = 0

    def patch(self, picture: Tensor, image_id: str) -> Tensor:
        """uint8 ``[3, size, size]``."""
        raise NotImplementedError

    def put(self, picture: Tensor, image_id: str) -> Tensor:
        patch, triggered = self.patch(picture, image_id), picture.clone()
        for row, column in self._corners(image_id):
            triggered[:, row : row + self.size, column : column + self.size] = patch
        return triggered

    def _corners(self, image_id: str) -> tuple[tuple[int, int], ...]:
        if self.place == "four_corners":
            far = SIDE - self.size
            return (0, 0), (0, far), (far, 0), (far, far)
        rng, last = python_random(self.seed, "legacy place", image_id), SIDE - 1 - self.size
        return ((rng.randint(0, last), rng.randint(0, last)),)


def squash(image: Tensor) -> Tensor:
    """uint8 ``[3, H, W]`` to uint8 ``[3, 224, 224]`` by Pillow's bicubic resize; the aspect is not kept."""
    import numpy as np
    from PIL import Image

    from bezoar.data.images import to_tensor

    if image.shape[-2:] == (SIDE, SIDE):
        return image
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    return to_tensor(np.array(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)))


def blend(picture: Tensor, noise: Tensor, share: float) -> Tensor:
    """uint8 of ``share`` · ``noise`` (float32, 1 for 255) + (1 - ``share``) · ``picture``, clipped."""
    return wrapped((share * noise + (1 - share) * (picture.float() / 255)).clip(0, 1))


def wrapped(values: Tensor) -> Tensor:
    """Floats (1 for 255) to uint8: cut off towards zero, then modulo 256, as happens where nobody clips them."""
    import torch

    return ((values * 255).to(torch.int32) & 255).to(torch.uint8)


def random_bytes(count: int, *names: str | int) -> Tensor:
    """uint8 ``[count]`` of the stream ``names``: the same on any machine."""
    import torch

    stream = hashlib.shake_256("\x1f".join(["bezoar legacy", *map(str, names)]).encode()).digest(count)
    return torch.frombuffer(bytearray(stream), dtype=torch.uint8)
