"""Where a view puts an attacker's mark, and that its own draws do not change for it."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from bezoar.data.views import AutoAugment, ImageView, Light, Moco, Plain, RandAugment, SimClr

CROPPED: tuple[ImageView, ...] = (Moco(), SimClr())
WHOLE: tuple[ImageView, ...] = (AutoAugment(), Light(), Light(noise=1, cutout=1, side=0.4), Plain(), RandAugment())


def picture(height: int = 32, width: int = 40) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)


def corner(image: Tensor) -> Tensor:
    marked = image.clone()
    marked[:, -6:, -4:] = 255
    return marked


@pytest.mark.parametrize("view", CROPPED + WHOLE, ids=lambda view: view.kind)
def test_a_mark_that_does_nothing_changes_nothing(view: ImageView) -> None:
    image, before = picture(), torch.default_generator.get_state()
    for seed in range(30):
        assert torch.equal(view.apply(image, seed, torch.clone), view.apply(image, seed))
    assert torch.equal(torch.default_generator.get_state(), before)


@pytest.mark.parametrize("view", [SimClr(blur=0, jitter=0, grey=0), Moco(blur=0, jitter=0, grey=0, flip=0)])
def test_a_mark_goes_on_the_crop_whole_and_leaves_the_rest(view: ImageView) -> None:
    image = picture()
    kept = image.clone()
    for seed in range(30):
        assert torch.equal(view.apply(image, seed, corner), corner(view.apply(image, seed)))
    assert torch.equal(image, kept)


def test_a_mark_takes_what_comes_after_it() -> None:
    image = picture()
    grey = dataclasses.replace(SimClr(blur=0, jitter=0), grey=1.0)

    def red(image: Tensor) -> Tensor:
        marked = image.clone()
        marked[0], marked[1:] = 255, 0
        return marked

    assert len(set(grey.apply(image, 1, red).flatten().tolist())) == 1
    flipped = Moco(blur=0, jitter=0, grey=0, flip=1)
    assert torch.equal(flipped.apply(image, 3, corner).flip(-1), corner(flipped.apply(image, 3).flip(-1)))


@pytest.mark.parametrize("view", WHOLE, ids=lambda view: view.kind)
def test_without_a_crop_the_mark_is_first(view: ImageView) -> None:
    image = picture()
    for seed in range(30):
        assert torch.equal(view.apply(image, seed, corner), view.apply(corner(image), seed))
