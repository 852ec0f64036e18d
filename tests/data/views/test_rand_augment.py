"""RandAugment: torchvision's operations, so many and so strong as the fields say."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms import v2

from bezoar.core.settings import dump, validate
from bezoar.data.views import IMAGE_VIEWS, RandAugment


def picture(height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    seed=st.integers(0, 2**63 - 1),
    num_ops=st.integers(1, 4),
    magnitude=st.integers(0, 10),
)
def test_equals_a_freshly_seeded_transform(height: int, width: int, seed: int, num_ops: int, magnitude: int) -> None:
    image = picture(height, width)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        expected = v2.RandAugment(num_ops=num_ops, magnitude=magnitude, num_magnitude_bins=11)(image)
    view = RandAugment(num_ops=num_ops, magnitude=magnitude, num_magnitude_bins=11)
    assert torch.equal(view.apply(image, seed), expected)


def test_the_defaults_are_those_of_torchvision() -> None:
    image, transform = picture(24, 30), v2.RandAugment()
    for seed in range(30):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            expected = transform(image)
        assert torch.equal(RandAugment().apply(image, seed), expected)


def test_more_operations_and_more_strength_change_more() -> None:
    image = (torch.arange(3 * 32 * 32) // 12 % 256).to(torch.uint8).reshape(3, 32, 32)

    def change(view: RandAugment) -> float:
        results = [view.apply(image, seed).double() for seed in range(100)]
        return float(torch.stack([(result - image).abs().mean() for result in results]).mean())

    assert change(RandAugment(magnitude=3)) < change(RandAugment(magnitude=9)) < change(RandAugment(magnitude=30))
    assert change(RandAugment(num_ops=1)) < change(RandAugment(num_ops=2)) < change(RandAugment(num_ops=4))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"num_ops": 0}, r"view\.num_ops: .*greater than or equal to 1, got 0"),
        ({"num_ops": 2.5}, r"view\.num_ops: .*integer.*2\.5"),
        ({"magnitude": -1}, r"view\.magnitude: .*greater than or equal to 0, got -1"),
        ({"magnitude": 31}, r"magnitude: 31 is out of num_magnitude_bins \(choices: 0 to 30\)"),
        ({"num_magnitude_bins": 5}, r"magnitude: 9 is out of num_magnitude_bins \(choices: 0 to 4\)"),
        ({"num_magnitude_bins": 1}, r"view\.num_magnitude_bins: .*greater than or equal to 2, got 1"),
        ({"ops": 2}, r"unknown key 'ops'.*num_ops"),
    ],
)
def test_bad_fields_are_named(data: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate(RandAugment, data, "view")


def test_is_a_member_of_its_family() -> None:
    assert IMAGE_VIEWS.parse("rand_augment") == RandAugment()
    view = RandAugment(num_ops=3, magnitude=10, num_magnitude_bins=11)
    assert IMAGE_VIEWS.parse(dump(view)) == view
