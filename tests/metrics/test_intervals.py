"""Intervals against printed tables, brute force and their own promises."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bezoar.metrics import Interval, paired_difference, student_t, unpaired_difference, wilson
from bezoar.metrics.intervals import t_quantile

relaxed = hypothesis.settings(deadline=None)
counts = st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where ``function``, of opposite signs at the ends, is zero."""
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if (function(middle) > 0) == (function(low) > 0) else (low, middle)
    return (low + high) / 2


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_printed_values(successes: int, n: int, low: float, high: float) -> None:
    """Newcombe (1998), table I, method 3 (score, without continuity correction)."""
    found = wilson(successes, n)
    assert found.value == successes / n
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
    assert found.n == n


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize(("successes", "n"), [(1, 3), (2, 5), (7, 50), (499, 500), (25_000, 50_000)])
def test_wilson_ends_solve_the_score_equation(successes: int, n: int, level: float) -> None:
    z, share = NormalDist().inv_cdf(0.5 + level / 2), successes / n

    def score(p: float) -> float:
        return (share - p) ** 2 - z**2 * p * (1 - p) / n

    found = wilson(successes, n, level)
    assert found.low == pytest.approx(root(score, 0.0, share), abs=1e-12)
    assert found.high == pytest.approx(root(score, share, 1.0), abs=1e-12)


@relaxed
@given(counts, st.floats(0.01, 0.9999))
def test_wilson_contains_the_share_and_stays_a_share(count: tuple[int, int], level: float) -> None:
    found = wilson(*count, level)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert (found.low == 0) == (count[0] == 0)
    assert (found.high == 1) == (count[0] == count[1])


@relaxed
@given(counts, st.integers(2, 50))
def test_wilson_shrinks_with_n(count: tuple[int, int], more: int) -> None:
    few, many = wilson(*count), wilson(count[0] * more, count[1] * more)
    assert many.high - many.low < few.high - few.low


@relaxed
@given(counts)
def test_wilson_mirrors_and_grows_with_the_level(count: tuple[int, int]) -> None:
    successes, n = count
    found, mirrored, wider = wilson(successes, n), wilson(n - successes, n), wilson(successes, n, 0.99)
    assert (found.low, found.high) == pytest.approx((1 - mirrored.high, 1 - mirrored.low))
    assert wider.low <= found.low <= found.high <= wider.high
    assert wider.high - wider.low > found.high - found.low


@pytest.mark.parametrize(
    ("successes", "n", "level", "named"),
    [(0, 0, 0.95, "n:"), (0, -1, 0.95, "n:"), (3, 2, 0.95, "successes:"), (-1, 2, 0.95, "successes:")]
    + [(1, 2, level, "level:") for level in (0.0, 1.0, 95.0, math.nan)],
)
def test_wilson_refuses_what_is_no_share(successes: int, n: int, level: float, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        wilson(successes, n, level)


@pytest.mark.parametrize(
    ("level", "printed"),
    [
        (0.90, {1: 6.314, 2: 2.920, 6: 1.943}),
        (0.95, {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 10: 2.228, 30: 2.042, 120: 1.980}),
        (0.99, {1: 63.657, 2: 9.925, 7: 3.499}),
        (0.999, {3: 12.924}),
    ],
)
def test_t_quantile_gives_the_printed_table(level: float, printed: dict[int, float]) -> None:
    assert {freedom: t_quantile(level, freedom) for freedom in printed} == pytest.approx(printed, abs=5e-4)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 8, 17, 40])
@pytest.mark.parametrize("level", [0.3, 0.8, 0.95, 0.99])
def test_t_quantile_cuts_off_the_level_from_the_density(level: float, freedom: int) -> None:
    t = np.linspace(0, t_quantile(level, freedom), 20_001)
    log_constant = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(math.pi * freedom) / 2
    density = math.exp(log_constant) * (1 + t**2 / freedom) ** (-(freedom + 1) / 2)
    assert 2 * np.trapezoid(density, t) == pytest.approx(level, abs=1e-6)


def test_t_quantile_equals_scipy_where_there_is_one() -> None:
    stats = pytest.importorskip("scipy.stats")
    for freedom in (1, 2, 3, 4, 9, 30, 101):
        for level in (0.1, 0.5, 0.9, 0.95, 0.99, 0.9999):
            assert t_quantile(level, freedom) == pytest.approx(stats.t.ppf((1 + level) / 2, freedom), rel=1e-9)


def test_t_quantile_approaches_the_normal() -> None:
    assert t_quantile(0.95, 20_000) == pytest.approx(NormalDist().inv_cdf(0.975), abs=2e-4)


def test_student_t_of_five_seeds_by_hand() -> None:
    found = student_t([1.0, 2.0, 3.0, 4.0, 5.0])
    half = 2.776445 * math.sqrt(2.5) / math.sqrt(5)
    assert found == pytest.approx(Interval(3.0, 3 - half, 3 + half, 5), abs=1e-6)


@relaxed
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=12))
def test_student_t_contains_the_mean(values: list[float]) -> None:
    found = student_t(values)
    assert found.low <= found.value <= found.high
    assert found.value == pytest.approx(sum(values) / len(values), abs=1e-6)
    assert found.n == len(values)


def test_student_t_of_equal_seeds_has_no_width() -> None:
    assert student_t([0.5, 0.5, 0.5]) == (0.5, 0.5, 0.5, 3)


@pytest.mark.parametrize(
    ("values", "level", "named"),
    [([], 0.95, "values:"), ([1.0], 0.95, "values:"), ([1.0, math.nan], 0.95, "values:"), ([1.0, 2.0], 1.0, "level:")],
)
def test_student_t_refuses_what_has_no_spread(values: list[float], level: float, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        student_t(values, level)


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [((36, 2, 12, 0), 0.0569, 0.3404), ((54, 0, 0, 0), -0.0664, 0.0664), ((1, 7, 1, 12), -0.5069, -0.0256)],
)
def test_paired_difference_gives_the_printed_values(counts: tuple[int, int, int, int], low: float, high: float) -> None:
    """Newcombe (1998c), method 10."""
    found = paired_difference(*counts)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
    assert found.value == pytest.approx((counts[2] - counts[1]) / sum(counts), abs=1e-15)
    assert found.n == sum(counts)


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
    ],
)
def test_unpaired_difference_gives_the_printed_values(
    one: tuple[int, int], other: tuple[int, int], low: float, high: float
) -> None:
    """Newcombe (1998b), table II, method 10."""
    found = unpaired_difference(wilson(*other), wilson(*one))
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
    assert found.value == pytest.approx(one[0] / one[1] - other[0] / other[1], abs=1e-15)
    assert found.n == min(one[1], other[1])


@relaxed
@given(st.lists(st.integers(0, 500), min_size=4, max_size=4).filter(any))
def test_paired_difference_turns_with_the_order_and_contains_the_change(counts: list[int]) -> None:
    both, lost, gained, neither = counts
    there, back = paired_difference(both, lost, gained, neither), paired_difference(both, gained, lost, neither)
    assert (-back.high, -back.value, -back.low) == pytest.approx((there.low, there.value, there.high), abs=1e-12)
    assert -1 <= there.low <= there.value <= there.high <= 1


def test_paired_difference_covers_as_often_as_it_says() -> None:
    """Of 2,000 draws of 200 samples with known shares the interval holds the truth in 93 to 97.5 %."""
    shares = (0.55, 0.12, 0.05, 0.28)
    draws = np.random.default_rng(0).multinomial(200, shares, size=2000)
    found = [paired_difference(*map(int, draw)) for draw in draws]
    assert 0.93 <= np.mean([each.low <= 0.05 - 0.12 <= each.high for each in found]) <= 0.975


def test_pairs_tell_more_than_the_same_shares_apart() -> None:
    """Of samples that mostly stay what they were the interval is narrower than where they change places."""
    still, restless = paired_difference(700, 60, 20, 220), paired_difference(590, 170, 130, 110)
    assert still.value == restless.value
    assert still.high - still.low < 0.75 * (restless.high - restless.low)
