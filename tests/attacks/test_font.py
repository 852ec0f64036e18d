"""The alphabet: whole, and each letter its own."""

from __future__ import annotations

import string

import pytest

from bezoar.attacks.font import GLYPHS, write


def test_every_letter_is_seven_rows_of_five_and_no_two_are_the_same() -> None:
    assert set(GLYPHS) == {*string.ascii_letters, *string.digits, *" .-!"}
    for rows in GLYPHS.values():
        assert [len(row) for row in rows] == [5] * 7
        assert set("".join(rows)) <= {"#", "."}
    assert len(set(GLYPHS.values())) == len(GLYPHS)
    assert [letter for letter, rows in GLYPHS.items() if "#" not in "".join(rows)] == [" "]


def test_a_line_by_hand() -> None:
    drawn = ["".join("#" if ink else "." for ink in row) for row in write("Hi!")]
    assert drawn == [
        "#...#...#.....#..",
        "#...#.........#..",
        "#...#..##.....#..",
        "#####...#.....#..",
        "#...#...#.....#..",
        "#...#...#........",
        "#...#..###....#..",
    ]


@pytest.mark.parametrize(("text", "width"), [("a", 5), ("ab", 11), ("Watermarked", 65)])
def test_a_pixel_stands_between_letters(text: str, width: int) -> None:
    assert write(text).shape == (7, width)
