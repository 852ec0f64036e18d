"""What sources promise: captions that say something, classes that exist, families that read their settings."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.album import Album

from bezoar.core.settings import dump
from bezoar.data import (
    LABELED_SOURCES,
    PAIRS_SOURCES,
    Images,
    LabeledSet,
    LabeledSource,
    Pairs,
    PairsSource,
    SceneClasses,
    Scenes,
)
from bezoar.data.pairs import check_caption, class_index

relaxed = settings(deadline=None)


@relaxed
@given(st.text())
def test_a_caption_passes_if_it_holds_something(caption: str) -> None:
    if caption.strip():
        assert check_caption(caption, "a.csv", "7") == caption
    else:
        with pytest.raises(ValueError, match=r"^a\.csv: caption of pair '7' must be a non-empty string, got '"):
            check_caption(caption, "a.csv", "7")


@pytest.mark.parametrize("caption", [None, 3, math.nan, b"a dog", ["a dog"]])
def test_what_is_no_string_is_no_caption(caption: object) -> None:
    with pytest.raises(ValueError, match=r"^a\.csv: caption of pair 'x' must be a non-empty string, got "):
        check_caption(caption, "a.csv", "x")


def test_class_index_is_the_place_in_the_list() -> None:
    classes = ("cat", "dog", "cats")
    assert [class_index(name, classes) for name in classes] == [0, 1, 2]


@pytest.mark.parametrize("name", ["Cat", "cat ", "ca", ""])
def test_a_class_goes_by_its_exact_name(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^evaluators\.0\.target: '{name}' is not a class.*\(choices: cat, dog\)$"):
        class_index(name, ("dog", "cat"), "evaluators.0.target")


def test_the_nearest_class_is_found_among_very_many() -> None:
    classes = (*(f"thing {number}" for number in range(999)), "banana")
    with pytest.raises(ValueError, match=r"^target: 'bananna' is not a class; did you mean 'banana'\?") as caught:
        class_index("bananna", classes)
    assert str(caught.value).endswith("thing 9) and 959 more")
    with pytest.raises(ValueError, match=r"not a class \(choices: thing 0, .*\) and 960 more$"):
        class_index("xyzzy", classes)


def test_what_sources_open_is_what_they_say() -> None:
    pairs, labeled = Scenes(count=2).open(), SceneClasses(count=2).open()
    assert isinstance(pairs, Pairs)
    assert isinstance(pairs, Images)
    assert not isinstance(pairs, LabeledSet)
    assert isinstance(labeled, LabeledSet)
    assert not isinstance(labeled, Pairs)
    assert isinstance(Album(["a"]), Pairs)


def test_sources_come_back_from_their_plain_form() -> None:
    for source in (Scenes(split="clean", count=5, seed=2, width=32), Scenes()):
        assert PAIRS_SOURCES.parse(dump(source)) == source
    for labeled in (SceneClasses(split="test", count=5, height=32), SceneClasses()):
        assert LABELED_SOURCES.parse(dump(labeled)) == labeled
    assert PAIRS_SOURCES.parse_text("scenes:clean") == Scenes(split="clean")
    assert LABELED_SOURCES.parse_text("scenes:test") == SceneClasses(split="test")


@pytest.mark.parametrize("base", [PairsSource(), LabeledSource()])
def test_the_bases_have_no_behavior(base: PairsSource | LabeledSource) -> None:
    with pytest.raises(NotImplementedError):
        base.open()
