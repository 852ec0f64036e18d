"""Confidence intervals: Wilson's for a share, Newcombe's for a difference of two, Student's t for a mean over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev
from typing import NamedTuple


class Interval(NamedTuple):
    """A number, the two ends of its interval, and the count it rests on (images, or seeds)."""

    value: float
    low: float
    high: float
    n: int


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """The share ``successes / n`` with its score interval (Wilson 1927): all p with |p̂ - p| ≤ z √(p (1 - p) / n)."""
    _check_level(level)
    if n < 1:
        raise ValueError(f"n: a share needs at least one sample, got {n}")
    if not 0 <= successes <= n:
        raise ValueError(f"successes: must be between 0 and n = {n}, got {successes}")
    return of_share(successes / n, n, level)


def of_share(share: float, n: int, level: float = 0.95) -> Interval:
    """As ``wilson``, of a share that is no count: an average of chances."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    center = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At 0 of n and n of n one end is exactly the share; rounding must not put it inside.
    low = 0.0 if share == 0 else max(center - half, 0.0)
    high = 1.0 if share == 1 else min(center + half, 1.0)
    return Interval(share, low, high, n)


def unpaired_difference(before: Interval, after: Interval) -> Interval:
    """The change from one share to another of other samples, each with its Wilson interval.

    The interval is that of Newcombe (1998b, method 10); its count is the smaller of the two.
    """
    return _newcombe(before, after, 0.0)


def paired_difference(both: int, lost: int, gained: int, neither: int, level: float = 0.95) -> Interval:
    """The change of a share from a first to a second look at the same samples, (``gained`` - ``lost``) / n.

    ``both`` and ``neither`` were right, or wrong, both times; ``lost`` only the first, ``gained`` only the second. The
    interval is that of Newcombe (1998c, method 10): Wilson's ends of both shares, with their correlation φ.
    """
    n = both + lost + gained + neither
    before, after = wilson(both + lost, n, level), wilson(both + gained, n, level)
    product = float(both * neither - lost * gained)
    if product > 0:
        product = max(product - n / 2, 0.0)
    margins = (both + lost) * (gained + neither) * (both + gained) * (lost + neither)
    return _newcombe(before, after, product / math.sqrt(margins) if margins else 0.0)


def _newcombe(before: Interval, after: Interval, phi: float) -> Interval:
    """From the Wilson intervals of two shares whose correlation is ``phi``."""

    def reach(one: float, other: float) -> float:
        return math.sqrt(max(one * one - 2 * phi * one * other + other * other, 0.0))

    change = after.value - before.value
    low = change - reach(after.value - after.low, before.high - before.value)
    high = change + reach(after.high - after.value, before.value - before.low)
    return Interval(change, max(low, -1.0), min(high, 1.0), min(before.n, after.n))


def student_t(values: Sequence[float], level: float = 0.95) -> Interval:
    """The mean of one value per seed with its t-interval: mean ± t s / √n, n - 1 degrees of freedom."""
    _check_level(level)
    n = len(values)
    if n < 2:
        raise ValueError(f"values: an interval over seeds needs at least 2 of them, got {n}")
    if not all(map(math.isfinite, values)):
        raise ValueError(f"values: must be finite, got {list(values)}")
    mean = fmean(values)
    half = t_quantile(level, n - 1) * stdev(values, mean) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def t_quantile(level: float, freedom: int) -> float:
    """The t with P(|T| ≤ t) = ``level`` for whole degrees of freedom: 12.706 for 0.95 and 1."""
    low, high = 0.0, math.pi / 2
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if _t_mass(middle, freedom) < level else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def _t_mass(angle: float, freedom: int) -> float:
    """P(|T| ≤ √freedom tan(angle)): the finite sums of Abramowitz & Stegun (1964), 26.7.3 and 26.7.4."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = term if freedom > 1 else 0.0
    for k in range(2 + odd, freedom - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    return (angle + sine * total) * 2 / math.pi if odd else sine * total


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level: must be between 0 and 1, both excluded, got {level}")
