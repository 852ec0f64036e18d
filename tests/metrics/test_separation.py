"""The area under the ROC curve from histograms: against all pairs of samples, and scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from bezoar.metrics import auroc, wilson

counts = st.lists(st.integers(0, 9), min_size=6, max_size=6).filter(any)


@settings(deadline=None)
@given(counts, counts)
def test_every_sample_meets_every_other(high: list[int], low: list[int]) -> None:
    above = sum(h * n * (1.0 if i > j else 0.5) for i, h in enumerate(high) for j, n in enumerate(low) if i >= j)
    found = auroc(np.array(high), np.array(low))
    assert found.value == pytest.approx(above / (sum(high) * sum(low)), abs=1e-12)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.n == min(sum(high), sum(low))


def test_as_scikit_learn_has_it() -> None:
    rng = np.random.default_rng(0)
    high, low = rng.integers(3, 23, 500), rng.integers(0, 20, 40)
    found = auroc(np.bincount(high, minlength=25), np.bincount(low, minlength=25))
    assert found.value == pytest.approx(roc_auc_score([1] * 500 + [0] * 40, [*high, *low]))


def test_the_interval_is_that_of_a_share_of_the_rarer_kind() -> None:
    found = auroc(np.array([10_000, 0, 30_000]), np.array([0, 20, 0]))
    assert found == wilson(15, 20)
    apart = auroc(np.array([0, 1_000_000]), np.array([500, 0]))
    assert apart == wilson(500, 500)


def test_without_one_of_the_kinds_there_is_no_area() -> None:
    with pytest.raises(ValueError, match=r"^high, low: an area needs a sample of each, got 3 and 0"):
        auroc(np.array([1, 2]), np.array([0, 0]))
