"""SIG: the wave by its formula, clipped."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bezoar.attacks.triggers.sinusoidal import Sinusoidal
from bezoar.core.settings import validate

relaxed = settings(max_examples=60, deadline=None)


@relaxed
@given(
    delta=st.floats(0.1, 255), frequency=st.floats(0.1, 20), height=st.integers(1, 9), width=st.integers(1, 40),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_equals_loops_over_pixels_and_is_pure(
    delta: float, frequency: float, height: int, width: int, seed: int
) -> None:
    image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    kept = image.clone()
    trigger = Sinusoidal(delta=delta, frequency=frequency)
    result = trigger.apply(image, "a")
    for x in range(width):
        wave = delta * math.sin(2 * math.pi * frequency * x / width)
        for before, after in zip(image[:, :, x].flatten().tolist(), result[:, :, x].flatten().tolist(), strict=True):
            assert abs(after - min(255, max(0, before + wave))) <= 0.5 + 1e-5
    assert result.dtype == torch.uint8
    assert torch.equal(image, kept)
    assert torch.equal(trigger.apply(image, "b"), result)


def test_by_hand() -> None:
    image = torch.full((3, 2, 8), 100, dtype=torch.uint8)
    result = Sinusoidal(frequency=1).apply(image, "a")
    assert result[1].tolist() == [[100, 142, 160, 142, 100, 58, 40, 58]] * 2
    assert Sinusoidal(frequency=1, delta=200).apply(image, "a")[0, 0].tolist() == [100, 241, 255, 241, 100, 0, 0, 0]


def test_a_half_goes_the_same_way_on_every_machine() -> None:
    """sin 30° is a half but for the last bit, on either side of it."""
    image = torch.full((3, 1, 12), 100, dtype=torch.uint8)
    assert Sinusoidal(frequency=1, delta=61).apply(image, "a")[0, 0, [1, 5, 7, 11]].tolist() == [131, 131, 70, 70]


def test_there_are_six_periods_over_any_width() -> None:
    for width in (224, 240, 501):
        wave = Sinusoidal().apply(torch.full((3, 1, width), 128, dtype=torch.uint8), "a")[0, 0].int() - 128
        assert (int(wave.max()), int(wave.min())) == (60, -60)
        assert int(((wave[1:] > 0) & (wave[:-1] <= 0)).sum()) == 6


def test_the_defaults_are_the_papers_and_nothing_is_stored() -> None:
    assert (Sinusoidal().delta, Sinusoidal().frequency) == (60, 6)
    assert Sinusoidal().tensors() == {}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"delta": 0}, r"trigger\.delta: .*greater than 0, got 0"),
        ({"delta": 256}, r"trigger\.delta: .*less than or equal to 255, got 256"),
        ({"frequency": -1}, r"trigger\.frequency: .*greater than 0, got -1"),
    ],
)
def test_mistakes_are_refused_by_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate(Sinusoidal, fields, "trigger")
