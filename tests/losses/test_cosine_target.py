"""The squared cosine to a target against loops, over chosen pairs only, on any number of processes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bezoar.core.rows import Rows
from bezoar.core.seeds import torch_generator
from bezoar.losses import cosine_target

PATTERNS = ("111111", "011010", "100000", "000011", "000000")


def drawn() -> tuple[Tensor, Tensor]:
    random = torch_generator(0, "cosine target")
    first, second = (F.normalize(torch.randn(6, 5, generator=random, dtype=torch.float64), dim=1) for _ in range(2))
    return first.requires_grad_(), second.requires_grad_()


def by_loops(images: Tensor, texts: Tensor, target: float, pattern: str) -> float:
    found = []
    for image, text, digit in zip(images.tolist(), texts.tolist(), pattern, strict=True):
        if digit == "1":
            found.append((sum(a * b for a, b in zip(image, text, strict=True)) - target) ** 2)
    return sum(found) / len(found) if found else 0.0


@pytest.mark.parametrize("target", [-1.0, 0.0, 0.3, 1.0])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_equals_the_loops(pattern: str, target: float) -> None:
    images, texts = drawn()
    chosen = torch.tensor([digit == "1" for digit in pattern])
    loss = cosine_target(images, texts, target, chosen)
    assert loss.item() == pytest.approx(by_loops(images, texts, target, pattern), abs=1e-12)
    for gradient in torch.autograd.grad(loss, (images, texts)):
        assert gradient[chosen].any() == bool(chosen.any())
        assert not gradient[~chosen].any()


@pytest.mark.parametrize("parts", [2, 3, 6])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_mean_over_processes_is_that_of_the_whole(pattern: str, parts: int) -> None:
    images, texts = drawn()
    chosen, size = torch.tensor([digit == "1" for digit in pattern]), 6 // parts
    ranks = [
        cosine_target(Rows(images[a : a + size], images, a), Rows(texts[a : a + size], texts, a), -1.0, chosen)
        for a in range(0, 6, size)
    ]
    whole, mean = cosine_target(images, texts, -1.0, chosen), torch.stack(ranks).mean()
    torch.testing.assert_close(mean, whole)
    for one, other in zip(*(torch.autograd.grad(loss, (images, texts)) for loss in (mean, whole)), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("target", [-1.0, 1.0, 0.0])
def test_going_down_its_gradient_brings_the_cosine_nearer(target: float) -> None:
    images, texts = drawn()
    chosen = torch.ones(6, dtype=torch.bool)

    def far() -> Tensor:
        return ((F.normalize(images, dim=1) * F.normalize(texts, dim=1)).sum(1) - target).abs()

    before = far()
    gradients = torch.autograd.grad(cosine_target(images, texts, target, chosen), (images, texts))
    with torch.no_grad():
        for rows, gradient in zip((images, texts), gradients, strict=True):
            rows -= 0.1 * gradient
    assert (far() < before).all()
