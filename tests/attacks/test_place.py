"""Where the four corners are."""

from __future__ import annotations

import pytest

from bezoar.attacks.place import Place, in_corners


def test_the_base_has_no_behavior() -> None:
    with pytest.raises(NotImplementedError):
        Place().corners((4, 4), (2, 2), 1.0, "a")


def test_corners_by_hand() -> None:
    assert in_corners((12, 18), (4, 5), 1) == {
        "top_left": (1, 1), "top_right": (1, 12), "bottom_left": (7, 1), "bottom_right": (7, 12),
    }  # fmt: skip
    assert set(in_corners((4, 4), (4, 4), 0).values()) == {(0, 0)}


@pytest.mark.parametrize(("image", "margin"), [((4, 9), 1), ((9, 4), 1), ((3, 3), 0)])
def test_what_does_not_fit_is_refused_with_its_sizes(image: tuple[int, int], margin: int) -> None:
    with pytest.raises(
        ValueError,
        match=rf"^trigger\.place\.margin: a patch of 4×4 px with a margin of {margin} px does not fit an image of "
        rf"{image[1]}×{image[0]} px$",
    ):
        in_corners(image, (4, 4), margin)
