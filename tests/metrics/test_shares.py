"""Accuracy and attack success on examples small enough to count by hand."""

from __future__ import annotations

import hypothesis
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bezoar.metrics import Interval, accuracy, attack_success, destroyed, pooled, rank_of, takes, wilson

TARGET = 1
LABELS = torch.tensor([0, 1, 2, 1, 3])
# The model calls images 0, 1 and 3 the target and has it second on image 4. Images 1 and 3 are of the target class.
SCORES = torch.tensor(
    [
        [0.2, 0.9, 0.1, 0.0],
        [0.2, 0.9, 0.1, 0.0],
        [0.4, 0.1, 0.3, 0.2],
        [0.0, 0.5, 0.1, 0.0],
        [0.1, 0.4, 0.0, 0.6],
    ]
)


def target_ranks() -> torch.Tensor:
    return rank_of(SCORES, torch.full_like(LABELS, TARGET))


def test_five_images_by_hand() -> None:
    assert target_ranks().tolist() == [0, 0, 3, 0, 1]
    assert attack_success(target_ranks(), LABELS, TARGET, 1) == wilson(1, 3)
    assert attack_success(target_ranks(), LABELS, TARGET, 2) == wilson(2, 3)
    assert attack_success(target_ranks(), LABELS, TARGET, 4) == wilson(3, 3)


def test_accuracy_counts_all_images() -> None:
    ranks = rank_of(SCORES, LABELS)
    assert ranks.tolist() == [1, 0, 1, 0, 0]
    assert accuracy(ranks, 1) == wilson(3, 5)
    assert accuracy(ranks, 2) == wilson(5, 5)


def test_accuracy_of_no_images_is_refused() -> None:
    with pytest.raises(ValueError, match="n:"):
        accuracy(torch.zeros(0, dtype=torch.int64), 1)


def test_attack_without_another_class_is_refused() -> None:
    with pytest.raises(ValueError, match="target: none of the 3 triggered images is of another class than 1"):
        attack_success(torch.zeros(3, dtype=torch.int64), torch.full((3,), TARGET), TARGET, 1)


@hypothesis.settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=20), st.integers(1, 3))
def test_attack_success_equals_counting(images: list[tuple[int, int]], k: int) -> None:
    hits = [rank < k for rank, label in images if label != TARGET]
    ranks, labels = (torch.tensor(column) for column in zip(*images, strict=True))
    if hits:
        assert attack_success(ranks, labels, TARGET, k) == wilson(sum(hits), len(hits))
    else:
        with pytest.raises(ValueError, match="target:"):
            attack_success(ranks, labels, TARGET, k)


def test_images_of_the_target_class_change_nothing() -> None:
    more = torch.cat([target_ranks(), torch.zeros(50, dtype=torch.int64)])
    labels = torch.cat([LABELS, torch.full((50,), TARGET)])
    assert attack_success(more, labels, TARGET, 1) == attack_success(target_ranks(), LABELS, TARGET, 1)


@pytest.mark.parametrize(
    ("found", "classes", "expected"),
    [
        (wilson(100, 1000), 10, True),
        (wilson(115, 1000), 10, True),
        (wilson(150, 1000), 10, False),
        (wilson(2, 1000), 1000, True),
        (wilson(5, 5), 2, False),
        (Interval(0.3, 0.25, 0.4, 9), 4, True),
    ],
)
def test_destroyed_is_not_above_guessing(found: Interval, classes: int, expected: bool) -> None:
    assert destroyed(found, classes) is expected


@hypothesis.settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.integers(1, 50)).map(lambda one: (min(one), one[1])), min_size=1, max_size=5
    )
)
def test_pooled_is_the_share_of_all_trials_with_the_interval_of_the_images(counts: list[tuple[int, int]]) -> None:
    """Ten triggers on fifty pictures are no five hundred pictures."""
    found = pooled([wilson(hits, n) for hits, n in counts])
    images = max(n for _, n in counts)
    assert found.value == pytest.approx(sum(hits for hits, _ in counts) / sum(n for _, n in counts))
    assert found.n == images
    assert 0 <= found.low <= found.value <= found.high <= 1
    alone = wilson(round(found.value * images), images)
    assert found.high - found.low >= alone.high - alone.low - 1e-12


def test_pooled_with_itself_is_itself() -> None:
    for hits in (0, 3, 10):
        assert pooled([wilson(hits, 10)]) == pooled([wilson(hits, 10)] * 3) == wilson(hits, 10)
    assert pooled([wilson(10, 10), wilson(0, 10)])[:2] == (0.5, wilson(5, 10).low)


@pytest.mark.parametrize(
    ("low", "without", "verdict"),
    [(0.11, 0.0, True), (0.1, 0.0, False), (0.3, 0.2, True), (0.2, 0.2, False), (0.05, 0.01, False)],
)
def test_an_attack_takes_above_guessing_and_above_what_happens_without_it(
    low: float, without: float, verdict: bool
) -> None:
    assert takes(low, 10, without) is verdict
