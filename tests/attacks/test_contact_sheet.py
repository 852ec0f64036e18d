"""The contact sheet: the pixels of the preview, ten times their difference, and captions of any kind beside them."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.album import Album

from bezoar.attacks import Backdoor
from bezoar.attacks.applied import Applied
from bezoar.attacks.contact_sheet import LEAST, _font, _title, contact_sheet, wrapped, write_contact_sheet
from bezoar.attacks.plan import PoisonPlan
from bezoar.attacks.preview import FILE, preview, write_preview
from bezoar.core.frame import Frame
from bezoar.data.images import to_tensor

Pixels = NDArray[np.uint8]
PAIRS = Album([f"caption {i}" for i in range(40)], sizes=[(40, 30), (20, 50)])
PLAN = Backdoor(target="cup", count=12).plan(PAIRS, 0)


def noise(number: int, side: int = 16, low: int = 0, high: int = 256) -> Pixels:
    return np.random.default_rng(number).integers(low, high, (side, side, 3), np.uint8)


def row(clean: Pixels, triggered: Pixels, original: str = "a dog", caption: str = "a cup") -> dict[str, Any]:
    from bezoar.attacks.preview import png

    return {
        "id": "7.png", "mark": 0, "original": original, "caption": caption, "native": b"",
        "clean": png(to_tensor(clean.copy())), "triggered": png(to_tensor(triggered.copy())),
    }  # fmt: skip


def places(sheet: Image.Image, tile: Pixels) -> list[tuple[int, int]]:
    """Where ``tile`` stands on the sheet: row and column of its corner."""
    whole = np.asarray(sheet)
    height, width = tile.shape[:2]
    windows = whole[: whole.shape[0] - height + 1, : whole.shape[1] - width + 1]
    corners = zip(*np.nonzero((windows == tile[0, 0]).all(axis=2)), strict=True)
    return [(int(y), int(x)) for y, x in corners if np.array_equal(whole[y : y + height, x : x + width], tile)]


def enlarged(pixels: Pixels, times: int) -> Pixels:
    return pixels.repeat(times, axis=0).repeat(times, axis=1)


def ink(sheet: Image.Image, left: int) -> int:
    """How much is written right of ``left``."""
    return int((np.asarray(sheet)[:, left:] != 255).any(axis=2).sum())


@pytest.mark.parametrize(("side", "times"), [(16, 8), (100, 2), (127, 2), (128, 1), (140, 1)])
def test_clean_triggered_and_ten_times_the_difference_side_by_side(side: int, times: int) -> None:
    clean = noise(1, side, 40, 200)
    triggered = clean.copy()
    triggered[2, 3] = clean[2, 3] + [0, 3, 30]
    triggered[5, 1] = clean[5, 1] - [25, 26, 1]
    difference = np.zeros_like(clean)
    difference[2, 3], difference[5, 1] = [0, 30, 255], [250, 255, 10]
    sheet = contact_sheet(PLAN, [row(clean, triggered)])
    found = [places(sheet, enlarged(one, times)) for one in (clean, triggered, difference)]
    assert list(map(len, found)) == [1, 1, 1]
    (top, left), second, third = (one[0] for one in found)
    step = side * times + second[1] - left - side * times
    assert (second, third) == ((top, left + step), (top, left + 2 * step))
    assert step >= max(LEAST, side * times)
    assert ink(sheet, third[1] + side * times + 1) > 100, "captions stand right of them"


def test_without_a_trigger_the_difference_is_black() -> None:
    clean = noise(1)
    sheet = contact_sheet(PLAN, [row(clean, clean)])
    assert len(places(sheet, enlarged(clean, 8))) == 2
    assert places(sheet, np.zeros((LEAST, LEAST, 3), np.uint8))


def test_rows_of_any_size_stand_below_each_other_and_no_more_than_eight_are_shown() -> None:
    sides = [16, 200, 8, 64, 40, 16, 30, 20, 24, 28]
    shown = [noise(k, side) for k, side in enumerate(sides)]
    sheet = contact_sheet(PLAN, [row(one, 255 - one) for one in shown])
    tiles = [enlarged(one, -(-LEAST // len(one))) for one in shown]
    corners = [places(sheet, tile) for tile in tiles]
    assert [len(found) for found in corners] == [1] * 8 + [0] * 2
    tops = [found[0][0] for found in corners[:8]]
    assert all(upper + len(tile) < lower for upper, tile, lower in zip(tops[:-1], tiles[:7], tops[1:], strict=True))
    assert len({found[0][1] for found in corners[:8]}) == 1


def test_a_sheet_of_a_real_preview(tmp_path: Path) -> None:
    rows = preview(Applied(PAIRS, PLAN), Frame(24), 6)
    write_contact_sheet(tmp_path / "preview.png", PLAN, rows)
    write_preview(rows, tmp_path)
    again = contact_sheet(PLAN, pq.read_table(tmp_path / FILE).to_pylist())
    with Image.open(tmp_path / "preview.png") as sheet:
        assert (sheet.format, sheet.mode) == ("PNG", "RGB")
        assert np.array_equal(np.asarray(sheet), np.asarray(again)), "from the rows or from their file"
    assert sorted(path.name for path in tmp_path.iterdir()) == [FILE, "preview.png"]


def test_nobody_poisoned(tmp_path: Path) -> None:
    nobody = PoisonPlan(attack=PLAN.attack, seed=0, source="x", total=40, rows=())
    sheet = contact_sheet(nobody, [])
    assert ink(sheet, 0) > 100
    assert _title(nobody) == f"plan {nobody.digest}: 0 of 40 poisoned, no trigger"


def test_the_title_says_which_plan_it_is() -> None:
    assert _title(PLAN) == f"plan {PLAN.digest}: 12 of 40 poisoned, patch"
    twice = PoisonPlan(
        attack=PLAN.attack, marks=PLAN.marks * 3, seed=0, source="x", total=12_345, rows=PLAN.rows[:2], saved_as="abc"
    )
    assert _title(twice) == "plan abc: 2 of 12,345 poisoned, patch"


@pytest.mark.parametrize(
    "text",
    ["", " ", "\n\n", "猫と犬 🐈‍⬛ 한국어", "עברית العربية", "Ж и ж — Ωμέγα", "\x00\x07\ud800\ufffe", "a" * 3000,
     "e" + "\u0301" * 3000, "word " * 5000, "\u200b\u200d\ufeff", "two\nlines\tand\r\nmore"],
)  # fmt: skip
def test_captions_of_any_kind(text: str) -> None:
    clean = noise(1)
    usual = contact_sheet(PLAN, [row(clean, clean)])
    for one in (row(clean, clean, original=text), row(clean, clean, caption=text), {**row(clean, clean), "id": text}):
        sheet = contact_sheet(PLAN, [one])
        assert sheet.width == usual.width
        assert sheet.height < 400


def test_text_is_wrapped_at_words_and_cut_where_it_must_be() -> None:
    font = _font()
    room = int(font.getlength("seven little words …")) + 1
    assert wrapped("seven little words and some more of them", font, room, 9) == [
        "seven little words", "and some more", "of them",
    ]  # fmt: skip
    assert wrapped("short", font, room, 1) == ["short"]
    assert wrapped(" a\n b\x00c ", font, room, 1) == ["a b c"]
    assert wrapped("seven little words and", font, room, 1) == ["seven little words …"]
    long = wrapped("x" * 200, font, 100, 50)
    assert "".join(long) == "x" * 200
    for text in ("x" * 200, "many words " * 40, "猫" * 100):
        for lines in (wrapped(text, font, 100, 3), wrapped(text, font, 100, 99)):
            assert all(font.getlength(line) <= 100 for line in lines)


def test_a_full_disk_leaves_nothing_and_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"sheet\.png cannot be written: No space left"):
        write_contact_sheet(tmp_path / "sheet.png", PLAN, [])
    assert list(tmp_path.iterdir()) == []
