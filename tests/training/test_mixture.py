"""Two normal distributions on a line: against scikit-learn, against EM by hand, and what is the same or far away."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.mixture import GaussianMixture

from bezoar.core.seeds import numpy_generator
from bezoar.training.mixture import Mixture, fit

Values = NDArray[np.float64]


def drawn(
    low: float = 0.05, high: float = 0.3, deviation: float = 0.06, count: int = 400, share: float = 0.7
) -> Values:
    random = numpy_generator(0, "mixture", count)
    few = int(share * count)
    return np.concatenate([random.normal(low, deviation, few), random.normal(high, 0.04, count - few)])


def density(value: float, mean: float, variance: float) -> float:
    return math.exp(-((value - mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)


def em(values: Values, rounds: int = 500) -> list[tuple[float, float, float]]:
    """Weight, mean and variance of two components, value by value, from the lower and the upper half."""
    ordered = sorted(values.tolist())
    halves = ordered[: len(ordered) // 2], ordered[len(ordered) // 2 :]
    found = [(0.5, float(np.mean(half)), float(np.var(half))) for half in halves]
    for _ in range(rounds):
        upper = []
        for value in ordered:
            both = [weight * density(value, mean, variance) for weight, mean, variance in found]
            upper.append(both[1] / sum(both))
        shares = [1 - share for share in upper], upper
        found = []
        for share in shares:
            total = sum(share)
            mean = sum(s * v for s, v in zip(share, ordered, strict=True)) / total
            variance = sum(s * (v - mean) ** 2 for s, v in zip(share, ordered, strict=True)) / total
            found.append((total / len(ordered), mean, variance))
    return found


def parts(mixture: Mixture) -> list[tuple[float, float, float]]:
    return list(zip(mixture.weights, mixture.means, mixture.variances, strict=True))


def fitted(values: Values, seed: int = 0) -> Mixture:
    found = fit(values, seed)
    assert found is not None
    return found


def test_it_is_that_of_em_by_hand() -> None:
    values = drawn()
    # scikit-learn ends when a round gains less than 1e-3: near the end, not at it.
    for found, expected in zip(parts(fitted(values)), em(values), strict=True):
        assert found == pytest.approx(expected, rel=0.02, abs=2e-3)


@pytest.mark.parametrize("deviation", [0.02, 0.06, 0.2])
def test_it_and_its_posterior_are_scikit_learns(deviation: float) -> None:
    values = drawn(deviation=deviation)
    theirs = GaussianMixture(2, random_state=0).fit(np.sort(values)[::-1, None])
    mixture, upper = fitted(values), int(np.argmax(theirs.means_))
    assert mixture.means == tuple(sorted(theirs.means_[:, 0]))
    assert mixture.weights[1] == theirs.weights_[upper]
    assert mixture.variances[1] == theirs.covariances_[upper, 0, 0]
    wide = np.concatenate([values, [-1.0, 1.0]])
    np.testing.assert_allclose(mixture.posterior(wide), theirs.predict_proba(wide[:, None])[:, upper], atol=1e-12)


def test_the_posterior_is_bayes_rule() -> None:
    mixture = Mixture((0.6, 0.4), (0.1, 0.5), (0.04, 0.01))
    for value in (-0.2, 0.1, 0.3, 0.5, 0.9):
        low, high = (weight * density(value, mean, variance) for weight, mean, variance in parts(mixture))
        assert mixture.posterior(np.array([value]))[0] == pytest.approx(high / (low + high), rel=1e-12)


def test_the_wider_component_has_both_ends() -> None:
    """So the posterior falls again beyond the upper mean: what the fact sheet says of the released code."""
    found = Mixture((0.6, 0.4), (0.1, 0.5), (0.04, 0.01)).posterior(np.array([0.1, 0.55, 5.0]))
    assert found[0] < 0.1
    assert found[1] > 0.8
    assert found[2] == pytest.approx(0, abs=1e-12)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=30), st.integers(0, 2**32 - 1))
def test_any_values_give_a_mixture_or_none_and_no_warning(found: list[float], seed: int) -> None:
    values = np.array(found)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mixture = fit(values, seed)
        again = fit(values[::-1], seed)
    if mixture is None:
        assert len(set(found)) == 1
        return
    assert again == mixture, "the order matters"
    assert mixture.means[0] <= mixture.means[1]
    assert sum(mixture.weights) == pytest.approx(1)
    posterior = mixture.posterior(values)
    assert ((posterior >= 0) & (posterior <= 1)).all()
    assert mixture.separation >= 0


@pytest.mark.parametrize("values", [[0.2] * 8, [0.0, -0.0]])
def test_values_that_are_all_the_same_have_none(values: Any) -> None:
    assert fit(np.array(values), 0) is None


def test_separation_is_ashmans_d() -> None:
    assert Mixture((0.5, 0.5), (0.0, 0.4), (0.03, 0.05)).separation == pytest.approx(0.4 / math.sqrt(0.04))
    assert fitted(drawn(deviation=0.03)).separation > 2
    assert fitted(numpy_generator(0, "one kind").normal(0.1, 0.05, 400)).separation < 2
