"""The built-in source: stable ids, disjoint splits, balanced classes, the same bytes in every process."""

from __future__ import annotations

import dataclasses
import pickle
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bezoar.core.settings import validate
from bezoar.data.scenes import SceneClasses, Scenes
from bezoar.data.scenes.grammar import KINDS, TEMPLATES

relaxed = settings(max_examples=40, deadline=None)

SOURCES = (Scenes(split="train"), Scenes(split="clean"), SceneClasses(split="validation"), SceneClasses(split="test"))


def test_ids_are_pinned() -> None:
    """A plan made today names pairs by these."""
    assert Scenes().open().id(0) == "scenes-0-train-0000000"
    assert Scenes(split="clean", seed=3).open().id(12) == "scenes-3-clean-0000012"
    assert SceneClasses(split="test").open().id(2047) == "scenes-0-test-0002047"


def test_ids_are_unique_within_and_across_splits() -> None:
    ids = [source.open().id(i) for source in SOURCES for i in range(3000)]
    assert len(set(ids)) == 12_000


@relaxed
@given(index=st.integers(0, 199), count=st.integers(200, 100_000), seed=st.integers(-5, 2**40))
def test_a_pair_is_the_same_whatever_the_count(index: int, count: int, seed: int) -> None:
    few, many = Scenes(count=200, seed=seed).open(), Scenes(count=count, seed=seed).open()
    assert len(many) == count
    assert few.id(index) == many.id(index)
    assert few.caption(index) == many.caption(index)
    assert few.image(index).tobytes() == many.image(index).tobytes()
    assert few.label(index) == many.label(index)


def test_the_order_of_calls_does_not_matter() -> None:
    forward, backward = Scenes(count=30).open(), Scenes(count=30).open()
    there = [(forward.image(i).tobytes(), forward.caption(i)) for i in range(30)]
    back = [(backward.caption(i), backward.image(i).tobytes()) for i in reversed(range(30))]
    assert there == [(image, caption) for caption, image in reversed(back)]


def test_splits_and_seeds_share_no_picture() -> None:
    galleries = [source.open() for source in (*SOURCES, Scenes(seed=1))]
    pictures = [gallery.image(i).tobytes() for gallery in galleries for i in range(200)]
    assert len(set(pictures)) == len(pictures)


def test_captions_name_what_is_labeled() -> None:
    pairs = Scenes(count=200).open()
    for index in range(200):
        scene = pairs.scene(index)
        assert scene.main.kind == KINDS[pairs.label(index)]
        assert scene.main.kind in pairs.caption(index).split()


@pytest.mark.parametrize("count", [len(KINDS), 5 * len(KINDS), 100])
def test_every_class_is_equally_frequent(count: int) -> None:
    gallery = SceneClasses(count=count).open()
    found = Counter(gallery.label(i) for i in range(count))
    assert set(found) == set(range(len(KINDS)))
    assert max(found.values()) - min(found.values()) <= (count % len(KINDS) > 0)
    assert gallery.classes == KINDS
    assert gallery.templates == TEMPLATES


@pytest.mark.parametrize(("width", "height"), [(64, 48), (48, 64), (16, 16), (100, 30)])
def test_pictures_have_the_size_asked_for(width: int, height: int) -> None:
    image = Scenes(count=1, width=width, height=height).open().image(0)
    assert image.shape == (height, width, 3)
    assert image.dtype == "uint8"


def test_the_default_is_wider_than_a_square() -> None:
    """So that every run crops, and a trigger in a corner of the file is seen to be lost."""
    assert (Scenes().width, Scenes().height) == (SceneClasses().width, SceneClasses().height) == (64, 48)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.split)
def test_a_gallery_crosses_to_another_process(source: Scenes | SceneClasses) -> None:
    gallery = source.open()
    for before in (gallery, pickle.loads(pickle.dumps(gallery))):
        assert before.fingerprint == source.open().fingerprint
        copy = pickle.loads(pickle.dumps(before))
        assert copy.image(7).tobytes() == gallery.image(7).tobytes()
        assert copy.id(7) == gallery.id(7)
        assert len(copy) == len(gallery)
        assert copy.fingerprint == gallery.fingerprint


def test_the_fingerprint_changes_with_every_field() -> None:
    changes: dict[str, Any] = {"split": "clean", "count": 31_999, "seed": 1, "width": 65, "height": 49}
    assert set(changes) == {field.name for field in dataclasses.fields(Scenes)}
    variants = [Scenes(), *(dataclasses.replace(Scenes(), **{name: value}) for name, value in changes.items())]
    variants.append(Scenes(width=48, height=64))
    prints = [source.open().fingerprint for source in variants]
    prints += [SceneClasses(count=32_000, split=split).open().fingerprint for split in ("validation", "test")]
    assert len(set(prints)) == len(prints)
    assert [source.open().fingerprint for source in variants] == prints[: len(variants)]


def test_the_fingerprint_is_pinned() -> None:
    assert Scenes().open().fingerprint == "e8ed020e2aa67466"
    assert SceneClasses().open().fingerprint == "9d2639cec82c7b6c"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"split": "tset"}, r"pairs\.split: .*'train' or 'clean', got 'tset'"),
        ({"count": 0}, r"pairs\.count: .*greater than or equal to 1, got 0"),
        ({"width": 15}, r"pairs\.width: .*greater than or equal to 16, got 15"),
        ({"heigth": 15}, r"unknown key 'heigth'; did you mean 'height'"),
        ({"count": True}, r"pairs\.count: .*valid integer, got True"),
    ],
)
def test_mistakes_are_refused_by_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate(Scenes, fields, "pairs")
