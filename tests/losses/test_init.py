"""What holds for every loss over a batch: parts, order, precision."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bezoar import losses
from bezoar.core.rows import Rows, rows
from bezoar.core.seeds import torch_generator

Loss = Callable[[Tensor | Rows, Tensor | Rows, Tensor], Tensor]


def everybody(images: Tensor | Rows) -> Tensor:
    """All rows of the batch chosen."""
    return torch.ones(len(rows(images).all), dtype=torch.bool)


BIAS = torch.tensor(-2.0, dtype=torch.float64)
ALL: dict[str, Loss] = {
    "cosine_target": lambda images, texts, scale: losses.cosine_target(images, texts, -1.0, everybody(images)),
    "cyclic_cross_modal": lambda images, texts, scale: losses.cyclic_cross_modal(images, texts),
    "cyclic_in_modal": lambda images, texts, scale: losses.cyclic_in_modal(images, texts),
    "in_modal": losses.in_modal,
    "info_nce": losses.info_nce,
    "legacy_siglip": losses.legacy_siglip,
    "siglip": lambda images, texts, scale: losses.siglip(images, texts, scale, BIAS),
}
every = pytest.mark.parametrize("loss", ALL.values(), ids=ALL)


def unit(name: str, n: int = 6, d: int = 5, dtype: torch.dtype = torch.float64) -> Tensor:
    drawn = torch.randn(n, d, generator=torch_generator(0, "losses", name, n, d), dtype=torch.float64)
    return F.normalize(drawn, dim=1).to(dtype)


def leaves() -> tuple[Tensor, Tensor, Tensor]:
    scale = torch.tensor(7.0, dtype=torch.float64, requires_grad=True)
    return unit("images").requires_grad_(), unit("texts").requires_grad_(), scale


def gradients(loss: Tensor, of: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, of, allow_unused=True, materialize_grads=True)


@every
@pytest.mark.parametrize("parts", [1, 2, 3, 6])
def test_the_mean_over_processes_is_the_loss_of_the_whole_batch(loss: Loss, parts: int) -> None:
    """Of values and of gradients: of features, whoever made them, and of the scale."""
    given = images, texts, scale = leaves()
    size = len(images) // parts
    ranks = [
        loss(
            Rows(images[start : start + size], images, start),
            Rows(texts[start : start + size], texts, start),
            scale,
        )
        for start in range(0, len(images), size)
    ]
    whole, mean = loss(images, texts, scale), torch.stack(ranks).mean()
    torch.testing.assert_close(mean, whole)
    for one, other in zip(gradients(mean, given), gradients(whole, given), strict=True):
        torch.testing.assert_close(one, other)
    if parts > 1:
        assert not torch.isclose(ranks[0], whole)


@every
def test_order_of_the_pairs_moves_gradients_along_and_leaves_the_loss(loss: Loss) -> None:
    order = torch.tensor([3, 0, 5, 4, 1, 2])
    images, texts, scale = leaves()
    moved = images.detach()[order].requires_grad_(), texts.detach()[order].requires_grad_()
    one, other = loss(images, texts, scale), loss(*moved, scale)
    torch.testing.assert_close(one, other)
    for gradient, after in zip(gradients(one, (images, texts)), gradients(other, moved), strict=True):
        torch.testing.assert_close(gradient[order], after)


@every
def test_autocast_does_not_touch_it(loss: Loss) -> None:
    images, texts = unit("images", 16, 32, torch.float32), unit("texts", 16, 32, torch.float32)
    scale = torch.tensor(100.0)
    outside = loss(images, texts, scale)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(images, texts, scale)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, outside)


@every
def test_half_features_give_a_float32_loss_and_half_gradients(loss: Loss) -> None:
    images, texts = unit("images", 8, 16, torch.bfloat16).requires_grad_(), unit("texts", 8, 16, torch.bfloat16)
    found = loss(images, texts, torch.tensor(100.0))
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(loss(images.double(), texts.double(), torch.tensor(100.0)).item(), rel=1e-5)
    assert gradients(found, (images,))[0].dtype == torch.bfloat16


@every
def test_float64_stays_float64(loss: Loss) -> None:
    assert loss(*leaves()).dtype == torch.float64


def test_every_loss_is_held_to_this() -> None:
    of_other_shapes = {"attention_map", "attention_transfer", "masked_words", "simsiam"}
    assert {*ALL, *of_other_shapes} == set(losses.__all__)
    assert not of_other_shapes & {*ALL}
