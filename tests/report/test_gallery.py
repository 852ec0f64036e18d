"""Pictures of the poison."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from PIL import Image
from tests.report.handmade import png, preview_row

from bezoar.report.gallery import address, exhibit


def picture(data: str) -> Image.Image:
    head, _, content = data.partition(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_pictures_are_the_bytes_they_were() -> None:
    row = preview_row("was", "is")
    found = exhibit(row)
    assert (found.id, found.original, found.caption, found.width, found.height) == ("p0", "was", "is", 4, 4)
    assert found.clean == address(row["clean"])
    assert found.triggered == address(row["triggered"])


def test_the_difference_is_stretched_to_the_whole_range() -> None:
    found = exhibit(preview_row())  # one pixel goes from red 10 to red 110
    pixels = picture(found.difference)
    assert found.factor == 2.55
    assert sorted(pixels.getcolors() or []) == [(1, (255, 0, 0)), (15, (0, 0, 0))]
    assert pixels.getpixel((1, 1)) == (255, 0, 0)


def test_a_trigger_that_changes_nothing_shows_black() -> None:
    found = exhibit({**preview_row(), "triggered": png()})
    assert found.factor == 1
    assert picture(found.difference).getcolors() == [(16, (0, 0, 0))]


@pytest.mark.parametrize(
    "row", [{}, {**preview_row(), "clean": b"no picture"}, {**preview_row(), "triggered": None}, {"clean": png()}]
)
def test_broken_rows_are_refused(row: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"preview\.parquet: not a row"):
        exhibit(row)
