"""How a pattern gets the size wanted, and the bytes that random ones are made of."""

from __future__ import annotations

import hashlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bezoar.attacks.pattern import Pattern, grains, noise, spread

relaxed = settings(max_examples=80, deadline=None)
sides = st.integers(1, 12)
shapes = st.tuples(sides, sides)


def test_the_base_has_no_behavior() -> None:
    with pytest.raises(NotImplementedError):
        Pattern().draw((2, 2), (2, 2), "a")
    assert Pattern().cover((2, 2), (2, 2)) is None
    assert Pattern().tensors() == {}
    assert Pattern().pinned() == Pattern()
    assert Pattern.fixed


@relaxed
@given(shape=shapes, nominal=shapes, held=shapes)
def test_spread_by_loops(shape: tuple[int, int], nominal: tuple[int, int], held: tuple[int, int]) -> None:
    pixels = torch.arange(held[0] * held[1]).view(1, *held)
    result = spread(pixels, shape, nominal)
    assert result.shape == (1, *shape)
    for y in range(shape[0]):
        for x in range(shape[1]):
            row = int(y * nominal[0] / shape[0] + 1e-9) - (nominal[0] - held[0]) // 2
            column = int(x * nominal[1] / shape[1] + 1e-9) - (nominal[1] - held[1]) // 2
            assert result[0, y, x] == pixels[0, row % held[0], column % held[1]]


def test_a_square_stands_in_the_center_of_a_wide_area_and_is_repeated_around_it() -> None:
    wide = spread(torch.tensor([[[1, 2], [3, 4]]]), (2, 6), (2, 6))
    assert wide.tolist() == [[[1, 2, 1, 2, 1, 2], [3, 4, 3, 4, 3, 4]]]
    square = torch.arange(16).view(1, 4, 4)
    assert torch.equal(spread(square, (4, 7), (4, 7))[:, :, 1:5], square)
    assert torch.equal(spread(square, (9, 4), (9, 4))[:, 2:6], square)


def test_twice_the_size_is_every_pixel_four_times() -> None:
    square = torch.arange(9).view(1, 3, 3)
    assert torch.equal(spread(square, (6, 6), (3, 3)), square.repeat_interleave(2, 1).repeat_interleave(2, 2))


def test_noise_is_the_stream_in_order() -> None:
    stream = hashlib.shake_256(b"somewhere").digest(24)
    assert noise("somewhere", (3, 2, 4)).flatten().tolist() == list(stream)
    noise("somewhere", (1, 1, 1)).zero_()  # its own memory


def test_grains_by_hand() -> None:
    stream = hashlib.shake_256(b"x").digest(12)
    drawn = grains("x", 3, 2)
    assert drawn.shape == (3, 3, 3)
    assert drawn[1].tolist() == [[stream[4], stream[4], stream[5]]] * 2 + [[stream[6], stream[6], stream[7]]]
