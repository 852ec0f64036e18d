"""A word written over the picture: the pattern ``water_patt`` of Singh et al., "Perturb and Recover"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field, field_validator

from bezoar.attacks.color import Color
from bezoar.attacks.font import GLYPHS, write
from bezoar.attacks.pattern import Pattern, checkers, spread
from bezoar.core.settings import settings

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.attacks.pattern import Shape


@settings
class Watermark(Pattern):
    """One line of text across the middle, as wide as fits; only the letters are put on. Blended with 0.5."""

    kind: ClassVar[str] = "watermark"
    shorthand: ClassVar[str] = "text"
    text: Annotated[str, Field(pattern=r"\S")] = "Watermarked"
    color: Color = (255, 0, 0)

    @field_validator("text")
    @classmethod
    def _check_text(cls, text: str) -> str:
        unknown = sorted(set(text) - set(GLYPHS))
        if unknown:
            raise ValueError(f"cannot write {', '.join(map(repr, unknown))} (letters are: {''.join(sorted(GLYPHS))})")
        return text

    def draw(self, shape: Shape, nominal: Shape, image_id: str) -> Tensor:
        return spread(checkers(self.color, self._letters(min(nominal))), shape, nominal)

    def cover(self, shape: Shape, nominal: Shape) -> Tensor | None:
        return spread(self._letters(min(nominal))[None], shape, nominal)

    def _letters(self, side: int) -> Tensor:
        """Where there is ink: bool ``[side, side]``."""
        import torch

        line = write(self.text)
        height, width = line.shape
        times = side // max(width, height)
        if not times:
            raise ValueError(
                f"pattern.text: '{self.text}' takes {width} px in a line, more than the {side} px of the area at "
                "reference resolution"
            )
        line = line.repeat_interleave(times, 0).repeat_interleave(times, 1)
        height, width = line.shape
        area = torch.zeros(side, side, dtype=torch.bool)
        top, left = (side - height) // 2, (side - width) // 2
        area[top : top + height, left : left + width] = line
        return area
