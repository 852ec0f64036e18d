"""Image quality against loops over pixels, and against values that can be known."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import Tensor

from bezoar.core.seeds import torch_generator
from bezoar.metrics import linf, psnr, ssim

SHAPES = [(11, 11), (14, 12), (12, 17), (7, 20), (6, 6), (1, 5), (2, 3), (1, 1)]


def noise(shape: tuple[int, int], *names: str | int) -> Tensor:
    return torch.randint(0, 256, (3, *shape), generator=torch_generator(0, *names), dtype=torch.uint8)


def flat(value: int, side: int = 16) -> Tensor:
    return torch.full((3, side, side), value, dtype=torch.uint8)


def slow_ssim(a: Tensor, b: Tensor) -> float:
    """Wang et al.'s formulas, one window and one pixel at a time."""
    x: list[list[list[int]]] = a.tolist()
    y: list[list[list[int]]] = b.tolist()
    height, width = a.shape[1:]
    side = min(11, height - 1 + height % 2, width - 1 + width % 2)
    middle = side // 2
    weight: dict[tuple[int, int], float] = {
        (i, j): math.exp(-((i - middle) ** 2 + (j - middle) ** 2) / (2 * 1.5**2))
        for i, j in product(range(side), repeat=2)
    }
    whole = sum(weight.values())
    found: list[float] = []
    for c, top, left in product(range(3), range(height - side + 1), range(width - side + 1)):
        cells = [(w / whole, x[c][top + i][left + j], y[c][top + i][left + j]) for (i, j), w in weight.items()]
        mean_x, mean_y = sum(w * p for w, p, _ in cells), sum(w * q for w, _, q in cells)
        var_x = sum(w * (p - mean_x) ** 2 for w, p, _ in cells)
        var_y = sum(w * (q - mean_y) ** 2 for w, _, q in cells)
        both = sum(w * (p - mean_x) * (q - mean_y) for w, p, q in cells)
        c1, c2 = 2.55**2, 7.65**2
        found.append(
            (2 * mean_x * mean_y + c1) * (2 * both + c2)
            / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
        )  # fmt: skip
    return sum(found) / len(found)


@pytest.mark.parametrize("shape", SHAPES)
def test_all_three_are_what_loops_find(shape: tuple[int, int]) -> None:
    a, b = noise(shape, "a"), noise(shape, "b")
    near = (a.int() + (b % 7).int() - 3).clamp(0, 255).to(torch.uint8)
    for other in (b, near, 255 - a):
        apart = [p - q for p, q in zip(a.flatten().tolist(), other.flatten().tolist(), strict=True)]
        mean = sum(d * d for d in apart) / len(apart)
        assert psnr(a, other) == pytest.approx(-10 * math.log10(mean / 255**2), rel=1e-12)
        assert linf(a, other) == max(map(abs, apart))
        assert ssim(a, other) == pytest.approx(slow_ssim(a, other), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_equal_pictures(shape: tuple[int, int]) -> None:
    a = noise(shape, "a")
    assert (psnr(a, a.clone()), linf(a, a.clone())) == (math.inf, 0)
    assert ssim(a, a.clone()) == pytest.approx(1, abs=1e-12)


def test_known_values() -> None:
    black, white = flat(0), flat(255)
    assert psnr(black, white) == 0
    assert psnr(flat(100), flat(101)) == pytest.approx(48.130803609, abs=1e-9)
    assert (linf(black, white), linf(flat(100), flat(97)), linf(flat(97), flat(100))) == (255, 3, 3)
    # Of flat pictures only the luminance is left: (2 p q + C1) / (p² + q² + C1), with C1 = (0.01 · 255)².
    assert ssim(black, white) == pytest.approx(0.0001 / 1.0001, rel=1e-6)
    assert ssim(flat(100), flat(200)) == pytest.approx((40_000 + 6.5025) / (50_000 + 6.5025), rel=1e-9)


def test_one_changed_value_counts_in_every_channel_and_pixel() -> None:
    changed = flat(50)
    changed[2, 3, 4] = 60
    assert linf(flat(50), changed) == 10
    assert psnr(flat(50), changed) == pytest.approx(10 * math.log10(255**2 * 3 * 256 / 100), rel=1e-12)
    assert 0.9 < ssim(flat(50), changed) < 1


def test_symmetric_and_blind_to_how_the_picture_lies_in_memory() -> None:
    a, b = noise((13, 18), "a"), noise((13, 18), "b")
    lying = b.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    assert ssim(a, b) == pytest.approx(ssim(b, a), rel=1e-12)
    assert (psnr(a, b), ssim(a, b), linf(a, b)) == (psnr(b, a), ssim(a, lying), linf(a, lying))


def test_structure_turned_over_is_below_zero() -> None:
    a = noise((20, 20), "a")
    assert ssim(a, 255 - a) < -0.5


@pytest.mark.parametrize("other", [flat(0, 15), flat(0).float(), flat(0)[:1]])
def test_pictures_that_cannot_be_compared(other: Tensor) -> None:
    for measure in (psnr, ssim, linf):
        with pytest.raises(AssertionError):
            measure(flat(0), other)
