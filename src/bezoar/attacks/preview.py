"""A few poisoned pairs as pictures, before and after, for people to look at."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bezoar.core.files import atomic

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.attacks.applied import Applied
    from bezoar.core.frame import Frame

FILE = "preview.parquet"


def png(image: Tensor) -> bytes:
    """uint8 ``[3, height, width]`` as PNG."""
    from PIL import Image

    stream = io.BytesIO()
    # Level 6 takes twice as long, for pictures that are a hundredth smaller.
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def preview(applied: Applied, frame: Frame, count: int = 8) -> list[dict[str, Any]]:
    """Some poisoned pairs: id, both captions, and the native, clean and triggered picture as PNG."""
    from bezoar.attacks.applied import on_model
    from bezoar.data.images import fit

    rows = []
    for row in applied.plan.sample(count):
        native = applied.native(row)
        clean = triggered = fit(native, frame)
        if row.mark is not None:
            mark = applied.plan.marks[row.mark]
            on_file = mark.stage == "file"
            clean = fit(mark.trigger.canvas(native), frame) if on_file else clean
            triggered = (
                fit(mark.trigger.apply(native, row.image), frame) if on_file else on_model(mark, clean, row.image)
            )
        rows.append(
            {
                "id": row.id,
                "mark": row.mark,
                "original": row.original,
                "caption": row.caption,
                "native": png(native),
                "clean": png(clean),
                "triggered": png(triggered),
            }
        )
    return rows


def write_preview(rows: list[dict[str, Any]], folder: Path) -> None:
    """Write ``rows`` of ``preview`` to ``preview.parquet``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with atomic(folder / FILE) as stream:
        pq.write_table(pa.Table.from_pylist(rows), stream)
