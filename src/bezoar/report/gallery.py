"""Pictures of the poison: clean, triggered, and what changed, of every trigger of every plan, as data addresses."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bezoar.report.wording import words

if TYPE_CHECKING:
    from bezoar.report.runs import Run

_OTHERS = 3
"""Pictures of a trigger in the plans of later seeds, and where there are several attacks."""


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


@dataclass(frozen=True, kw_only=True)
class Wall:
    """One trigger of one plan."""

    attack: str
    """The attack by name; empty for the experiment's own."""
    pairs: str
    seed: int
    trigger: str
    """The trigger in words; empty where none is put on these pictures."""
    exhibits: tuple[Exhibit, ...]
    """None where the plan keeps no picture of this trigger."""


def walls(run: Run, most: int, lossy: bool = False) -> Iterator[Wall]:
    """Every trigger of every plan, with at most ``most`` pictures each; of later seeds and of several attacks fewer.

    Where there are several attacks only those of the first seed are shown.
    """
    first = run.plans[0].seed if run.plans else 0
    several = len({plan.attack for plan in run.plans}) > 1
    for plan in run.plans:
        if several and plan.seed != first:
            continue
        shown: dict[int, list[Mapping[str, Any]]] = {number: [] for number in range(len(plan.triggers))}
        for row in plan.preview:
            mark = row.get("mark")
            shown.setdefault(len(plan.triggers) if mark is None else mark, []).append(row)
        for number, rows in sorted(shown.items()):
            kept = rows[: most if plan.seed == first and not several else min(most, _OTHERS)]
            yield Wall(
                attack=plan.attack,
                pairs=plan.pairs,
                seed=plan.seed,
                trigger=words(plan.triggers[number]) if number < len(plan.triggers) else "",
                exhibits=tuple(exhibit(row, lossy) for row in kept),
            )


def exhibit(row: Mapping[str, Any], lossy: bool = False) -> Exhibit:
    """A row of ``preview.parquet`` with its amplified difference; raises ``ValueError`` for what is no such row.

    The difference is taken before anything is compressed with loss.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(row["clean"])) as clean, Image.open(io.BytesIO(row["triggered"])) as triggered:
            changed, factor = _difference(clean.convert("RGB"), triggered.convert("RGB"))
        return Exhibit(
            id=row["id"], original=row["original"], caption=row["caption"], clean=address(row["clean"], lossy),
            triggered=address(row["triggered"], lossy), difference=address(changed, lossy), factor=factor,
            width=clean.width, height=clean.height,
        )  # fmt: skip
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"preview.parquet: not a row of poisoned pictures: {error!r}") from None


def address(png: bytes, lossy: bool = False) -> str:
    """PNG bytes as an address that holds them, with ``lossy`` as JPEG where that is smaller."""
    from PIL import Image

    if lossy:
        stream = io.BytesIO()
        with Image.open(io.BytesIO(png)) as picture:
            picture.convert("RGB").save(stream, "JPEG", quality=90)
        if len(stream.getvalue()) < len(png):
            return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
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
