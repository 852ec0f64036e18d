"""Every place: inside the image always, and each where it says."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bezoar.attacks.places import PLACES, At, Center, Corner, FourCorners, Place, Random
from bezoar.core.seeds import stream_seed
from bezoar.core.settings import dump, validate

relaxed = settings(max_examples=80, deadline=None)

CORNERS = ("top_left", "top_right", "bottom_left", "bottom_right")
lengths = st.integers(1, 60)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Place, tuple[int, int], int, float]:
    """A place, an image, a side and a ratio that fit together."""
    reference, image = draw(st.integers(4, 60)), (draw(lengths), draw(lengths))
    size = draw(st.integers(1, reference // 2))
    margin = draw(st.integers(0, reference // 2 - 2))
    ratio = min(image) / reference
    place = draw(
        st.sampled_from(
            [
                Random(seed=draw(st.integers(-3, 2**40))),
                Center(),
                *(Corner(corner=corner, margin=margin) for corner in CORNERS),  # type: ignore[arg-type]
                FourCorners(margin=margin),
                At(row=draw(st.integers(0, reference - size)), column=draw(st.integers(0, reference - size))),
            ]
        )
    )
    return place, image, max(1, round(size * ratio)), ratio


@relaxed
@given(case=cases(), image_id=st.text(max_size=5))
def test_every_copy_lies_inside_and_belongs_to_the_id(
    case: tuple[Place, tuple[int, int], int, float], image_id: str
) -> None:
    place, image, side, ratio = case
    found = place.corners(image, (side, side), ratio, image_id)
    assert len(found) == (4 if isinstance(place, FourCorners) else 1)
    for row, column in found:
        assert 0 <= row <= image[0] - side
        assert 0 <= column <= image[1] - side
    assert place.corners(image, (side, side), ratio, image_id) == found
    if not isinstance(place, Random):
        assert place.corners(image, (side, side), ratio, image_id + "x") == found


def test_every_member_is_among_the_cases() -> None:
    assert set(PLACES.members) == {"random", "center", "corner", "four_corners", "at"}


def test_random_is_the_named_stream() -> None:
    for image_id in ("0", "a.jpg", "é/日.png"):
        rng = random.Random(stream_seed(5, "patch place", image_id))
        expected = ((rng.randint(0, 208), rng.randint(0, 284)),)
        assert Random(seed=5).corners((224, 300), (16, 16), 1.0, image_id) == expected


def test_places_of_a_few_ids_are_pinned() -> None:
    found = [Random().corners((224, 224), (16, 16), 1.0, image_id)[0] for image_id in ("0", "a.jpg", "é/日.png")]
    assert found == [(32, 78), (147, 1), (57, 187)]


def test_random_places_reach_every_position_and_about_equally() -> None:
    found = Counter(Random().corners((5, 7), (2, 2), 1.0, f"{number}.png")[0] for number in range(1200))
    assert set(found) == {(row, column) for row in range(4) for column in range(6)}
    assert 20 < min(found.values()) <= max(found.values()) < 85  # 50 expected


def test_the_others_by_hand() -> None:
    image, patch = (12, 19), (4, 4)
    assert Center().corners(image, patch, 1.0, "a") == ((4, 7),)
    assert Corner().corners(image, patch, 1.0, "a") == ((8, 15),)
    assert Corner(corner="top_right", margin=1).corners(image, patch, 2.0, "a") == ((2, 13),)
    assert FourCorners(margin=1).corners(image, patch, 1.0, "a") == ((1, 1), (1, 14), (7, 1), (7, 14))
    assert At(row=2, column=9).corners(image, patch, 1.0, "a") == ((2, 9),)
    assert At(row=2, column=9).corners((24, 38), (8, 8), 2.0, "a") == ((4, 18),)


def test_the_square_of_the_attack_on_declip() -> None:
    assert At(row=158, column=158).corners((224, 224), (27, 27), 1.0, "a") == ((158, 158),)


def test_at_the_border_rounding_does_not_push_a_patch_out() -> None:
    # 45 of 90 px at half the size: the patch is 22.5 px, drawn as 22, and begins at 22.5.
    assert At(row=45, column=45).corners((45, 45), (23, 23), 0.5, "a") == ((22, 22),)
    with pytest.raises(
        ValueError, match=r"^trigger\.place: a patch of 4×4 px at row 9, column 2 is not inside an image"
    ):
        At(row=9, column=2).corners((12, 19), (4, 4), 1.0, "a")
    with pytest.raises(
        ValueError, match=r"at row 2, column 32 is not inside an image of 19×12 px \(row 1, column 16 at reference"
    ):
        At(row=1, column=16).corners((12, 19), (4, 4), 2.0, "a")
    assert At(row=8, column=15).corners((12, 19), (4, 4), 1.0, "a") == ((8, 15),)


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ("random", Random()),
        ("corner:top_left", Corner(corner="top_left")),
        ("corner", Corner(corner="bottom_right")),
        ({"kind": "at", "row": 1, "column": 2}, At(row=1, column=2)),
    ],
)
def test_by_name(words: Any, place: Place) -> None:
    assert PLACES.parse(words) == place
    assert PLACES.parse(dump(place)) == place


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("corner", {"corner": "left"}, r"place\.corner: .*'top_left', .* got 'left'"),
        ("corner", {"margin": -1}, r"place\.margin: .*greater than or equal to 0"),
        ("four_corners", {"margin": -1}, r"place\.margin: .*greater than or equal to 0"),
        ("at", {"row": 1}, r"place\.column: "),
        ("at", {"row": -1, "column": 0}, r"place\.row: .*greater than or equal to 0"),
        ("random", {"sed": 1}, "unknown key 'sed'; did you mean 'seed'"),
    ],
)
def test_mistakes_are_refused_by_name(kind: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate(PLACES.members[kind], fields, "place")
