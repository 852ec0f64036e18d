"""Attention maps by loops, of convolutions and of tokens, and how far two are apart."""

from __future__ import annotations

import math

import pytest
import torch

from bezoar.core.seeds import torch_generator
from bezoar.losses import attention_map, attention_transfer


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch_generator(0, "attention"))


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_maps_of_a_convolution_by_loops(power: float) -> None:
    activation = drawn(2, 3, 4, 5)
    for picture, found in zip(activation, attention_map(activation, power), strict=True):
        active = [
            sum(abs(float(v)) ** power for v in picture[:, row, column]) for row in range(4) for column in range(5)
        ]
        norm = math.sqrt(sum(place**2 for place in active)) + 1e-6
        assert found.tolist() == pytest.approx([place / norm for place in active], rel=1e-5)


@pytest.mark.parametrize(("tokens", "before"), [(10, 1), (9, 0), (11, 2)])
def test_maps_of_tokens_leave_out_those_before_the_places(tokens: int, before: int) -> None:
    activation = drawn(2, tokens, 6)
    places = activation[:, before:]
    assert torch.allclose(attention_map(activation), attention_map(places.transpose(1, 2).reshape(2, 6, 3, 3)))


def test_they_have_unit_length_in_half_precision_too_and_nothing_stays_nothing() -> None:
    found = attention_map(drawn(2, 3, 4, 4).bfloat16())
    assert found.dtype == torch.float32
    assert found.norm(dim=1).tolist() == pytest.approx([1, 1], rel=1e-4)
    assert not attention_map(torch.zeros(2, 3, 4, 4)).any()


def test_the_difference_by_loops_and_its_gradient() -> None:
    one, other = drawn(3, 4).requires_grad_(), drawn(4, 4)[1:].requires_grad_()
    loss = attention_transfer(one, other)
    squares = [(a - b) ** 2 for a, b in zip(one.flatten().tolist(), other.flatten().tolist(), strict=True)]
    assert loss.item() == pytest.approx(sum(squares) / 12, rel=1e-5)
    torch.autograd.backward(loss)
    assert (one.grad is not None, other.grad) == (True, None)
