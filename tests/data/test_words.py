"""Whole words: a class is named or it is not, whatever its letters mean to a regular expression."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bezoar.data import words as module
from bezoar.data.words import holds, names

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


# Letters on which lower, upper and case-folding disagree, and signs that one of split and \s takes for a space.
odd = st.text("aKkSs Iiſİıß\u212aÅé猫_-\t\n\x1c\x85\xa0$.", max_size=9)


@settings(deadline=None, max_examples=500)
@given(caption=odd, words=st.lists(odd.filter(str.strip), min_size=1, max_size=3))
def test_the_fast_way_is_the_pattern(caption: str, words: list[str]) -> None:
    looked_for = tuple(words)
    assert names(caption, looked_for) is (module._pattern(looked_for).search(caption) is not None)


@relaxed
@given(before=odd, word=odd.filter(str.strip), after=odd)
def test_the_fast_way_is_the_pattern_where_the_word_stands(before: str, word: str, after: str) -> None:
    for caption in (f"{before} {word} {after}", f"{before}{word.upper()}s{after}", f"{before}{word.lower()}es"):
        assert names(caption, (word,)) is (module._pattern((word,)).search(caption) is not None)


def test_a_letter_that_only_folds_to_the_words_own_is_found() -> None:
    """The Kelvin sign is a k to the pattern, and no ASCII."""
    assert names("a \u212aite", ("kite",))
    assert names("a kite", ("\u212aite",))


def test_most_captions_never_meet_the_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six million captions are looked through for every plan."""
    monkeypatch.setattr(module, "_pattern", lambda words: pytest.fail("compiled"))
    assert not names("a dog on the grass", ("fire truck", "cup"))
    assert not names("a tree on fire", ("fire truck",)), "its longest part is not there"


@pytest.mark.parametrize(
    ("caption", "word", "held"),
    [
        ("cupboard", "cup", True),
        ("a CUP", "cup", False),
        ("cup", "cup", True),
        ("", "cup", False),
        ("cu p", "cup", False),
    ],
)
def test_as_released_code_matches_anywhere_and_in_this_case(caption: str, word: str, held: bool) -> None:
    assert holds(caption, ("zebra", word)) is held
