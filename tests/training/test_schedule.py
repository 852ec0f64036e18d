"""Learning rates against the formulas written out, and at the seams: first step, end of warm-up, last step, beyond."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bezoar.training.schedule import Schedule


def rate(shape: str, lr: float, warmup: int, total: int, step: int) -> float:
    """The systems' formula, straight: warm-up (t+1)/W, then over what is left of the steps."""
    if step < warmup:
        return lr * (step + 1) / warmup
    if shape == "constant":
        return lr
    if total <= warmup:
        return lr if step == warmup else 0.0
    left = (min(step, total) - warmup) / (total - warmup)
    return lr * (1 + math.cos(math.pi * left)) / 2 if shape == "cosine" else lr * (1 - left)


@pytest.mark.parametrize("shape", ["cosine", "linear", "constant"])
@pytest.mark.parametrize(("warmup", "total"), [(0, 10), (3, 10), (9, 10), (10, 10), (20, 10), (1, 1), (0, 1)])
def test_equals_the_formula(shape: str, warmup: int, total: int) -> None:
    schedule = Schedule(shape=shape, lr=3e-4, warmup=warmup, total=total)  # type: ignore[arg-type]
    for step in range(25):
        assert schedule(step) == pytest.approx(rate(shape, 3e-4, warmup, total, step), rel=1e-12, abs=1e-20), step


def test_named_values() -> None:
    cosine = Schedule(shape="cosine", lr=1.0, warmup=4, total=12)
    assert [cosine(step) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert cosine(8) == pytest.approx(0.5)
    assert cosine(11) == pytest.approx(0.5 * (1 + math.cos(math.pi * 7 / 8)))
    assert cosine(12) == cosine(99) == 0
    linear = Schedule(shape="linear", lr=1.0, warmup=0, total=4)
    assert [linear(step) for step in range(6)] == [1, 0.75, 0.5, 0.25, 0, 0]


@given(
    shape=st.sampled_from(["cosine", "linear", "constant"]),
    warmup=st.integers(0, 30),
    total=st.integers(1, 60),
    begin=st.integers(0, 50),
)
def test_a_late_start_only_moves_it(shape: str, warmup: int, total: int, begin: int) -> None:
    first = Schedule(shape=shape, lr=1.0, warmup=warmup, total=total)  # type: ignore[arg-type]
    late = Schedule(shape=shape, lr=1.0, warmup=warmup, total=total, begin=begin)  # type: ignore[arg-type]
    rates = [first(step) for step in range(total + 5)]
    assert rates == [late(begin + step) for step in range(total + 5)]
    assert all(0 <= rate <= 1 for rate in rates)
    assert rates[:warmup] == sorted(rates[:warmup])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)


def test_a_step_before_the_start_is_a_bug_of_the_method() -> None:
    with pytest.raises(AssertionError):
        Schedule(shape="linear", lr=1.0, warmup=0, total=4, begin=3)(2)
