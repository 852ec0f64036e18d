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


RELEASED = [(1, 0.997), (2, 0.512), (5, 0.097), (10, 0.025), (20, 0.006), (64, 0.0006)]
"""Epochs and the last rate over the base rate, with the released code's schedule, 1,562 batches and a warm-up of 50."""


def released(lr: float, warmup: int, batches: int, epochs: int, epoch: int, index: int) -> float:
    """The released code, line for line in arithmetic: epochs from 1, a total that forgets it, nothing clamped."""
    step, total = batches * epoch + index, batches * epochs
    if step < warmup:
        return lr * (step + 1) / warmup
    return lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def test_the_rate_in_the_log_of_roclip() -> None:
    """Its log has 1.0745e-05 at index 194 of epoch 1; the intended rate would be 9.75e-07."""
    ahead = Schedule(shape="cosine", lr=5e-5, warmup=10_000, total=30 * 1_954, ahead=1_954)
    assert ahead(194) == pytest.approx(1.0745e-05, rel=1e-12)
    assert Schedule(shape="cosine", lr=5e-5, warmup=10_000, total=30 * 1_954)(194) == pytest.approx(9.75e-07, rel=1e-12)


@pytest.mark.parametrize(("epochs", "ratio"), RELEASED)
def test_the_end_of_a_run_of_the_released_code(epochs: int, ratio: float) -> None:
    ahead = Schedule(shape="cosine", lr=1.0, warmup=50, total=1_562 * epochs, ahead=1_562)
    assert round(ahead(1_562 * epochs - 1), 4 if ratio < 0.001 else 3) == ratio
    if epochs == 1:
        assert ahead(0) == 0, "it runs the wrong way round"


@pytest.mark.parametrize(
    ("warmup", "batches", "epochs"), [(5, 10, 4), (0, 10, 2), (15, 10, 4), (25, 10, 2), (20, 10, 1)]
)
def test_a_schedule_ahead_is_the_released_code(warmup: int, batches: int, epochs: int) -> None:
    """Also where the warm-up ends after the total, and the released code divides by a negative number."""
    ahead = Schedule(shape="cosine", lr=3e-4, warmup=warmup, total=batches * epochs, ahead=batches)
    for step in range(batches * epochs):
        expected = released(3e-4, warmup, batches, epochs, step // batches + 1, step % batches)
        assert ahead(step) == pytest.approx(expected, rel=1e-12, abs=1e-18), step


def test_past_the_total_the_cosine_rises_and_a_line_stays_at_zero() -> None:
    cosine = Schedule(shape="cosine", lr=1.0, warmup=0, total=20, ahead=10)
    assert cosine(10) == 0
    rates = [cosine(step) for step in range(10, 20)]
    assert rates == sorted(rates)
    assert rates[-1] > 0.4
    linear = Schedule(shape="linear", lr=1.0, warmup=0, total=20, ahead=10)
    assert [linear(step) for step in (0, 5, 9, 10, 19)] == pytest.approx([0.5, 0.25, 0.05, 0, 0])
    assert Schedule(shape="constant", lr=1.0, warmup=12, total=20, ahead=10)(1) == 1


@given(
    shape=st.sampled_from(["cosine", "linear", "constant"]), warmup=st.integers(0, 30), total=st.integers(1, 60),
    ahead=st.integers(0, 30), begin=st.integers(0, 30),
)  # fmt: skip
def test_ahead_is_only_later_until_the_total(shape: str, warmup: int, total: int, ahead: int, begin: int) -> None:
    plain = Schedule(shape=shape, lr=1.0, warmup=warmup, total=total)  # type: ignore[arg-type]
    moved = Schedule(shape=shape, lr=1.0, warmup=warmup, total=total, begin=begin, ahead=ahead)  # type: ignore[arg-type]
    for step in range(max(0, total - ahead)):
        assert moved(begin + step) == plain(step + ahead)
