"""Pictures of the poison: clean, triggered, and what changed, as data addresses."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """One poisoned pair as the page shows it."""

    id: str
    original: str
    caption: str
    clean: str
    """The picture as the model would have got it, as a ``data:`` address."""
    triggered: str
    difference: str
    factor: float
    """By how much the difference is amplified."""
    width: int
    height: int


def exhibit(row: Mapping[str, Any]) -> Exhibit:
    """A row of ``preview.parquet`` with its amplified difference; raises ``ValueError`` for what is no such row."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(row["clean"])) as clean, Image.open(io.BytesIO(row["triggered"])) as triggered:
            changed, factor = _difference(clean.convert("RGB"), triggered.convert("RGB"))
        return Exhibit(
            id=row["id"], original=row["original"], caption=row["caption"], clean=address(row["clean"]),
            triggered=address(row["triggered"]), difference=address(changed), factor=factor,
            width=clean.width, height=clean.height,
        )  # fmt: skip
    except (OSError, KeyError, TypeError) as error:
        raise ValueError(f"preview.parquet: not a row of poisoned pictures: {error!r}") from None


def address(png: bytes) -> str:
    """PNG bytes as an address that holds them."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _difference(clean: Any, triggered: Any) -> tuple[bytes, float]:
    """|triggered - clean| stretched until its largest value is 255, as PNG, and the factor."""
    import numpy as np
    from PIL import ImageChops

    difference = ImageChops.difference(clean, triggered)
    largest = int(np.asarray(difference).max())
    factor = 255 / largest if largest else 1.0
    stream = io.BytesIO()
    difference.point(lambda value: round(value * factor)).save(stream, "PNG")
    return stream.getvalue(), factor
