"""A contact sheet: some poisoned pairs as one picture, clean, triggered and ten times the difference, with captions."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bezoar.core.files import atomic
from bezoar.core.settings import kind_of

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

    from bezoar.attacks.plan import PoisonPlan

ROWS = 8
TIMES = 10
LEAST = 128
"""Pixels of the shorter side of a picture on the sheet; a smaller one is shown larger, each pixel as a square."""
_GAP, _TEXT, _LINE, _FONT = 12, 360, 18, 12
"""Pixels between things; of the column of captions; from line to line; of a letter's height."""
_LINES = 4
"""Of a caption at most."""
_BLACK, _GRAY = (0, 0, 0), (112, 112, 112)


def write_contact_sheet(path: Path, plan: PoisonPlan, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write ``contact_sheet`` of the same as PNG."""
    sheet = contact_sheet(plan, rows)
    with atomic(path) as stream:
        sheet.save(stream, "PNG")


def contact_sheet(plan: PoisonPlan, rows: Sequence[Mapping[str, Any]]) -> Image:
    """The first eight of ``rows``, which ``preview`` made of ``plan``: RGB.

    The difference is |triggered - clean| × 10, clipped: black where only the caption is poisoned. Letters that the
    font does not have are boxes.
    """
    from PIL import Image, ImageDraw

    font = _font()
    tiles = [_tiles(row) for row in rows[:ROWS]]
    widths = [max([LEAST, *(three[k].width for three in tiles)]) for k in range(3)]
    lefts = list(accumulate([_GAP, *widths], lambda left, width: left + width + _GAP))
    width = lefts[-1] + _TEXT + _GAP
    head = wrapped(_title(plan), font, width - 2 * _GAP, _LINES)
    texts = [_texts(row, font) for row in rows[:ROWS]]
    heights = [
        max(len(lines) * _LINE, *(tile.height for tile in three)) for lines, three in zip(texts, tiles, strict=True)
    ]
    top = _GAP + (len(head) + 1) * _LINE + _GAP
    sheet = Image.new("RGB", (width, top + sum(height + _GAP for height in heights)), "white")
    draw = ImageDraw.Draw(sheet)
    _write(draw, font, _GAP, _GAP, [(line, _BLACK) for line in head])
    for left, name in zip(lefts, ("clean", "triggered", f"difference × {TIMES}", "captions"), strict=True):
        _write(draw, font, left, _GAP + len(head) * _LINE, [(name, _GRAY)])
    for three, lines, height in zip(tiles, texts, heights, strict=True):
        for left, tile in zip(lefts, three, strict=False):
            sheet.paste(tile, (left, top))
        _write(draw, font, lefts[-1], top, lines)
        top += height + _GAP
    return sheet


def _font() -> FreeTypeFont:
    """The font of matplotlib: it has Greek, Cyrillic, Hebrew and Arabic letters, which Pillow's own has not."""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), _FONT)


def wrapped(text: str, font: FreeTypeFont, width: int, most: int) -> list[str]:
    """``text`` in at most ``most`` lines of ``width`` pixels; a word that is too long is cut, what is too much is left.

    What cannot be printed, as the end of a line, is a space.
    """
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    lines: list[str] = []
    room = width - font.getlength(" …")
    while text and len(lines) < most:
        # By bisection: captions may be as long as books.
        fits, beyond = 1, min(len(text), width) + 1
        while beyond - fits > 1:
            middle = (fits + beyond) // 2
            fits, beyond = (middle, beyond) if font.getlength(text[:middle]) <= room else (fits, middle)
        space = text.rfind(" ", 0, fits + 1) if fits < len(text) else -1
        cut = space if space > 0 else fits
        lines.append(text[:cut].rstrip())
        text = text[cut:].lstrip()
    if text:
        lines[-1] += " …"
    return lines


def _tiles(row: Mapping[str, Any]) -> tuple[Image, Image, Image]:
    """Clean, triggered and difference as they are shown."""
    from PIL import ImageChops

    clean, triggered = _read(row["clean"]), _read(row["triggered"])
    difference = ImageChops.difference(clean, triggered).point(lambda value: min(value * TIMES, 255))
    return _enlarged(clean), _enlarged(triggered), _enlarged(difference)


def _read(png: bytes) -> Image:
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        return image.convert("RGB")


def _enlarged(image: Image) -> Image:
    from PIL.Image import Resampling

    times = -(-LEAST // min(image.size))
    return image.resize((image.width * times, image.height * times), Resampling.NEAREST)


def _title(plan: PoisonPlan) -> str:
    kinds = dict.fromkeys(kind_of(one) for one in (*(mark.trigger for mark in plan.marks), *plan.words))
    return f"plan {plan.digest}: {len(plan.rows):,} of {plan.length:,} poisoned, {' + '.join(kinds) or 'no trigger'}"


def _texts(row: Mapping[str, Any], font: FreeTypeFont) -> list[tuple[str, tuple[int, int, int]]]:
    """The lines beside a row's pictures, with their colors."""
    lines = [(line, _GRAY) for line in wrapped(row["id"], font, _TEXT, 1)]
    for name, text in (("before", row["original"]), ("after", row["caption"])):
        lines.append((f"{name}:", _GRAY))
        lines += [(line, _BLACK) for line in wrapped(text or "(none)", font, _TEXT, _LINES)]
    return lines


def _write(
    draw: ImageDraw, font: FreeTypeFont, left: int, top: int, lines: Sequence[tuple[str, tuple[int, int, int]]]
) -> None:
    for number, (line, color) in enumerate(lines):
        draw.text((left, top + number * _LINE), line, fill=color, font=font)
