"""Masked language modelling by loops; tokens beyond the room are left out, and room that is left changes nothing."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from bezoar.core.seeds import torch_generator
from bezoar.losses import masked_words

RANDOM = torch_generator(0, "masked words")
HIDDEN = torch.randn(3, 4, 6, generator=RANDOM)
TOKENS = torch.randint(9, (3, 4), generator=RANDOM)
ASKED = torch.tensor([[0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]).bool()


def head() -> nn.Linear:
    found = nn.Linear(6, 9)
    with torch.no_grad():
        found.weight.copy_(torch.randn(9, 6, generator=torch_generator(1, "head")))
        found.bias.copy_(torch.arange(9) / 9)
    return found


def by_loops(places: list[tuple[int, int]]) -> float:
    total, guess = 0.0, head().requires_grad_(False)
    for row, column in places:
        scores = [
            sum(float(w * h) for w, h in zip(weights, HIDDEN[row, column], strict=True)) + float(bias)
            for weights, bias in zip(guess.weight, guess.bias, strict=True)
        ]
        total += math.log(sum(math.exp(score) for score in scores)) - scores[TOKENS[row, column]]
    return total


@pytest.mark.parametrize("room", [3, 5, 12])
def test_by_loops_whatever_the_room(room: int) -> None:
    found = masked_words(HIDDEN, TOKENS, ASKED, head(), room)
    assert found.item() == pytest.approx(by_loops([(0, 1), (1, 1), (1, 2)]), rel=1e-5)


def test_tokens_beyond_the_room_are_left_out() -> None:
    assert masked_words(HIDDEN, TOKENS, ASKED, head(), 2).item() == pytest.approx(by_loops([(0, 1), (1, 1)]), rel=1e-5)


def test_where_nothing_is_asked_nothing_is_learned() -> None:
    guess = head()
    loss = masked_words(HIDDEN, TOKENS, torch.zeros_like(ASKED), guess, 4)
    torch.autograd.backward(loss)
    assert loss.item() == 0
    assert guess.weight.grad is not None
    assert not guess.weight.grad.any()
