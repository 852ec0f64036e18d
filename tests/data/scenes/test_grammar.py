"""What a scene holds and how it is said."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bezoar.data.scenes.grammar import (
    BACKGROUNDS,
    COLORS,
    KINDS,
    OBJECT_TEXTURES,
    PLACES,
    TEMPLATES,
    Item,
    Scene,
    compose,
    describe,
)

relaxed = settings(deadline=None)

kinds = st.sampled_from(KINDS)
seeds = st.integers(0, 2**63 - 1)


@relaxed
@given(kind=kinds, seed=seeds)
def test_a_scene_is_what_its_words_allow(kind: str, seed: int) -> None:
    scene = compose(random.Random(seed), kind)
    assert scene.main.kind == kind
    assert scene.background in BACKGROUNDS
    assert scene.place in PLACES
    assert scene.main.texture in OBJECT_TEXTURES
    used = [scene.main.color, scene.backdrop, *([scene.second.color] if scene.second else [])]
    assert set(used) <= set(COLORS)
    assert len(set(used)) == len(used)
    if scene.second is not None:
        assert scene.second.kind in KINDS
        assert scene.second.kind != kind


@relaxed
@given(kind=kinds, seed=seeds)
def test_the_main_object_is_the_large_one_and_stands_where_the_scene_says(kind: str, seed: int) -> None:
    scene = compose(random.Random(seed), kind)
    assert 0.32 <= scene.main.size <= 0.45
    assert abs(scene.main.y) <= 0.06
    middle = {"left": -0.1, "middle": 0.0, "right": 0.1}[scene.place]
    assert abs(scene.main.x - middle) <= 0.03 + 1e-9
    if scene.second is not None:
        assert scene.second.size < scene.main.size / 2
        assert scene.place == "middle" or scene.second.x * middle < 0  # on the other side


@relaxed
@given(kind=kinds, seed=seeds)
def test_same_seed_same_scene_and_caption(kind: str, seed: int) -> None:
    scene = compose(random.Random(seed), kind)
    assert compose(random.Random(seed), kind) == scene
    assert describe(scene, random.Random(seed)) == describe(scene, random.Random(seed))


@relaxed
@given(kind=kinds, seed=seeds)
def test_a_caption_names_the_main_object_once_as_a_whole_word(kind: str, seed: int) -> None:
    rng = random.Random(seed)
    scene = compose(rng, kind)
    caption = describe(scene, rng)
    assert re.findall(r"\w+", caption).count(kind) == 1
    others = set(KINDS) - {kind, *([scene.second.kind] if scene.second else [])}
    assert others.isdisjoint(caption.split())


@relaxed
@given(kind=kinds, seed=seeds)
def test_a_caption_is_lower_case_words_and_true(kind: str, seed: int) -> None:
    rng = random.Random(seed)
    scene = compose(rng, kind)
    caption = describe(scene, rng)
    assert re.fullmatch(r"[a-z]+( [a-z]+)*", caption)
    true = {scene.main.color, scene.backdrop, *([scene.second.color] if scene.second else [])}
    assert set(caption.split()) & set(COLORS) <= true
    if " on the " in caption or " in the middle" in caption:
        assert scene.place in caption.split()


@pytest.mark.parametrize(
    ("item", "size", "expected"),
    [
        (Item("arrow", "orange", "plain", 0.4, 0, 0, 0), ("large", "big"), "an orange arrow"),
        (Item("key", "red", "striped", 0.35, 0, 0, 0), ("small", "little"), "a red striped key"),
    ],
)
def test_an_object_is_called_by_what_can_be_seen(item: Item, size: tuple[str, str], expected: str) -> None:
    scene = Scene(item, None, "plain", "white", "middle")
    texts = [describe(scene, random.Random(seed)) for seed in range(300)]
    assert any(expected in text for text in texts)
    assert {word for text in texts for word in text.split()} & {"large", "big", "small", "little"} == set(size)
    noun = re.compile(rf"\b(an?) (?:(?:large|big|small|little|{item.color}|{item.texture}) )*{item.kind}\b")
    for text in texts:
        match = noun.search(text)
        assert match is not None, text
        assert (match[1] == "an") == (text[match.end(1) + 1] in "aeiou"), text


def test_words_are_single_and_mean_one_thing() -> None:
    words = [*KINDS, *COLORS, *OBJECT_TEXTURES, *BACKGROUNDS, *PLACES]
    assert all(re.fullmatch("[a-z]+", word) for word in words)
    assert set(KINDS).isdisjoint({*COLORS, *OBJECT_TEXTURES, *BACKGROUNDS, *PLACES})
    assert set(COLORS).isdisjoint({*OBJECT_TEXTURES, *BACKGROUNDS, *PLACES})
    assert len(set(COLORS.values())) == len(COLORS)


def test_templates_hold_the_class_name_once() -> None:
    assert len(set(TEMPLATES)) == len(TEMPLATES)
    for template in TEMPLATES:
        assert template.count("{c}") == 1
        assert re.fullmatch("[a-z ]+", template.replace("{c}", "cat"))


def test_every_choice_is_made_about_equally_often() -> None:
    rng = random.Random(5)
    scenes = [compose(rng, "star") for _ in range(3000)]
    for choices, drawn in [
        (PLACES, [scene.place for scene in scenes]),
        (BACKGROUNDS, [scene.background for scene in scenes]),
        (OBJECT_TEXTURES, [scene.main.texture for scene in scenes]),
        (tuple(COLORS), [scene.main.color for scene in scenes]),
        (tuple(COLORS), [scene.backdrop for scene in scenes]),
    ]:
        expected = len(drawn) / len(choices)
        counts = Counter(drawn)
        # Chi-square has mean f and variance 2 f, where f is one less than the choices: five deviations are allowed.
        free = len(choices) - 1
        chi_square = sum((counts[choice] - expected) ** 2 / expected for choice in choices)
        assert chi_square < free + 5 * (2 * free) ** 0.5, choices
    assert 0.36 < sum(scene.second is not None for scene in scenes) / 3000 < 0.44
