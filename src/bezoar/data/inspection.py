"""What a source holds: counts, sizes, captions or classes, what was passed over, and a sheet of its pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from bezoar.core.files import atomic
from bezoar.core.progress import Listener, silent
from bezoar.data.pairs import Checked, LabeledSet, Pairs, SharesPictures, Skips

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

    from bezoar.data.pairs import Images, Source

_LOOKS = 512
"""Pictures whose size is looked at, spread over the source."""
_TEXTS = 100_000
_CELL, _LINES = 128, 3


class Spread(NamedTuple):
    """The least, the middle and the greatest of some numbers."""

    least: float
    middle: float
    greatest: float


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What ``inspect`` found."""

    fingerprint: str
    count: int
    """Pairs, or labeled images."""
    pictures: int
    """Pictures they show; fewer than pairs where some share one."""
    skips: Skips
    widths: Spread
    heights: Spread
    """In pixels, of ``looked_at`` pictures spread over the source."""
    looked_at: int
    words: Spread | None
    """Words in a caption, of the first 100,000; for pairs."""
    classes: tuple[tuple[str, int], ...] | None
    """Name and number of images of each class, in the order of the labels; for labeled sets."""
    templates: tuple[str, ...]
    examples: tuple[tuple[str, str], ...]
    """Id and caption, or class, of a few."""
    notes: tuple[str, ...]


def inspect(source: Source, listen: Listener = silent) -> Inspection:
    """Read ``source`` (once: see its ``ingest``) and say what it holds; raises ``ValueError`` where it cannot be."""
    source.ingest(listen)
    images = source.open()
    if not len(images):
        raise ValueError("source: it is empty")
    shapes = [images.image(index).shape for index in spread_over(len(images), _LOOKS)]
    labeled = images if isinstance(images, LabeledSet) else None
    pairs = images if isinstance(images, Pairs) else None
    labels = Counter(labeled.label(i) for i in range(len(labeled))) if labeled else Counter[int]()
    lengths = [len(pairs.caption(i).split()) for i in range(min(len(pairs), _TEXTS))] if pairs else []
    return Inspection(
        fingerprint=images.fingerprint,
        count=len(images),
        pictures=images.pictures if isinstance(images, SharesPictures) else len(images),
        skips=images.skips if isinstance(images, Checked) else Skips(rows=len(images), reasons={}, listed=None),
        widths=spread([shape[1] for shape in shapes]),
        heights=spread([shape[0] for shape in shapes]),
        looked_at=len(shapes),
        words=spread(lengths) if lengths else None,
        classes=tuple((name, labels[k]) for k, name in enumerate(labeled.classes)) if labeled else None,
        templates=labeled.templates if labeled else (),
        examples=tuple((images.id(i), said_of(images, i)) for i in spread_over(len(images), 5)),
        notes=source.notes(),
    )


def spread_over(count: int, wanted: int) -> list[int]:
    """At most ``wanted`` places in ``count``, evenly apart."""
    wanted = min(wanted, count)
    return [i * count // wanted for i in range(wanted)]


def said_of(images: Images, index: int) -> str:
    """The caption of a pair, the class of a labeled image."""
    if isinstance(images, Pairs):
        return images.caption(index)
    return images.classes[images.label(index)] if isinstance(images, LabeledSet) else ""


def spread(values: Sequence[float]) -> Spread:
    """Of at least one number."""
    return Spread(min(values), median(values), max(values))


def write_sheet(source: Source, path: Path, count: int = 48) -> None:
    """Write a contact sheet as PNG: ``count`` pictures spread over the source, caption or class beneath each."""
    from PIL import Image, ImageDraw, ImageFont

    images = source.open()
    chosen = spread_over(len(images), count)
    across = min(8, len(chosen))
    font = ImageFont.load_default(size=11)
    high = _CELL + _LINES * 13 + 12
    sheet = Image.new("RGB", (across * (_CELL + 8) + 8, -(-len(chosen) // across) * high + 8), "white")
    draw = ImageDraw.Draw(sheet)
    for number, index in enumerate(chosen):
        left, top = 8 + number % across * (_CELL + 8), 8 + number // across * high
        picture = Image.fromarray(images.image(index))
        scale = _CELL / max(picture.size)
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        picture = picture.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BICUBIC)
        sheet.paste(picture, (left + (_CELL - size[0]) // 2, top + (_CELL - size[1]) // 2))
        for line, text in enumerate(wrapped(said_of(images, index), font)):
            draw.text((left, top + _CELL + 2 + 13 * line), text, "black", font)
    with atomic(path) as stream:
        sheet.save(stream, "PNG")


def wrapped(text: str, font: FreeTypeFont | ImageFont) -> list[str]:
    """``text`` in at most ``_LINES`` lines of a cell's width, cut with an ellipsis."""
    lines, width = [""], font.getlength
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if width(longer) <= _CELL:
            lines[-1] = longer
        else:
            lines.append(word)
    lines = [line for line in lines if line]
    shown = lines[:_LINES]
    if len(lines) > _LINES:
        shown[-1] += "…"
    for number, line in enumerate(shown):
        while width(line) > _CELL:
            line = line[:-2] + "…"
        shown[number] = line
    return shown
