"""Ranks against sorting by hand, ties included."""

from __future__ import annotations

import math

import hypothesis
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bezoar.metrics import choices, rank_of, within

# Few distinct values: most rows hold ties.
rows = st.integers(1, 6).flatmap(
    lambda c: st.lists(
        st.tuples(
            st.lists(st.sampled_from([-math.inf, -1.0, 0.0, 0.5, math.inf]), min_size=c, max_size=c),
            st.integers(0, c - 1),
        ),
        min_size=1,
        max_size=8,
    )
)


@hypothesis.settings(deadline=None)
@given(rows)
def test_ranks_are_places_in_a_sorted_row(drawn: list[tuple[list[float], int]]) -> None:
    scores, labels = torch.tensor([row for row, _ in drawn]), torch.tensor([label for _, label in drawn])
    found = rank_of(scores, labels)
    assert found.dtype == torch.int64
    for (row, label), rank in zip(drawn, found.tolist(), strict=True):
        assert sorted(range(len(row)), key=lambda j: (-row[j], j)).index(label) == rank


def test_the_first_rank_is_the_argmax_and_every_class_has_its_own() -> None:
    scores = torch.tensor([[0.1, 0.7, 0.7, 0.7], [0.0, 0.0, 0.0, 0.0]])
    for row in scores:
        ranks = rank_of(row.expand(4, 4), torch.arange(4))
        assert sorted(ranks.tolist()) == [0, 1, 2, 3]
        assert ranks.argmin() == row.argmax()


def test_a_model_that_says_nothing_scores_at_chance() -> None:
    ranks = rank_of(torch.zeros(10, 10), torch.arange(10))
    assert [within(ranks, k) for k in (1, 3, 5)] == [1, 3, 5]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_ranks_of_any_precision(dtype: torch.dtype) -> None:
    scores = torch.tensor([[3.0, 1.0, 2.0]], dtype=dtype)
    assert rank_of(scores, torch.tensor([2])).tolist() == [1]


def test_labels_of_any_whole_type_and_no_rows() -> None:
    assert rank_of(torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([1], dtype=torch.int32)).tolist() == [2]
    assert rank_of(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)).tolist() == []


def test_nan_is_refused() -> None:
    scores = torch.zeros(3, 4)
    scores[1, 2] = math.nan
    with pytest.raises(ValueError, match="scores: 1 of 3 rows"):
        rank_of(scores, torch.zeros(3, dtype=torch.int64))


@pytest.mark.parametrize("label", [-1, 4])
def test_a_label_without_a_class_is_refused(label: int) -> None:
    with pytest.raises(ValueError, match=rf"labels: must be in \[0, 4\), got {label}"):
        rank_of(torch.zeros(2, 4), torch.tensor([0, label]))


@pytest.mark.parametrize(("scores", "labels"), [((2, 3), (3,)), ((3,), (3,)), ((2, 3), (2, 3))])
def test_odd_shapes_are_a_bug_of_the_caller(scores: tuple[int, ...], labels: tuple[int, ...]) -> None:
    with pytest.raises(AssertionError):
        rank_of(torch.zeros(scores), torch.zeros(labels, dtype=torch.int64))


def test_within_counts_the_ranks_below_k() -> None:
    ranks = torch.tensor([0, 0, 1, 4, 9])
    assert [within(ranks, k) for k in (1, 2, 5, 10)] == [2, 3, 4, 5]
    with pytest.raises(AssertionError):
        within(ranks, 0)


@pytest.mark.parametrize(
    ("classes", "kept"),
    [(1000, (1, 3, 5, 10)), (21, (1, 3, 5, 10)), (20, (1, 3, 5)), (10, (1, 3)), (6, (1,)), (2, (1,)), (1, (1,))],
)
def test_choices_stop_below_half_the_classes(classes: int, kept: tuple[int, ...]) -> None:
    assert choices((10, 5, 3, 1, 3), classes) == kept


def test_choices_always_hold_one() -> None:
    assert choices((5, 10), 8) == (1,)
    assert choices((), 1000) == (1,)


@pytest.mark.parametrize("k", [0, -3])
def test_choices_refuse_what_is_no_top(k: int) -> None:
    with pytest.raises(ValueError, match=f"k: must be at least 1, got {k}"):
        choices((1, k), 1000)
