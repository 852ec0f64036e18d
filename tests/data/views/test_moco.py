"""The view of MoCo v2 as a pure function of picture and seed, in its own order."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms import v2

from bezoar.core.settings import validate
from bezoar.data.views import IMAGE_VIEWS, Moco


def picture(height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)


@settings(max_examples=25, deadline=None)
@given(height=st.integers(2, 40), width=st.integers(2, 40), seed=st.integers(0, 2**63 - 1))
def test_is_pure_and_keeps_shape(height: int, width: int, seed: int) -> None:
    image, before = picture(height, width), torch.default_generator.get_state()
    kept = image.clone()
    result = Moco().apply(image, seed)
    assert (result.dtype, result.shape) == (torch.uint8, image.shape)
    assert torch.equal(image, kept)
    assert torch.equal(result, Moco().apply(image, seed))
    assert torch.equal(torch.default_generator.get_state(), before)


def test_the_defaults_are_those_of_declip() -> None:
    image = picture(224, 224)
    plain = v2.Compose(
        [
            v2.RandomResizedCrop(224, scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), antialias=True),
            v2.RandomApply([v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)], p=0.8),
            v2.RandomGrayscale(p=0.2),
            v2.RandomApply([v2.GaussianBlur(kernel_size=21, sigma=(0.1, 2.0))], p=0.5),
            v2.RandomHorizontalFlip(p=0.5),
        ]
    )
    for seed in range(10):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            expected = plain(image)
        assert torch.equal(expected, Moco().apply(image, seed))


def test_the_blur_is_there_half_the_time() -> None:
    image = picture(32, 32)
    sharp = Moco(least=1, jitter=0, grey=0, flip=0, blur=0)
    blurred = dataclasses.replace(sharp, blur=0.5, reference=32, sigma_low=2.0)
    changed = sum(not torch.equal(sharp.apply(image, seed), blurred.apply(image, seed)) for seed in range(80))
    assert 25 < changed < 55


def test_bad_fields_are_named() -> None:
    with pytest.raises(ValueError, match=r"^least: "):
        validate(Moco, {"least": 0})
    with pytest.raises(ValueError, match="sigma_low: 3 is more than sigma_high, 2"):
        Moco(sigma_low=3)


def test_is_a_member_of_its_family() -> None:
    assert IMAGE_VIEWS.parse("moco") == Moco()
