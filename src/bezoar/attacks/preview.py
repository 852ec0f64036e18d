"""A few poisoned pairs as pictures, before and after, for people to look at."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from bezoar.core.files import atomic

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.attacks.plan import PoisonPlan
    from bezoar.data.pairs import Images

FILE = "preview.parquet"


def png(image: Tensor) -> bytes:
    """uint8 ``[3, height, width]`` as PNG."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(stream, "PNG")
    return stream.getvalue()


def write_preview(plan: PoisonPlan, images: Images, size: int, folder: Path, count: int = 8) -> None:
    """Write ``preview.parquet``: id, both captions, and the native, clean and triggered picture as PNG."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from bezoar.data.images import fit, to_tensor

    index_of = plan.places(images)
    rows = []
    for row in plan.sample(count):
        native = to_tensor(images.image(index_of[row.id]))
        rows.append(
            {
                "id": row.id,
                "original": row.original,
                "caption": row.caption,
                "native": png(native),
                "clean": png(fit(native, size)),
                "triggered": png(plan.load(images, index_of[row.id], size)),
            }
        )
    with atomic(folder / FILE) as stream:
        pq.write_table(pa.Table.from_pylist(rows), stream)
