"""Two normal distributions on a line, for methods that tell two kinds of pairs apart by one score of each."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

APART = 2.0
"""The least separation of two components that are told apart (Ashman, Bird and Zepf 1994)."""


@dataclass(frozen=True)
class Mixture:
    """Two components, the one of larger mean last."""

    weights: tuple[float, float]
    means: tuple[float, float]
    variances: tuple[float, float]

    @property
    def separation(self) -> float:
        """Ashman's D: the distance of the means in units of the root mean square of the standard deviations."""
        low, high = self.means
        return (high - low) / float(np.sqrt(sum(self.variances) / 2))

    def posterior(self, values: Values) -> Values:
        """How probably each value comes from the component of larger mean, in [0, 1]; not always rising with it.

        Where the variances differ, the wider component has both ends of the line.
        """
        low, high = (
            np.log(weight) - (np.log(variance) + (values - mean) ** 2 / variance) / 2
            for weight, mean, variance in zip(self.weights, self.means, self.variances, strict=True)
        )
        found: Values = np.exp(high - np.logaddexp(low, high))
        return found


def fit(values: Values, seed: int) -> Mixture | None:
    """The mixture of scikit-learn's EM, which begins with k-means; ``None`` where all values are the same.

    It depends on the values and not on their order. ``seed``: that of k-means, below 2³².
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    if np.ptp(values) == 0:
        return None
    falling = np.sort(values)[::-1]  # as the released SafeCLIP has them
    found = GaussianMixture(n_components=2, random_state=seed)
    # One thread: several add up in any order, and the last bits would differ from run to run.
    with warnings.catch_warnings(), threadpool_limits(limits=1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # what matters is whether it separates, which is looked at
        found.fit(falling[:, None])
    order = np.argsort(found.means_[:, 0], kind="stable")
    weights, means, variances = found.weights_[order], found.means_[order, 0], found.covariances_[order, 0, 0]
    return Mixture(*((float(part[0]), float(part[1])) for part in (weights, means, variances)))
