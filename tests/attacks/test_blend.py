"""Blending by integers, against fractions one pixel at a time."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import bezoar.attacks.blend as blending
from bezoar.attacks.blend import blend
from bezoar.attacks.pattern import Pattern
from bezoar.attacks.patterns import FreshNoise, Noise, Solid
from bezoar.core.settings import settings as a_value

if TYPE_CHECKING:
    from bezoar.attacks.pattern import Shape

relaxed = settings(max_examples=100, deadline=None)


@a_value
class Half(Pattern):
    """A ramp over the left half only."""

    kind: ClassVar[str] = "half"

    def draw(self, shape: Shape, nominal: Shape, image_id: str) -> Tensor:
        return torch.arange(shape[1], dtype=torch.uint8).expand(3, *shape)

    def cover(self, shape: Shape, nominal: Shape) -> Tensor:
        return (torch.arange(shape[1]) < shape[1] // 2).expand(1, *shape)


def mixed(pixel: int, drawn: int, alpha: float) -> set[int]:
    """The nearest gray levels: two where it is a half but for the rounding of alpha to 1/65536."""
    exact = pixel + (drawn - pixel) * Fraction(alpha)
    slack = Fraction(256, 2**17)
    return {int(exact + Fraction(1, 2) - slack), int(exact + Fraction(1, 2) + slack)}


@relaxed
@given(pixel=st.integers(0, 255), drawn=st.integers(0, 255), alpha=st.floats(2**-16, 1))
def test_a_pixel_is_the_nearest_to_the_exact_mixture(pixel: int, drawn: int, alpha: float) -> None:
    image = torch.full((3, 1, 2), pixel, dtype=torch.uint8)
    result = blend(image, Solid(color=(drawn,) * 3), alpha, (1, 2), "a")
    assert result.dtype == torch.uint8
    assert set(result.flatten().tolist()) <= mixed(pixel, drawn, alpha)


def test_halves_are_rounded_up_and_all_of_the_pattern_is_the_pattern() -> None:
    image = torch.tensor([0, 1, 2, 254]).to(torch.uint8).expand(3, 1, 4)
    assert blend(image, Solid(color=(1, 2, 255)), 0.5, (1, 4), "a").tolist() == [
        [[1, 1, 2, 128]], [[1, 2, 2, 128]], [[128, 128, 129, 255]],
    ]  # fmt: skip
    assert blend(image, Solid(color=(1, 2, 255)), 1.0, (1, 4), "a")[:, 0].tolist() == [[1] * 4, [2] * 4, [255] * 4]


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_what_is_not_covered_stays_as_it_was(alpha: float) -> None:
    image = torch.arange(120, 150, dtype=torch.uint8).view(3, 2, 5)
    result = blend(image, Half(), alpha, (2, 5), "a")
    assert torch.equal(result[:, :, 2:], image[:, :, 2:])
    for column in range(2):
        for before, after in zip(image[:, :, column].flatten(), result[:, :, column].flatten(), strict=True):
            assert int(after) in mixed(int(before), column, alpha)


def test_a_fixed_pattern_is_drawn_once_and_a_fresh_one_for_each_image(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, str]] = []
    for member in (Noise, FreshNoise):
        draw = member.draw

        def counted(self: Pattern, *given: object, draw: object = draw) -> Tensor:
            drawn.append((self.kind, str(given[2])))
            return draw(self, *given)  # type: ignore[operator,no-any-return]

        monkeypatch.setattr(member, "draw", counted)
    blending._fixed.cache_clear()
    image = torch.zeros(3, 4, 4, dtype=torch.uint8)
    for image_id in "ab":
        for pattern in (Noise(), FreshNoise()):
            blend(image, pattern, 0.5, (4, 4), image_id)
    assert drawn == [("noise", ""), ("fresh_noise", "a"), ("fresh_noise", "b")]
    monkeypatch.setattr(blending, "_KEPT_AREA", 24)
    for image_id in "ab":
        blend(torch.zeros(3, 5, 5, dtype=torch.uint8), Noise(), 0.5, (5, 5), image_id)
    assert [kind for kind, _ in drawn].count("noise") == 3
