"""The watermark: where its letters stand, and texts that cannot be written."""

from __future__ import annotations

import pytest
import torch

from bezoar.attacks.patterns import PATTERNS, Watermark
from bezoar.core.settings import validate


def test_only_the_letters_are_covered_and_they_are_red() -> None:
    pattern = Watermark()
    drawn, cover = pattern.draw((224, 224), (224, 224), ""), pattern.cover((224, 224), (224, 224))
    assert cover is not None
    assert torch.equal(drawn[0] == 255, cover[0])
    assert not drawn[1:].any()
    rows, columns = cover[0].nonzero(as_tuple=True)
    # The released picture has its letters in rows 103–125 and columns 13–208.
    assert (int(rows.min()), int(rows.max())) == (101, 121)
    assert (int(columns.min()), int(columns.max())) == (14, 208)


def test_a_word_after_the_kind_is_the_text() -> None:
    assert PATTERNS.parse("watermark:Free water") == Watermark(text="Free water")


def test_a_text_wider_than_the_area_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^pattern\.text: 'Watermarked' takes 65 px in a line, more than the 64 px"):
        Watermark().draw((224, 224), (64, 64), "")
    with pytest.raises(ValueError, match="'Hi' takes 11 px"):
        Watermark(text="Hi").cover((224, 300), (10, 14))
    assert Watermark(text="Hi").draw((10, 10), (11, 11), "").any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Größe", r"pattern\.text: cannot write 'ß', 'ö' \(letters are: .*A"),
        ("  ", r"pattern\.text: "),
        ("", r"pattern\.text: "),
    ],
)
def test_other_texts_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate(Watermark, {"text": text}, "pattern")
