"""The sigmoid losses against loops over the formula, and against each other."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from bezoar.core.seeds import torch_generator
from bezoar.losses import legacy_siglip, siglip


def unit(n: int, d: int, name: str, seed: int = 0) -> Tensor:
    drawn = torch.randn(n, d, generator=torch_generator(seed, "siglip", name, n, d), dtype=torch.float64)
    return F.normalize(drawn, dim=1)


def number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def by_loops(images: Tensor, texts: Tensor, scale: float, bias: float) -> list[float]:
    """-log σ(z (s I·T + b)) of all n² pairs, one after the other."""
    found = []
    for i, image in enumerate(images.tolist()):
        for j, text in enumerate(texts.tolist()):
            z = 1 if i == j else -1
            logit = z * (scale * sum(a * b for a, b in zip(image, text, strict=True)) + bias)
            found.append(math.log1p(math.exp(-logit)))
    return found


@settings(deadline=None, max_examples=50)
@given(
    n=st.integers(1, 7), d=st.integers(1, 5), scale=st.floats(0, 100), bias=st.floats(-20, 20), seed=st.integers(0, 99)
)
def test_equals_the_loops(n: int, d: int, scale: float, bias: float, seed: int) -> None:
    images, texts = unit(n, d, "images", seed), unit(n, d, "texts", seed)
    found = siglip(images, texts, number(scale), number(bias))
    assert found.dtype == torch.float64
    assert found.item() == pytest.approx(sum(by_loops(images, texts, scale, bias)) / n, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 7])
@pytest.mark.parametrize("scale", [0.0, 14.3, 100.0])
def test_the_legacy_one_is_the_mean_over_all_pairs_without_bias(n: int, scale: float) -> None:
    images, texts = unit(n, 5, "images"), unit(n, 5, "texts")
    found = legacy_siglip(images, texts, number(scale)).item()
    assert found == pytest.approx(sum(by_loops(images, texts, scale, 0)) / n**2)


def test_as_the_paper_begins_the_loss_is_that_of_true_pairs() -> None:
    """With scale 10 and bias -10 the n² - n others cost next to nothing at first: that is what the bias is for."""
    images, texts = unit(64, 512, "images"), unit(64, 512, "texts")
    assert siglip(images, texts, number(10), number(-10)).item() == pytest.approx(10, abs=0.5)
    assert siglip(images, texts, number(10), number(0)).item() > 40


def test_without_scale_and_bias_every_pair_is_a_coin_toss() -> None:
    nothing = torch.tensor(0.0)
    found = siglip(unit(5, 8, "images"), unit(5, 8, "texts"), nothing, nothing)
    assert found.item() == pytest.approx(5 * math.log(2))


def test_a_batch_of_one_is_a_true_pair() -> None:
    scale, bias = number(10), number(-4)
    image = unit(1, 8, "images")
    assert siglip(image, image, scale, bias).item() == pytest.approx(math.log1p(math.exp(-6)))


def test_is_symmetric_in_the_two_modalities() -> None:
    images, texts = unit(6, 4, "images"), unit(6, 4, "texts")
    scale, bias = torch.tensor(10.0), torch.tensor(-3.0)
    torch.testing.assert_close(siglip(images, texts, scale, bias), siglip(texts, images, scale, bias))


def test_gradient_is_that_of_finite_differences() -> None:
    images, texts = unit(4, 3, "images").requires_grad_(), unit(4, 3, "texts").requires_grad_()
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    bias = torch.tensor(-2.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(siglip, (images, texts, scale, bias))
    assert torch.autograd.gradcheck(legacy_siglip, (images, texts, scale))


@pytest.mark.parametrize(
    ("images", "texts", "scale", "bias"),
    [
        ((3, 4), (2, 4), (), ()), ((3, 4), (3, 5), (), ()), ((4,), (4,), (), ()), ((3, 4), (3, 4), (1,), ()),
        ((3, 4), (3, 4), (), (1,)),
    ],
)  # fmt: skip
def test_odd_shapes_are_a_bug_of_the_caller(
    images: tuple[int, ...], texts: tuple[int, ...], scale: tuple[int, ...], bias: tuple[int, ...]
) -> None:
    with pytest.raises(AssertionError):
        siglip(torch.zeros(images), torch.zeros(texts), torch.ones(scale), torch.ones(bias))
