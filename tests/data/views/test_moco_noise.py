"""MoCo's view with noise on large crops: a pure function; which crops get it, and how much."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from bezoar.core.settings import validate
from bezoar.data.views import IMAGE_VIEWS, MocoNoise

BARE = MocoNoise(jitter=0, grey=0, blur=0, flip=0)


def grey(size: int = 64) -> Tensor:
    return torch.full((3, size, size), 128, dtype=torch.uint8)


def test_it_is_pure() -> None:
    image = torch.randint(0, 256, (3, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    kept, before = image.clone(), torch.default_generator.get_state()
    for seed in range(20):
        result = MocoNoise().apply(image, seed)
        assert (result.dtype, result.shape) == (torch.uint8, image.shape)
        assert torch.equal(result, MocoNoise().apply(image, seed))
    assert torch.equal(image, kept)
    assert torch.equal(torch.default_generator.get_state(), before)


def test_three_of_ten_large_crops_get_noise_of_two_strengths() -> None:
    """Crops are of 20 to 100 % of the area, evenly: half of them are large."""
    spreads = torch.tensor([float(BARE.apply(grey(), seed).float().std()) for seed in range(1000)])
    noisy = spreads[spreads > 0]
    assert abs(len(noisy) - 150) < 4 * (1000 * 0.15 * 0.85) ** 0.5
    weak = noisy < 25
    assert noisy[weak].mean().item() == pytest.approx(0.08 * 255, rel=0.03)
    assert noisy[~weak].mean().item() == pytest.approx(0.12 * 255, rel=0.03)
    assert 0.3 < weak.float().mean() < 0.7


@pytest.mark.parametrize(("changes", "noisy"), [({"least": 0.61}, 40), ({"noise_from": 1.0}, 0), ({"noise": 0.0}, 0)])
def test_what_decides(changes: dict[str, Any], noisy: int) -> None:
    view = dataclasses.replace(BARE, **({"noise": 1.0} | changes))
    assert sum(bool(view.apply(grey(16), seed).float().std() > 0) for seed in range(40)) == noisy


def test_a_mark_comes_after_the_crop_and_before_the_noise() -> None:
    view = dataclasses.replace(BARE, noise=1.0, least=0.61)

    def mark(image: Tensor) -> Tensor:
        assert bool(image.min() == image.max())
        return image // 2

    marked, plain = view.apply(grey(), 3, mark), view.apply(grey(), 3)
    assert marked.float().mean().item() == pytest.approx(64, abs=2)
    assert plain.float().mean().item() == pytest.approx(128, abs=2)
    assert marked.float().std() > 15


def test_it_is_a_member_of_its_family() -> None:
    assert IMAGE_VIEWS.parse("moco_noise") == MocoNoise()
    with pytest.raises(ValueError, match=r"^sigmas"):
        validate(MocoNoise, {"sigmas": []})
