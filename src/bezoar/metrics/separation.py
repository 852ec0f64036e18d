"""How well a score tells two kinds apart: the area under the ROC curve, from histograms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bezoar.metrics.intervals import Interval, of_share

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def auroc(high: NDArray[np.int64], low: NDArray[np.int64]) -> Interval:
    """How often one of ``high`` scores above one of ``low``, where ties count half; n is the count of the rarer kind.

    Both are counts in the same bins of ascending score. The variance of the area θ is at most θ (1 - θ) / n, whatever
    the scores are like (Birnbaum and Klose 1957): the interval is that of a share of n, and rather too wide.
    """
    all_high, all_low = int(high.sum()), int(low.sum())
    if min(all_high, all_low) < 1:
        raise ValueError(f"high, low: an area needs a sample of each, got {all_high} and {all_low}")
    twice_below = 2 * (low.cumsum() - low) + low
    # In whole numbers, so that 1 is 1; of a billion pairs each they would not fit.
    return of_share(int((high * twice_below).sum()) / (2 * all_high * all_low), min(all_high, all_low))
