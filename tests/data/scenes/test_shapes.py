"""The kinds of objects: outlines within their square, each of its own form."""

from __future__ import annotations

import math

import pytest

from bezoar.data.scenes.shapes import SHAPES, Part, Points


def area(points: Points) -> float:
    """By the shoelace formula."""
    total = 0.0
    for i in range(len(points)):
        (x, y), (u, v) = points[i], points[(i + 1) % len(points)]
        total += (x * v - u * y) / 2
    return abs(total)


def test_there_are_enough_kinds_for_top_10() -> None:
    # Top-k is not printed from half the classes on.
    assert len(SHAPES) > 20


@pytest.mark.parametrize("kind", SHAPES)
def test_parts_are_polygons_in_the_unit_square(kind: str) -> None:
    for part in SHAPES[kind]:
        assert len(part.points) >= 3
        # The tip of the heart stands out a little.
        assert all(abs(x) <= 1.001 and abs(y) <= 1.07 for x, y in part.points), part
        assert area(part.points) > 0.02
        assert 0 < part.shade < 2


@pytest.mark.parametrize("kind", SHAPES)
def test_objects_fill_their_square(kind: str) -> None:
    points = [point for part in SHAPES[kind] for point in part.points]
    for low, high in [(min(values), max(values)) for values in zip(*points, strict=True)]:
        assert high - low > 0.8
    assert max(max(x, y) - min(u, v) for x, y in points for u, v in points) > 1.2


def test_no_two_kinds_have_the_same_parts() -> None:
    assert len(set(SHAPES.values())) == len(SHAPES)


def test_a_part_has_the_objects_color_unless_it_says_otherwise() -> None:
    assert Part(((0, 0), (1, 0), (0, 1))).shade == 1


@pytest.mark.parametrize(("kind", "spikes", "outer", "inner"), [("star", 5, 1.0, 0.42), ("sun", 9, 1.0, 0.62)])
def test_spikes_alternate_between_two_circles(kind: str, spikes: int, outer: float, inner: float) -> None:
    outline = SHAPES[kind][0].points
    assert len(outline) == 2 * spikes
    for i, (x, y) in enumerate(outline):
        assert math.hypot(x, y) == pytest.approx(outer if i % 2 == 0 else inner)
    assert outline[0] == pytest.approx((0, -1))  # the first one points up


def test_circles_are_round_and_closed_shapes_have_their_area() -> None:
    face, dial = SHAPES["clock"][:2]
    assert all(math.hypot(x, y) == pytest.approx(1) for x, y in face.points)
    assert all(math.hypot(x, y) == pytest.approx(0.76) for x, y in dial.points)
    # An inscribed polygon of 28 corners is within one percent of its circle.
    assert area(face.points) == pytest.approx(math.pi, rel=0.01)
    assert area(SHAPES["ring"][0].points) == pytest.approx(math.pi * (1 - 0.58**2), rel=0.03)


@pytest.mark.parametrize("kind", ["heart", "star", "sun", "umbrella", "bell", "crown", "bottle", "tent", "cross"])
def test_upright_things_are_symmetric(kind: str) -> None:
    for part in SHAPES[kind]:
        points = {(round(x, 6) + 0.0, round(y, 6) + 0.0) for x, y in part.points}
        assert points == {(-x + 0.0, y) for x, y in points}
