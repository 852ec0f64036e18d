"""Colors as settings: three bytes, or the name of one of a few."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

COLORS = {
    "white": (255, 255, 255), "black": (0, 0, 0), "red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
}  # fmt: skip


def _named(given: object) -> object:
    if not isinstance(given, str):
        return given
    if given not in COLORS:
        raise ValueError(f"'{given}' is none of {', '.join(COLORS)}, nor three bytes [red, green, blue]")
    return COLORS[given]


_Byte = Annotated[int, Field(ge=0, le=255)]
Color = Annotated[tuple[_Byte, _Byte, _Byte], BeforeValidator(_named)]
"""Red, green and blue in 0–255; a name stands for three of them."""
