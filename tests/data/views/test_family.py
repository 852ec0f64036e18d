"""What holds for every image view: pure, of the same size, seeded, and the same in any number of worker processes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bezoar.core.seeds import stream_seed, torch_generator
from bezoar.data.views import IMAGE_VIEWS, AutoAugment, ImageView, Light, Moco, MocoNoise, Plain, RandAugment, SimClr

# Each as it comes, and those that leave many pictures as they are also so that they leave few.
VIEWS: tuple[ImageView, ...] = (
    AutoAugment(),
    AutoAugment(policy="svhn"),
    Light(),
    Light(noise=1, cutout=1, side=0.4),
    Moco(),
    MocoNoise(),
    Plain(),
    RandAugment(),
    RandAugment(num_ops=3, magnitude=25),
    SimClr(),
)
SIZES = ((2, 2), (7, 32), (32, 7), (32, 32), (33, 48))

every_view = pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.kind)


def picture(height: int, width: int, number: int = 0) -> Tensor:
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=torch_generator(number, "picture"))


def test_every_member_is_here() -> None:
    assert {type(view) for view in VIEWS} == set(IMAGE_VIEWS.members.values())


@every_view
@pytest.mark.parametrize("size", SIZES, ids=str)
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**63 - 1))
def test_a_pure_function_of_picture_and_seed(view: ImageView, size: tuple[int, int], seed: int) -> None:
    image, state = picture(*size), torch.get_rng_state()
    kept = image.clone()
    result = view.apply(image, seed)
    assert (result.dtype, result.shape) == (torch.uint8, (3, *size))
    assert result.device.type == "cpu"
    assert torch.equal(image, kept)
    view.apply(picture(*size, number=1), seed + 1)
    torch.rand(1)
    assert torch.equal(view.apply(image.clone(), seed), result)
    torch.set_rng_state(state)
    view.apply(image, seed)
    assert torch.equal(torch.get_rng_state(), state)


@every_view
def test_a_picture_need_not_lie_in_one_piece(view: ImageView) -> None:
    image = picture(24, 20)
    turned = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    assert all(torch.equal(view.apply(turned, seed), view.apply(image, seed)) for seed in range(10))


@pytest.mark.parametrize(
    ("view", "share"),
    [
        (AutoAugment(), 0.8),  # some of a policy's operations do nothing to noise
        (Light(noise=1, cutout=1, side=0.4), 1.0),
        (Moco(), 1.0),
        (RandAugment(num_ops=3, magnitude=25), 0.9),
        (SimClr(), 1.0),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_another_seed_is_another_picture(view: ImageView, share: float) -> None:
    pictures = [picture(32, 40, number) for number in range(100)]
    seeds = [stream_seed(0, "image view", number) for number in range(200)]
    differing = [
        not torch.equal(view.apply(image, one), view.apply(image, other))
        for image, one, other in zip(pictures, seeds[::2], seeds[1::2], strict=True)
    ]
    assert sum(differing) >= share * 100


class _Seen(Dataset[Tensor]):
    """Every view of twelve pictures, drawn where the item is asked for."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Tensor:
        image = picture(20, 28, number=index)
        seeds = [stream_seed(3, "image view", 1, str(index), number) for number in range(len(VIEWS))]
        return torch.stack([view.apply(image, seed) for view, seed in zip(VIEWS, seeds, strict=True)])


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # where there are fewer cores
def test_the_same_in_any_number_of_processes() -> None:
    here = torch.stack([_Seen()[index] for index in range(12)])
    torch.rand(5)
    for workers in (0, 1, 3):
        loader = DataLoader(_Seen(), batch_size=5, num_workers=workers, generator=torch_generator(workers, "loader"))
        assert torch.equal(torch.cat(list(loader)), here)
