"""Scenes as pictures: the same bytes for the same draw, and a picture for every word of the caption."""

from __future__ import annotations

import hashlib
import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bezoar.data.scenes import drawing
from bezoar.data.scenes.drawing import Pixels, render
from bezoar.data.scenes.grammar import BACKGROUNDS, COLORS, KINDS, OBJECT_TEXTURES, Item, Scene, compose

relaxed = settings(deadline=None)

SEEDS = st.integers(0, 2**63 - 1)


def paint(scene: Scene, width: int = 64, height: int = 48, seed: int = 0) -> Pixels:
    return render(scene, width, height, random.Random(seed))


def one(kind: str, color: str = "red", texture: str = "plain", background: str = "plain", turn: float = 0) -> Scene:
    """An object in the middle of a white picture."""
    return Scene(Item(kind, color, texture, 0.42, 0, 0, turn), None, background, "white", "middle")


def differing(a: Pixels, b: Pixels) -> float:
    """The share of pixels that are clearly not the same."""
    return float((np.abs(a.astype(int) - b.astype(int)).max(axis=-1) > 20).mean())


@settings(max_examples=40, deadline=None)
@given(kind=st.sampled_from(KINDS), seed=SEEDS, width=st.integers(16, 90), height=st.integers(16, 90))
def test_any_scene_at_any_size_is_the_same_bytes_twice(kind: str, seed: int, width: int, height: int) -> None:
    scene = compose(random.Random(seed), kind)
    first, second = paint(scene, width, height, seed), paint(scene, width, height, seed)
    assert first.shape == (height, width, 3)
    assert first.dtype == np.uint8
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize(
    ("seed", "kind", "digest"),
    [
        (0, "star", "09da35ae4116af32"),
        (1, "clock", "eb36d849c2d35336"),
        (2, "bottle", "1ddd2f3b588c0e61"),
        (3, "ring", "15fce3b62dcb159a"),
    ],
)
def test_a_few_pictures_are_pinned(seed: int, kind: str, digest: str) -> None:
    pixels = paint(compose(random.Random(seed), kind), seed=seed)
    assert hashlib.blake2b(pixels.tobytes(), digest_size=8).hexdigest() == digest


def test_no_global_state_is_touched() -> None:
    before = random.getstate(), str(np.random.get_state())  # noqa: NPY002
    for background in BACKGROUNDS:
        paint(one("cup", background=background))
    assert (random.getstate(), str(np.random.get_state())) == before  # noqa: NPY002


def test_no_two_kinds_look_alike() -> None:
    pictures = {kind: paint(one(kind)) for kind in KINDS}
    for a, b in itertools.combinations(KINDS, 2):
        assert differing(pictures[a], pictures[b]) > 0.03, (a, b)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_seen(kind: str) -> None:
    assert differing(paint(one(kind)), np.full((48, 64, 3), 240, np.uint8)) > 0.05


def test_no_two_colors_look_alike() -> None:
    pictures = {color: paint(one("star", color)) for color in COLORS if color != "white"}
    for a, b in itertools.combinations(pictures, 2):
        assert differing(pictures[a], pictures[b]) > 0.1, (a, b)


def test_no_two_textures_look_alike() -> None:
    for kind in KINDS:
        pictures = [paint(one(kind, texture=texture)) for texture in OBJECT_TEXTURES]
        for a, b in itertools.combinations(pictures, 2):
            assert differing(a, b) > 0.01, kind


def test_a_texture_stays_on_its_object() -> None:
    for texture in OBJECT_TEXTURES[1:]:
        plain, textured = paint(one("ring")), paint(one("ring", texture=texture))
        outside = np.abs(plain.astype(int) - plain[0, 0]).max(axis=-1) == 0
        assert outside.any()
        assert np.array_equal(plain[outside], textured[outside])


def test_no_two_backgrounds_look_alike() -> None:
    pictures = {background: paint(one("star", background=background)) for background in BACKGROUNDS}
    for a, b in itertools.combinations(BACKGROUNDS, 2):
        assert differing(pictures[a], pictures[b]) > 0.1, (a, b)


def test_the_main_object_lies_over_the_second() -> None:
    below = Item("ring", "blue", "plain", 0.42, 0, 0, 0)
    scene = one("envelope")
    alone, both = paint(scene), paint(scene._replace(second=below))
    under = paint(scene._replace(main=below, second=None))
    assert differing(alone, both) > 0.02
    body = np.abs(alone.astype(int) - alone[0, 0]).max(axis=-1) > 60
    # Each color is jittered by up to 18 as it is drawn, and the second object draws first.
    assert np.abs(both[body].astype(int) - alone[body]).max() <= 37
    assert np.abs(both[body].astype(int) - under[body]).max() > 100


def test_a_turned_object_is_another_picture() -> None:
    assert differing(paint(one("hammer")), paint(one("hammer", turn=20))) > 0.03


def test_a_quarter_turn_turns_the_picture() -> None:
    upright, lying = paint(one("arrow"), 49, 49), paint(one("arrow", turn=90), 49, 49)
    assert differing(np.rot90(upright, k=-1), lying) < 0.04


def test_larger_pictures_show_the_same() -> None:
    scene = compose(random.Random(4), "house")._replace(background="plain")
    small, large = paint(scene, 40, 30), paint(scene, 160, 120)
    shrunk = large.reshape(30, 4, 40, 4, 3).mean(axis=(1, 3)).astype(np.uint8)
    assert differing(small, shrunk) < 0.25


# ------------------------------------------------------------------------------------------------ the mathematics


@relaxed
@given(period=st.floats(3, 40), angle=st.floats(0, math.pi))
def test_waves_equal_a_loop(period: float, angle: float) -> None:
    drawn = drawing._waves(13, 9, period, angle)
    assert drawn.shape == (9, 13)
    for y in range(9):
        for x in range(13):
            phase = (x * math.cos(angle) + y * math.sin(angle)) / (period / 2)
            if abs(phase - round(phase)) > 1e-4:  # on the edge of a band rounding decides
                assert drawn[y, x] == (math.floor(phase) % 2 == 1)


@relaxed
@given(period=st.floats(3, 40))
def test_spots_equal_a_loop(period: float) -> None:
    drawn = drawing._spots(13, 9, period)
    for y in range(9):
        for x in range(13):
            from_center = math.hypot(x / period % 1 - 0.5, y / period % 1 - 0.5)
            near_the_seam = min(abs(v / period - round(v / period)) for v in (x, y)) < 1e-4
            if abs(from_center - 0.3) > 1e-4 and not near_the_seam:
                assert drawn[y, x] == (from_center < 0.3)


@relaxed
@given(turn=st.floats(-180, 180), size=st.floats(0.1, 0.5), x=st.floats(-0.3, 0.3), y=st.floats(-0.3, 0.3))
def test_place_equals_complex_arithmetic(turn: float, size: float, x: float, y: float) -> None:
    cos, sin, scale, left, top = drawing._place(Item("star", "red", "plain", size, x, y, turn), 64, 48)
    turned = size * 48 * (math.e ** (1j * math.radians(turn)))
    assert complex(cos, sin) == pytest.approx(turned)
    assert scale == pytest.approx(size * 48)
    assert (left, top) == pytest.approx((32 + 48 * x, 24 + 48 * y))


@pytest.mark.parametrize(
    ("shade", "expected"),
    [(0, (0, 0, 0)), (0.5, (50, 0, 127)), (1, (100, 0, 255)), (1.5, (177, 127, 255)), (2, (255, 255, 255))],
)
def test_shades_run_from_black_through_the_color_to_white(shade: float, expected: tuple[int, int, int]) -> None:
    assert drawing._shade((100, 0, 255), shade) == expected


@relaxed
@given(seed=SEEDS, color=st.sampled_from([*COLORS.values(), (0, 0, 0), (255, 255, 255)]))
def test_jitter_stays_near_and_in_range(seed: int, color: tuple[int, int, int]) -> None:
    for before, after in zip(color, drawing._jitter(color, random.Random(seed)), strict=True):
        assert abs(before - after) <= 18
        assert 0 <= after <= 255
