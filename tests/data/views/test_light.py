"""Noise and CutOut: what each does, how often, and where."""

from __future__ import annotations

import dataclasses
from collections import Counter
from statistics import NormalDist

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bezoar.core.settings import dump, validate
from bezoar.data.views import IMAGE_VIEWS, Light

NOISE = Light(noise=1, cutout=0)
SQUARE = Light(noise=0, cutout=1, side=0.5, fill=(9, 99, 199))


def flat(height: int, width: int, level: int = 128) -> Tensor:
    return torch.full((3, height, width), level, dtype=torch.uint8)


# ---------------------------------------------------------------------------------------------------------- noise


@pytest.mark.parametrize("sigma", [0.02, 0.1])
def test_noise_is_gaussian_on_every_value(sigma: float) -> None:
    noise = dataclasses.replace(NOISE, sigma=sigma).apply(flat(128, 128), 5).double() - 128
    assert abs(noise.mean()) < 0.02 * 255 * sigma
    assert abs(noise.std() / (255 * sigma) - 1) < 0.02
    for bound in (-1.0, 0.5, 1.5):
        expected = NormalDist().cdf((round(bound * 255 * sigma) + 0.5) / (255 * sigma))
        assert abs((noise <= round(bound * 255 * sigma)).double().mean() - expected) < 0.01


def test_channels_and_pixels_have_draws_of_their_own() -> None:
    noise = NOISE.apply(flat(128, 128), 6).double() - 128
    assert torch.corrcoef(noise.flatten(1)).fill_diagonal_(0).abs().max() < 0.04
    right, below = torch.stack([noise[0, :-1, :-1], noise[0, :-1, 1:], noise[0, 1:, :-1]]).flatten(1).corrcoef()[0, 1:]
    assert max(abs(right), abs(below)) < 0.04


def test_noise_stops_at_black_and_white() -> None:
    for level in (0, 255):
        changed = NOISE.apply(flat(64, 64, level), 1).int() - level
        assert 0.4 < (changed == 0).double().mean() < 0.6  # half of the draws would leave the range
        assert changed.abs().max() < 255


def test_no_sigma_is_no_noise() -> None:
    assert torch.equal(dataclasses.replace(NOISE, sigma=0).apply(flat(8, 8), 0), flat(8, 8))


# --------------------------------------------------------------------------------------------------------- CutOut


@settings(max_examples=200, deadline=None)
@given(height=st.integers(1, 30), width=st.integers(1, 30), seed=st.integers(0, 2**63 - 1), side=st.floats(0.01, 1))
def test_the_square_is_full_unless_the_border_cuts_it(height: int, width: int, seed: int, side: float) -> None:
    result = dataclasses.replace(SQUARE, side=side).apply(flat(height, width), seed)
    cut = (result != 128).all(dim=0)
    assert torch.equal(result[:, cut], torch.tensor([9, 99, 199], dtype=torch.uint8)[:, None].expand(3, int(cut.sum())))
    assert (result[:, ~cut] == 128).all()
    rows, columns = cut.any(dim=1).nonzero().flatten(), cut.any(dim=0).nonzero().flatten()
    assert cut.sum() == len(rows) * len(columns)
    wanted = max(1, round(side * min(height, width)))
    for found, size in ((rows, height), (columns, width)):
        assert torch.equal(found, torch.arange(int(found[0]), int(found[-1]) + 1))
        hangs_over = int(found[0]) == 0 or int(found[-1]) == size - 1
        assert len(found) == wanted or (hangs_over and len(found) >= wanted // 2)


def test_centers_are_everywhere_equally_often() -> None:
    view, hits = dataclasses.replace(SQUARE, side=0.25), Counter[int]()
    for seed in range(1600):
        hits[int((view.apply(flat(4, 4), seed) != 128).any(dim=0).flatten().int().argmax())] += 1
    # Chi-square with 15 degrees of freedom: 44 is passed by chance once in ten thousand.
    assert len(hits) == 16
    assert sum((count - 100) ** 2 / 100 for count in hits.values()) < 44


def test_the_square_lies_on_the_noise() -> None:
    both = dataclasses.replace(SQUARE, noise=1).apply(flat(32, 32), 3)
    cut = (SQUARE.apply(flat(32, 32), 3) != 128).all(dim=0)
    assert torch.equal(both[:, cut], SQUARE.apply(flat(32, 32), 3)[:, cut])
    assert torch.equal(both[:, ~cut], NOISE.apply(flat(32, 32), 3)[:, ~cut])


# ------------------------------------------------------------------------------------------------------- the draw


def test_each_has_a_probability_of_its_own() -> None:
    view, hits = Light(noise=0.7, cutout=0.2, side=0.5, fill=(0, 0, 0)), Counter[tuple[bool, bool]]()
    for seed in range(1000):
        result = view.apply(flat(8, 8), seed)
        cut = (result == 0).all(dim=0)
        hits[bool((result[:, ~cut] != 128).any()), bool(cut.any())] += 1
    expected = {(True, True): 140, (True, False): 560, (False, True): 60, (False, False): 240}
    # Chi-square with three degrees of freedom: 21.1 is passed by chance once in ten thousand.
    assert sum((hits[which] - count) ** 2 / count for which, count in expected.items()) < 21.1, hits


def test_what_is_not_drawn_comes_back_itself() -> None:
    image = flat(8, 8)
    assert Light(noise=0, cutout=0).apply(image, 0) is image


def test_a_result_is_pinned_for_every_machine() -> None:
    image = torch.arange(48, dtype=torch.uint8).reshape(3, 4, 4) * 5
    result = Light(noise=1, cutout=1, side=0.5).apply(image, 1)
    assert result.flatten(1).tolist() == [
        [123, 42, 32, 0, 62, 2, 30, 10, 74, 0, 72, 52, 67, 64, 133, 124],
        [117, 111, 96, 136, 208, 47, 84, 124, 178, 105, 166, 124, 138, 129, 123, 122],
        [104, 189, 209, 177, 192, 236, 255, 197, 209, 247, 129, 234, 130, 255, 255, 255],
    ]


# --------------------------------------------------------------------------------------------------- the settings


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"noise": 1.5}, r"view\.noise: .*less than or equal to 1, got 1\.5"),
        ({"cutout": -1}, r"view\.cutout: .*greater than or equal to 0, got -1"),
        ({"sigma": 51}, r"view\.sigma: .*less than or equal to 1, got 51"),
        ({"side": 0}, r"view\.side: .*greater than 0, got 0"),
        ({"fill": [0, 0, 256]}, r"view\.fill\.2: .*less than or equal to 255, got 256"),
        ({"fill": [0, 0]}, r"view\.fill\.2: "),
        ({"cut_out": 1}, "unknown key 'cut_out'; did you mean 'cutout'"),
    ],
)
def test_bad_fields_are_named(data: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate(Light, data, "view")


def test_is_a_member_of_its_family() -> None:
    assert IMAGE_VIEWS.parse("light") == Light()
    assert IMAGE_VIEWS.parse(dump(SQUARE)) == SQUARE


def test_the_square_is_the_color_that_clip_takes_for_nothing() -> None:
    mean = (0.48145466, 0.4578275, 0.40821073)
    assert Light().fill == tuple(round(255 * value) for value in mean)
