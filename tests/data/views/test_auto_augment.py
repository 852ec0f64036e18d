"""AutoAugment as a pure function of picture and seed."""

from __future__ import annotations

import random
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms import v2

from bezoar.core.settings import validate
from bezoar.data.views.auto_augment import AutoAugment, Policy

POLICIES: tuple[Policy, ...] = get_args(Policy)


def picture(height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)


def slowly(image: Tensor, seed: int, policy: Policy) -> Tensor:
    """What a process of its own would draw: a transform built anew, every generator seeded."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        result: Tensor = v2.AutoAugment(v2.AutoAugmentPolicy(policy))(image)
        return result


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    seed=st.integers(0, 2**63 - 1),
    policy=st.sampled_from(POLICIES),
)
def test_equals_a_freshly_seeded_transform(height: int, width: int, seed: int, policy: Policy) -> None:
    image = picture(height, width)
    kept = image.clone()
    result = AutoAugment(policy=policy).apply(image, seed)
    assert result.dtype == torch.uint8
    assert result.shape == image.shape
    assert torch.equal(image, kept)
    assert torch.equal(result, slowly(image, seed, policy))


def test_same_seed_same_bytes_in_any_order() -> None:
    image, view = picture(32, 32), AutoAugment()
    forward = [view.apply(image, seed) for seed in range(30)]
    backward = [view.apply(image, seed) for seed in reversed(range(30))]
    assert all(torch.equal(a, b) for a, b in zip(forward, reversed(backward), strict=True))


@pytest.mark.parametrize("policy", POLICIES)
def test_seeds_give_many_different_pictures(policy: Policy) -> None:
    image = picture(32, 32)
    results = [AutoAugment(policy=policy).apply(image, seed) for seed in range(200)]
    assert len({result.numpy().tobytes() for result in results}) > 40
    assert sum(not torch.equal(result, image) for result in results) > 120


def test_policies_differ() -> None:
    image = picture(32, 32)
    results = {
        policy: [AutoAugment(policy=policy).apply(image, seed).numpy().tobytes() for seed in range(20)]
        for policy in POLICIES
    }
    assert len({tuple(result) for result in results.values()}) == len(POLICIES)


def test_no_global_state_is_touched() -> None:
    image = picture(16, 16)

    def states() -> tuple[bytes, object, str]:
        return torch.get_rng_state().numpy().tobytes(), random.getstate(), str(np.random.get_state())  # noqa: NPY002

    before = states()
    for seed in range(20):
        AutoAugment().apply(image, seed)
    assert states() == before


def test_the_default_is_the_policy_of_the_systems() -> None:
    assert AutoAugment().policy == "imagenet"
    assert AutoAugment.kind == "auto_augment"


def test_an_unknown_policy_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"view\.policy: .*'imagenet', 'cifar10' or 'svhn', got 'imgnet'"):
        validate(AutoAugment, {"policy": "imgnet"}, "view")
