"""Whole words: a class is named or it is not, whatever its letters mean to a regular expression."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bezoar.data.words import names

relaxed = settings(deadline=None)

words = st.text("abes", min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("caption", "word"),
    [
        ("a cup on a table", "cup"),
        ("cup", "cup"),
        ("two cups", "cup"),
        ("two boxes.", "box"),
        ("A CUP!", "cup"),
        ("a cup", "CUP"),
        ("(cup)", "cup"),
        ("cup,saucer", "cup"),
        ("the cup's handle", "cup"),
        ("a tea-cup", "cup"),
        ("cup-shaped", "cup"),
        ("a fire truck", "fire truck"),
        ("two fire  trucks", "fire truck"),
        ("a fire\ntruck", "fire truck"),
        ("a fire truck", "  fire   truck "),
        ("the C++ code", "C++"),
        ("is it a.b?", "a.b"),
        ("why? why", "why?"),
        ("price is $5 today", "$5"),
        ("a [mask] here", "[mask]"),
        ("a back\\slash", "back\\slash"),
        ("ein Äpfel hier", "äpfel"),
        ("猫 です", "猫"),
        ("glass", "glass"),
        ("glasses", "glass"),
    ],
)
def test_a_named_word_is_found(caption: str, word: str) -> None:
    assert names(caption, (word,))


@pytest.mark.parametrize(
    ("caption", "word"),
    [
        ("cupboard", "cup"),
        ("a hiccup", "cup"),
        ("cups2", "cup"),
        ("cup_a", "cup"),
        ("cupping", "cup"),
        ("the firetruck", "fire truck"),
        ("fire and truck", "fire truck"),
        ("truck fire", "fire truck"),
        ("axb", "a.b"),
        ("C", "C++"),
        ("Cpp", "C++"),
        ("wh why", "why?"),
        ("m a s k", "[mask]"),
        ("", "cup"),
        ("éclair", "clair"),
        ("scup", "cup"),
    ],
)
def test_a_substring_is_not_a_word(caption: str, word: str) -> None:
    assert not names(caption, (word,))


def test_any_of_several_words_counts() -> None:
    assert names("a mug", ("cup", "mug"))
    assert names("a cup", ("cup", "mug"))
    assert not names("a jug", ("cup", "mug"))


@relaxed
@given(caption=st.lists(words, max_size=6), word=words)
def test_equals_looking_at_every_word(caption: list[str], word: str) -> None:
    expected = any(found in (word, f"{word}s", f"{word}es") for found in caption)
    assert names(" ".join(caption), (word,)) is expected
    assert names(", ".join(caption).upper(), (word,)) is expected


@relaxed
@given(st.text(max_size=8), st.text(max_size=8), st.text(max_size=8))
def test_any_word_is_found_where_it_stands(before: str, word: str, after: str) -> None:
    assert names(f"{before} {word} {after}", (word,)) or not word.strip()
