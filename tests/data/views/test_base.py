"""The seeding that makes a torchvision transform a view, and the family of views."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bezoar.core.settings import dump
from bezoar.data.views import IMAGE_VIEWS, AutoAugment, ImageView, Plain
from bezoar.data.views.base import under_seed

relaxed = settings(deadline=None)

IMAGE = torch.arange(12, dtype=torch.uint8).reshape(3, 2, 2)


def noisy(image: Tensor) -> Tensor:
    return image + torch.randint(0, 100, image.shape, dtype=torch.uint8)


@relaxed
@given(seed=st.integers(0, 2**63 - 1))
def test_draws_are_those_of_a_freshly_seeded_process(seed: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        expected = noisy(IMAGE)
    assert torch.equal(under_seed(noisy, IMAGE, seed), expected)


def test_the_global_generator_goes_on_as_if_nothing_had_happened() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        expected = torch.rand(5)
        torch.manual_seed(3)
        first = torch.rand(2)
        under_seed(noisy, IMAGE, 8)
        assert torch.equal(torch.cat([first, torch.rand(3)]), expected)


def test_the_global_generator_is_put_back_after_an_error() -> None:
    def failing(image: Tensor) -> Tensor:
        torch.rand(1)
        raise RuntimeError("no")

    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="no"):
        under_seed(failing, IMAGE, 8)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("view", [AutoAugment(policy="svhn"), Plain()])
def test_a_view_comes_back_from_its_plain_form(view: ImageView) -> None:
    assert IMAGE_VIEWS.parse(dump(view)) == view


def test_a_bare_kind_has_the_defaults() -> None:
    assert IMAGE_VIEWS.parse("auto_augment") == AutoAugment(policy="imagenet")


def test_an_unknown_kind_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'auto_augment'"):
        IMAGE_VIEWS.parse("auto_augmnt")


def test_the_base_has_no_behavior() -> None:
    with pytest.raises(NotImplementedError):
        ImageView().apply(IMAGE, 0)


def test_the_settings_are_light() -> None:
    code = "import sys, bezoar.data.views, bezoar.data.captions; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
