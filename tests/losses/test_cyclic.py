"""CyCLIP's consistency terms against loops over the formulas, and where they vanish."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from bezoar.core.seeds import torch_generator
from bezoar.losses import cyclic_cross_modal, cyclic_in_modal


def unit(n: int, d: int, name: str, seed: int = 0) -> Tensor:
    drawn = torch.randn(n, d, generator=torch_generator(seed, "cyclic", name, n, d), dtype=torch.float64)
    return F.normalize(drawn, dim=1)


def dot(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


@settings(deadline=None, max_examples=50)
@given(n=st.integers(1, 7), d=st.integers(1, 5), seed=st.integers(0, 99))
def test_equal_the_loops(n: int, d: int, seed: int) -> None:
    images, texts = unit(n, d, "images", seed), unit(n, d, "texts", seed)
    pictures, captions = images.tolist(), texts.tolist()
    in_modal = cross_modal = 0.0
    for i in range(n):
        for j in range(n):
            in_modal += (dot(pictures[i], pictures[j]) - dot(captions[i], captions[j])) ** 2
            cross_modal += (dot(pictures[i], captions[j]) - dot(pictures[j], captions[i])) ** 2
    assert cyclic_in_modal(images, texts).item() == pytest.approx(in_modal / n, rel=1e-9, abs=1e-12)
    assert cyclic_cross_modal(images, texts).item() == pytest.approx(cross_modal / n, rel=1e-9, abs=1e-12)


def test_the_scale_of_the_released_code_cancels() -> None:
    """There: n times the mean over n², of logits divided by the squared scale."""
    images, texts, n, scale = unit(5, 4, "images"), unit(5, 4, "texts"), 5, 14.3
    logits = scale * images @ texts.T
    expected = n * (logits - logits.T).square().mean() / scale**2
    torch.testing.assert_close(cyclic_cross_modal(images, texts), expected)
    inside = scale * images @ images.T - scale * texts @ texts.T
    torch.testing.assert_close(cyclic_in_modal(images, texts), n * inside.square().mean() / scale**2)


def test_where_pictures_are_their_captions_both_vanish() -> None:
    images = unit(6, 4, "images")
    assert cyclic_in_modal(images, images).item() == 0
    assert cyclic_cross_modal(images, images).item() == pytest.approx(0, abs=1e-24)


def test_a_rotation_between_the_modalities_costs_across_them_alone() -> None:
    """The term within modalities knows distances only; what binds pictures to captions is the term across."""
    images = unit(6, 4, "images")
    turn, _ = torch.linalg.qr(unit(4, 4, "turn"))
    assert cyclic_in_modal(images, images @ turn).item() == pytest.approx(0, abs=1e-24)
    assert cyclic_cross_modal(images, images @ turn).item() > 0.1


def test_gradients_are_those_of_finite_differences() -> None:
    images, texts = unit(4, 3, "images").requires_grad_(), unit(4, 3, "texts").requires_grad_()
    assert torch.autograd.gradcheck(cyclic_in_modal, (images, texts))
    assert torch.autograd.gradcheck(cyclic_cross_modal, (images, texts))


@pytest.mark.parametrize("loss", [cyclic_in_modal, cyclic_cross_modal])
@pytest.mark.parametrize(("images", "texts"), [((3, 4), (2, 4)), ((3, 4), (3, 5)), ((4,), (4,))])
def test_odd_shapes_are_a_bug_of_the_caller(loss: object, images: tuple[int, ...], texts: tuple[int, ...]) -> None:
    assert callable(loss)
    with pytest.raises(AssertionError):
        loss(torch.zeros(images), torch.zeros(texts))
