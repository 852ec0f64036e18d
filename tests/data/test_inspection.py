"""What inspect says is what is there; the sheet is a picture of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont
from tests.pictures import encoded, parquet

from bezoar.data import Captioned, LabeledTable, SceneClasses, Scenes, Table
from bezoar.data.captioned import NOTE
from bezoar.data.inspection import Spread, inspect, spread, spread_over, wrapped, write_sheet


def table(folder: Path, **columns: object) -> str:
    images = [encoded(0, size=(9, 7)), encoded(1, size=(30, 20)), encoded(2, size=(12, 40)), b""]
    return parquet(folder / "t.parquet", {"image": images, **columns})


def test_pairs(tmp_path: Path) -> None:
    path = table(tmp_path, captions=[["one"], ["two words", "and three more"], ["x y"], ["z"]])
    found = inspect(Table(path=path, max_skipped=0.3))
    assert (found.count, found.pictures, found.looked_at) == (4, 3, 4)
    assert (found.widths, found.heights) == (Spread(9, 21, 30), Spread(7, 20, 40))
    assert found.words == Spread(1, 2, 3)
    assert (found.skips.count, found.skips.rows, found.classes, found.templates) == (1, 4, None, ())
    assert found.examples[1] == ("00000002#0", "two words")


def test_labeled_images(tmp_path: Path) -> None:
    path = table(tmp_path, label=[2, 0, 2, 1])
    source = LabeledTable(path=path, max_skipped=0.3, classes=("a", "b", "a"), templates=("{c}",))
    found = inspect(source)
    assert found.classes == (("a", 1), ("b", 0), ("a", 2))
    assert (found.count, found.pictures, found.words, found.templates) == (3, 3, None, ("{c}",))
    assert [said for _, said in found.examples] == ["a", "a", "a"]


def test_the_built_in_scenes_and_notes() -> None:
    found = inspect(Scenes(count=2000))
    assert (found.looked_at, found.skips.rows, found.skips.count) == (512, 2000, 0)
    assert inspect(Captioned(of=SceneClasses())).notes == (NOTE,)


def test_places_are_spread_evenly() -> None:
    assert spread_over(3, 5) == [0, 1, 2]
    assert spread_over(10, 4) == [0, 2, 5, 7]
    assert spread([3, 1, 2, 10]) == Spread(1, 2.5, 10)


def test_a_sheet(tmp_path: Path) -> None:
    path = table(tmp_path, caption=["one", "漢字 and a very long caption that goes on and on " * 9, "x" * 200, "z"])
    write_sheet(Table(path=path, max_skipped=0.3), tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (8 + 128 + 3 * 13 + 12, 8 + 3 * 136, 3)
    for number in range(3):
        cell = sheet[8:136, 8 + 136 * number : 136 + 136 * number]
        assert cell.std() > 30
        words = sheet[136:-10, 8 + 136 * number : 136 + 136 * number]
        assert words.min() < 100
    margins = sheet[:, 136:144]
    assert margins.min() == 255


def test_a_sheet_has_rows_of_eight(tmp_path: Path) -> None:
    write_sheet(Scenes(count=100), tmp_path / "sheet.png", count=17)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (8 + 8 * 136, 8 + 3 * (128 + 3 * 13 + 12))


@pytest.mark.parametrize(
    ("text", "lines"),
    [("", 0), ("one", 1), ("a boy and a girl", 1), ("word " * 12, 3), ("word " * 60, 3), ("x" * 300, 1)],
)
def test_text_fits_its_cell(text: str, lines: int) -> None:
    font = ImageFont.load_default(size=11)
    found = wrapped(text, font)
    assert len(found) == lines
    assert all(font.getlength(line) <= 128 for line in found)
    assert (bool(found) and found[-1].endswith("…")) == (len(text) > 70)
