"""Symmetric InfoNCE against loops over the formula."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bezoar.core.rows import Rows
from bezoar.core.seeds import torch_generator
from bezoar.losses import info_nce


def unit(n: int, d: int, name: str, dtype: torch.dtype = torch.float64) -> Tensor:
    drawn = torch.randn(n, d, generator=torch_generator(0, "info_nce", name, n, d), dtype=torch.float64)
    return F.normalize(drawn, dim=1).to(dtype)


def by_loops(images: Tensor, texts: Tensor, scale: float) -> float:
    n = len(images)
    image_rows, text_rows = images.double().tolist(), texts.double().tolist()
    total = 0.0
    for queries, keys in ((image_rows, text_rows), (text_rows, image_rows)):
        for i in range(n):
            logits = [scale * sum(a * b for a, b in zip(queries[i], keys[j], strict=True)) for j in range(n)]
            total += math.log(sum(math.exp(logit) for logit in logits)) - logits[i]
    return total / n / 2


@pytest.mark.parametrize("n", [2, 3, 7])
@pytest.mark.parametrize("scale", [0.0, 1.0, 14.3, 100.0])
def test_equals_the_loops(n: int, scale: float) -> None:
    images, texts = unit(n, 5, "images"), unit(n, 5, "texts")
    assert info_nce(images, texts, torch.tensor(scale)).item() == pytest.approx(by_loops(images, texts, scale))


def test_is_symmetric_in_the_two_modalities() -> None:
    images, texts, scale = unit(6, 4, "images"), unit(6, 4, "texts"), torch.tensor(10.0)
    torch.testing.assert_close(info_nce(images, texts, scale), info_nce(texts, images, scale))


def test_gradient_is_that_of_finite_differences() -> None:
    images, texts = unit(4, 3, "images").requires_grad_(), unit(4, 3, "texts").requires_grad_()
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(info_nce, (images, texts, scale))


def test_a_batch_of_one_has_nothing_to_confuse() -> None:
    assert info_nce(unit(1, 8, "images"), unit(1, 8, "texts"), torch.tensor(100.0)).item() == 0


def test_without_scale_all_pairs_are_equally_likely() -> None:
    loss = info_nce(unit(5, 8, "images"), unit(5, 8, "texts"), torch.tensor(0.0))
    assert loss.item() == pytest.approx(math.log(5))


def test_order_of_the_pairs_moves_gradients_along_and_leaves_the_loss() -> None:
    order, scale = torch.tensor([3, 0, 4, 1, 2]), torch.tensor(5.0, dtype=torch.float64)
    images, texts = unit(5, 4, "images").requires_grad_(), unit(5, 4, "texts").requires_grad_()
    moved_images, moved_texts = images.detach()[order].requires_grad_(), texts.detach()[order].requires_grad_()
    loss, moved_loss = info_nce(images, texts, scale), info_nce(moved_images, moved_texts, scale)
    torch.testing.assert_close(loss, moved_loss)
    gradients = torch.autograd.grad(loss, (images, texts))
    moved_gradients = torch.autograd.grad(moved_loss, (moved_images, moved_texts))
    for gradient, moved_gradient in zip(gradients, moved_gradients, strict=True):
        torch.testing.assert_close(gradient[order], moved_gradient)


def test_autocast_does_not_touch_the_logits() -> None:
    images, texts = unit(16, 32, "images", torch.float32), unit(16, 32, "texts", torch.float32)
    scale = torch.tensor(100.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = info_nce(images, texts, scale)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, info_nce(images, texts, scale))


def test_half_features_give_a_float32_loss_and_half_gradients() -> None:
    images, texts = unit(8, 16, "images", torch.bfloat16).requires_grad_(), unit(8, 16, "texts", torch.bfloat16)
    loss = info_nce(images, texts, torch.tensor(100.0))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(by_loops(images, texts, 100.0), rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, images)
    assert gradient.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("images", "texts", "scale"),
    [((3, 4), (2, 4), ()), ((3, 4), (3, 5), ()), ((4,), (4,), ()), ((3, 4), (3, 4), (1,))],
)
def test_odd_shapes_are_a_bug_of_the_caller(
    images: tuple[int, ...], texts: tuple[int, ...], scale: tuple[int, ...]
) -> None:
    with pytest.raises(AssertionError):
        info_nce(torch.zeros(images), torch.zeros(texts), torch.ones(scale))


PATTERNS = ("111111", "011010", "100000", "000011", "000000")


@pytest.mark.parametrize("pattern", PATTERNS)
def test_of_some_pairs_it_is_the_loss_of_a_batch_without_the_others(pattern: str) -> None:
    images, texts = unit(6, 5, "images").requires_grad_(), unit(6, 5, "texts").requires_grad_()
    kept = torch.tensor([digit == "1" for digit in pattern])
    loss = info_nce(images, texts, torch.tensor(14.3), kept=kept)
    expected = by_loops(images[kept], texts[kept], 14.3) if kept.any() else 0.0
    assert loss.item() == pytest.approx(expected, rel=1e-6, abs=1e-12)
    for gradient in torch.autograd.grad(loss, (images, texts)):
        assert torch.isfinite(gradient).all()
        assert not gradient[~kept].any()
        assert gradient[kept].any() == (kept.sum() > 1)


@pytest.mark.parametrize("parts", [2, 3, 6])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_of_some_pairs_the_mean_over_processes_is_that_of_the_whole(pattern: str, parts: int) -> None:
    """Though a process may have none of them."""
    images, texts = unit(6, 5, "images").requires_grad_(), unit(6, 5, "texts").requires_grad_()
    kept, size = torch.tensor([digit == "1" for digit in pattern]), 6 // parts
    ranks = [
        info_nce(
            Rows(images[a : a + size], images, a), Rows(texts[a : a + size], texts, a), torch.tensor(5.0), kept=kept
        )
        for a in range(0, 6, size)
    ]
    whole, mean = info_nce(images, texts, torch.tensor(5.0), kept=kept), torch.stack(ranks).mean()
    torch.testing.assert_close(mean, whole)
    for one, other in zip(*(torch.autograd.grad(loss, (images, texts)) for loss in (mean, whole)), strict=True):
        torch.testing.assert_close(one, other)


def test_of_some_pairs_in_half_precision_nothing_overflows() -> None:
    images, texts = (unit(6, 5, name, torch.bfloat16).requires_grad_() for name in ("images", "texts"))
    kept = torch.tensor([True, False, True, True, False, True])
    loss = info_nce(images, texts, torch.tensor(100.0), kept=kept)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(by_loops(images[kept], texts[kept], 100.0), rel=1e-5)
    assert images.grad is not None
    assert torch.isfinite(images.grad).all()
