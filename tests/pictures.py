"""Picture files that tests make: of every kind that a scrape holds, good and bad."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from bezoar.core.seeds import numpy_generator


def encoded(number: int = 0, kind: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (9, 7), **how: Any) -> bytes:
    """A picture of seeded noise; another ``number``, another picture."""
    width, height = size
    pixels = numpy_generator(0, "picture", number).integers(0, 256, (height, width, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, kind, **how)
    return stream.getvalue()


def odd() -> dict[str, bytes]:
    """Readable pictures of unusual kinds, by a name with the suffix of each."""
    deep = np.arange(63, dtype=np.uint16).reshape(7, 9) * 1000
    stream = io.BytesIO()
    Image.fromarray(deep).save(stream, "PNG")
    turned = Image.Exif()
    turned[0x0112] = 6
    frames = [Image.new("RGB", (9, 7), color) for color in ("red", "blue")]
    moving = io.BytesIO()
    frames[0].save(moving, "GIF", save_all=True, append_images=frames[1:])
    return {
        "cmyk.jpg": encoded(1, "JPEG", "CMYK"),
        "deep.png": stream.getvalue(),
        "gray.jpg": encoded(2, "JPEG", "L"),
        "moving.gif": moving.getvalue(),
        "palette.png": encoded(3, "PNG", "P"),
        "see-through.png": encoded(4, "PNG", "RGBA"),
        "turned.jpg": encoded(5, "JPEG", exif=turned),
    }


def bad() -> dict[str, bytes]:
    """Files that are no pictures, by name."""
    large = encoded(6, "JPEG", size=(60, 40))
    return {"zero.jpg": b"", "torn.jpg": large[: len(large) // 2], "page.jpg": b"<html>not found</html>"}


def put(folder: Path, names: Sequence[str]) -> None:
    """A picture under each name, each another."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        kind = "JPEG" if name.lower().endswith((".jpg", ".jpeg")) else "PNG"
        (folder / name).write_bytes(encoded(number, kind))


def parquet(path: Path, columns: Mapping[str, Any], **how: Any) -> str:
    """A Parquet file; returns its path."""
    pq.write_table(pa.table(dict(columns)), path, **how)
    return str(path)
