"""How a model wants its pictures: resized and cropped to one square."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

Resize = Literal["shortest", "longest", "squash"]
Interpolation = Literal["bicubic", "bilinear"]

LARGEST = 8_192
"""Pixels of the side of a picture that a model may ask for."""


@dataclass(frozen=True)
class Frame:
    """The deterministic part of a model's preprocessing, before any random view and before normalization."""

    size: Annotated[int, Field(ge=1)]
    """Side in pixels of the square that the model sees."""
    resize: Resize = "shortest"
    """What is brought to ``side``: the shorter side, and the center is cut out; the longer, and the rest is padded with
    black; or both, whatever that does to the proportions."""
    interpolation: Interpolation = "bicubic"
    """Antialiased."""
    larger: int | None = None
    """Side to resize to before the center is cut out, where it is another than ``size`` (256 for 224 with DeCLIP)."""

    def __post_init__(self) -> None:
        """Raise ``ValueError`` for sides that no model has, as a card from anybody may say."""
        for name, side in (("size", self.size), ("larger", self.side)):
            if not 1 <= side <= LARGEST:
                raise ValueError(f"frame.{name}: must be between 1 and {LARGEST:,} px, got {side}")

    @property
    def side(self) -> int:
        """What the picture is resized to, in pixels."""
        return self.size if self.larger is None else self.larger

    @property
    def plain(self) -> dict[str, int | str]:
        """For files: the size, and what is not as usual."""
        usual = Frame(self.size)
        return {name: value for name, value in vars(self).items() if name == "size" or value != getattr(usual, name)}

    @property
    def usual(self) -> bool:
        """Whether it is CLIP's own: the shorter side to ``size``, bicubic, the center."""
        return self == Frame(self.size)
