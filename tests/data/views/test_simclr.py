"""The SimCLR view as a pure function of picture and seed, and its parts one by one."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms import v2

from bezoar.core.settings import validate
from bezoar.data.views import IMAGE_VIEWS, SimClr

STILL = SimClr(flip=0, least=1, jitter=0, grey=0, blur=0)
"""Nothing but a crop, of all of a picture."""


def picture(height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)


@settings(max_examples=25, deadline=None)
@given(height=st.integers(2, 40), width=st.integers(2, 40), seed=st.integers(0, 2**63 - 1))
def test_is_pure_and_keeps_shape(height: int, width: int, seed: int) -> None:
    image, before = picture(height, width), torch.default_generator.get_state()
    kept = image.clone()
    view = SimClr()
    result = view.apply(image, seed)
    assert (result.dtype, result.shape) == (torch.uint8, image.shape)
    assert torch.equal(image, kept)
    assert torch.equal(result, view.apply(image, seed))
    assert torch.equal(torch.default_generator.get_state(), before)


def test_the_defaults_are_those_of_roclip_and_safeclip() -> None:
    image = picture(224, 224)
    plain = v2.Compose(
        [
            v2.RandomHorizontalFlip(p=0.5),
            v2.RandomResizedCrop(224, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), antialias=True),
            v2.RandomApply([v2.ColorJitter(brightness=0.5, contrast=0.5, saturation=0.5, hue=0.1)], p=0.8),
            v2.RandomGrayscale(p=0.2),
            v2.RandomApply([v2.GaussianBlur(kernel_size=21, sigma=(0.1, 2.0))], p=1.0),
        ]
    )
    for seed in range(10):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            expected = plain(image)
        assert torch.equal(expected, SimClr().apply(image, seed))


def test_the_blur_is_always_there() -> None:
    image = picture(64, 64)
    sharp = SimClr(blur=0, reference=64)
    # A deviation near 0.1 px changes nothing: those draws are left out by the range.
    blurred = SimClr(reference=64, sigma_low=1.0)
    assert not any(torch.equal(sharp.apply(image, seed), blurred.apply(image, seed)) for seed in range(40))


def test_each_part_does_what_it_says() -> None:
    image = picture(32, 32)
    flipped = dataclasses.replace(STILL, flip=1.0)
    grey = dataclasses.replace(STILL, grey=1.0)
    blurred = dataclasses.replace(STILL, blur=1.0, reference=32, sigma_low=2.0, sigma_high=2.0)
    cropped = dataclasses.replace(STILL, least=0.08)
    square = [seed for seed in range(200) if torch.equal(STILL.apply(image, seed), image)]
    assert square, "some crops keep all"
    seed = square[0]
    assert torch.equal(grey.apply(image, seed)[0], grey.apply(image, seed)[2])
    assert blurred.apply(image, seed).float().var() < image.float().var() / 4
    assert any(torch.equal(flipped.apply(image, s), image.flip(-1)) for s in range(200))
    assert len({bytes(cropped.apply(image, s).flatten().tolist()) for s in range(20)}) == 20


def test_the_blur_shrinks_with_the_picture() -> None:
    image = picture(32, 32)
    tiny = dataclasses.replace(STILL, blur=1.0)
    wide = dataclasses.replace(STILL, blur=1.0, reference=32, sigma_low=2.0)
    seed = next(s for s in range(200) if torch.equal(STILL.apply(image, s), image))
    assert (tiny.apply(image, seed).int() - image.int()).abs().float().mean() < 2
    assert (wide.apply(image, seed).int() - image.int()).abs().float().mean() > 10


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("flip", 1.5),
        ("least", 0),
        ("hue", 0.6),
        ("kernel", 0),
        ("sigma_low", -1),
        ("sigma_high", float("inf")),
        ("brightness", -1),
        ("contrast", float("inf")),
    ],
)
def test_bad_fields_are_named(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        validate(SimClr, {field: value})


def test_a_range_the_wrong_way_round_is_refused() -> None:
    with pytest.raises(ValueError, match="sigma_low: 3 is more than sigma_high, 2"):
        SimClr(sigma_low=3)


def test_is_a_member_of_its_family() -> None:
    assert IMAGE_VIEWS.parse("simclr") == SimClr()
