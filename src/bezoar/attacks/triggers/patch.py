"""BadNets: a small square pasted on the image (Gu et al. 2017; on CLIP: Carlini & Terzis 2022)."""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from bezoar.attacks.trigger import Trigger
from bezoar.core.seeds import python_random
from bezoar.core.settings import settings

if TYPE_CHECKING:
    from torch import Tensor

_Byte = Annotated[int, Field(ge=0, le=255)]


@settings
class Patch(Trigger):
    """A square of ``size`` pixels at ``reference`` resolution, scaled with the image's shorter side.

    Fields hold CleanCLIP's values (16 of 224 px at a random place); its released code drew a fresh noise patch for
    every image, here the pattern is fixed by ``seed``.
    """

    kind: ClassVar[str] = "patch"
    shorthand: ClassVar[str] = "pattern"
    size: Annotated[int, Field(ge=1)] = 16
    reference: Annotated[int, Field(ge=1)] = 224
    """Shorter side of the image, in pixels, at which the square is ``size`` pixels wide."""
    pattern: Literal["noise", "binary", "solid", "checkerboard"] = "noise"
    """Fixed random bytes, fixed random bytes of 0 and 255 only, one color, or a checkerboard of ``color`` and black."""
    color: tuple[_Byte, _Byte, _Byte] = (255, 255, 255)
    cell: Annotated[int, Field(ge=1)] = 1
    """Width of one square of the checkerboard, or one grain of the noise, in pixels at reference resolution."""
    place: Literal["random", "center", "top_left", "top_right", "bottom_left", "bottom_right"] = "random"
    """``random`` is drawn per image id, from the whole image."""
    margin: Annotated[int, Field(ge=0)] = 0
    """Distance of a cornered square from the border, in pixels at reference resolution."""
    seed: int = 0

    def tensors(self) -> dict[str, Tensor]:
        return {"patch": self._pattern()}

    def apply(self, image: Tensor, image_id: str) -> Tensor:
        height, width = int(image.shape[-2]), int(image.shape[-1])
        ratio = min(height, width) / self.reference
        side, margin = max(1, round(self.size * ratio)), round(self.margin * ratio) if self._cornered else 0
        if side + margin > min(height, width):
            raise ValueError(
                f"trigger.size: a patch of {side} px with a margin of {margin} px does not fit an image of "
                f"{width}×{height} px (size {self.size} at reference {self.reference})"
            )
        row, column = self._corner(height - side, width - side, margin, image_id)
        triggered = image.clone()
        triggered[:, row : row + side, column : column + side] = _square(self, side)
        return triggered

    @property
    def _cornered(self) -> bool:
        return self.place not in ("random", "center")

    def _pattern(self) -> Tensor:
        """uint8 ``[3, size, size]``."""
        import torch

        if self.pattern == "solid":
            return torch.tensor(self.color, dtype=torch.uint8).view(3, 1, 1).repeat(1, self.size, self.size)
        cells = torch.arange(self.size) // self.cell
        if self.pattern == "checkerboard":
            lit = ((cells[:, None] + cells[None, :]) % 2 == 0).to(torch.uint8)
            return lit * torch.tensor(self.color, dtype=torch.uint8).view(3, 1, 1)
        count = int(cells[-1]) + 1
        raw = hashlib.shake_256(f"bezoar patch {self.seed}".encode()).digest(3 * count * count)
        noise = torch.tensor(list(raw), dtype=torch.uint8).view(3, count, count)
        if self.pattern == "binary":
            noise = (noise >> 7) * 255
        return noise[:, cells][:, :, cells]

    def _corner(self, rows: int, columns: int, margin: int, image_id: str) -> tuple[int, int]:
        """Top-left pixel of the square; ``rows`` and ``columns`` are the last that fit."""
        if self.place == "random":
            rng = python_random(self.seed, "patch place", image_id)
            return rng.randint(0, rows), rng.randint(0, columns)
        if self.place == "center":
            return rows // 2, columns // 2
        return (
            margin if self.place.startswith("top") else rows - margin,
            margin if self.place.endswith("left") else columns - margin,
        )


@functools.lru_cache(maxsize=256)
def _square(patch: Patch, side: int) -> Tensor:
    """The pattern on a square of ``side`` pixels; to be read only. Drawing it takes longer than putting it on."""
    import torch

    grid = (torch.arange(side) * patch.size) // side
    return patch._pattern()[:, grid][:, :, grid]
