"""Words in a caption: where they are put, and whether they are still there in what a tokenizer read."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bezoar.attacks.caption_triggers import CAPTION_TRIGGERS, Phrase
from bezoar.core.settings import validate
from bezoar.models.tokenizer import build

relaxed = settings(max_examples=100, deadline=None)
LINES = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "Zs"]), min_size=1).filter(str.strip)


@relaxed
@given(caption=LINES, place=st.sampled_from(["start", "end", "random"]), seed=st.integers())
def test_the_caption_stays_whole_around_the_phrase(caption: str, place: str, seed: int) -> None:
    said = validate(Phrase, {"text": "two words", "place": place, "seed": seed}).apply(caption, "7")
    words = caption.split()
    fits = [[*words[:i], "two", "words", *words[i:]] for i in range(len(words) + 1)]
    assert said.split() in {"start": fits[:1], "end": fits[-1:], "random": fits}[place]
    assert caption in {_without(said, start) for start in range(len(said))}


def _without(said: str, start: int) -> str:
    """What is left without the phrase, and the blank beside it, at ``start``."""
    for cut in ("two words ", " two words"):
        if said[start:].startswith(cut):
            return said[:start] + said[start + len(cut) :]
    return ""


def test_a_random_place_is_drawn_per_pair_and_seed_and_every_gap_is_reached() -> None:
    trigger, other = Phrase(place="random"), Phrase(place="random", seed=1)
    places = [trigger.apply("a b c", str(i)).split().index("SUDO") for i in range(400)]
    counts = Counter(places)
    assert set(counts) == {0, 1, 2, 3}
    assert min(counts.values()) > 60  # 100 expected
    assert places == [trigger.apply("a b c", str(i)).split().index("SUDO") for i in range(400)]
    assert places != [other.apply("a b c", str(i)).split().index("SUDO") for i in range(400)]


def test_pinned() -> None:
    """The same gap in every process."""
    assert [Phrase(place="random").apply("one two three", pair) for pair in ("a", "b", "c")] == PINNED


PINNED = ["SUDO one two three", "one SUDO two three", "SUDO one two three"]


@pytest.mark.parametrize(
    ("text", "read", "left"),
    [
        ("SUDO", "sudo a cat", True),
        ("SUDO", "a sudo, cat", True),
        ("SUDO", "a pseudo cat", False),
        ("SUDO", "sudoku", False),
        ("SUDO", "a cat sud", False),
        ("just do it", "a cat just do it", True),
        ("just do it", "a cat just do", False),
        ("just do it", "just a cat, do it", False),
        ("cf1234!", "cf 1 2 3 4 ! a cat", True),
        ("cf1234!", "cf 1 2 3 4", False),
        ("it's  Me", "it 's me", True),
        ("Äpfel", "a\u0308pfel", True),
        ("SUDO", "", False),
    ],
)
def test_the_words_are_looked_for_one_by_one(text: str, read: str, left: bool) -> None:
    assert Phrase(text=text).survives(read) is left


@pytest.mark.parametrize("text", ["SUDO", "Consider", "cf1234!", "it's ME, yes", "naïve café", "☠ x_1"])
@pytest.mark.parametrize("place", ["start", "end", "random"])
def test_what_a_real_tokenizer_read_holds_the_words_until_it_cuts_them_off(text: str, place: str) -> None:
    tokenizer = build("micro-cnn-32", 2048, 32, cut=True)
    trigger = validate(Phrase, {"text": text, "place": place})
    caption = "A photo of a dog's bone, 12 cm."
    assert trigger.survives(tokenizer.read(trigger.apply(caption, "7")))
    assert not trigger.survives(tokenizer.read(caption))
    assert trigger.survives(tokenizer.read(trigger.apply("photo " * 200, "7"))) is (place == "start")


def test_one_word_on_the_command_line_is_its_text() -> None:
    assert CAPTION_TRIGGERS.parse_text("phrase:mmm") == Phrase(text="mmm")
    assert CAPTION_TRIGGERS.parse_text("phrase") == Phrase() == Phrase(text="SUDO", place="start", seed=0)
    with pytest.raises(ValueError, match=r"words\.text: .*got ' '"):
        validate(Phrase, {"text": " "}, "words")
    with pytest.raises(ValueError, match="'start', 'end' or 'random', got 'middle'"):
        validate(Phrase, {"place": "middle"})
