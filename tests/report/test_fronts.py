"""Fronts and rules against a second definition in loops, and where nothing qualifies."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from bezoar.report.fronts import CRITERIA, AtMost, Near, Pair, front

shares = st.integers(0, 20).map(lambda n: n / 20)
models = st.lists(st.tuples(shares, shares), max_size=12)


def beats(one: Pair, other: Pair) -> bool:
    return one[0] >= other[0] and one[1] <= other[1] and one != other


@given(models)
def test_the_front_is_what_nothing_beats(pairs: list[Pair]) -> None:
    found = [pairs[i] for i in front(pairs)]
    assert set(found) == {pair for pair in pairs if not any(beats(other, pair) for other in pairs)}
    assert len(set(found)) == len(found)
    assert all(a[0] > b[0] and a[1] > b[1] for a, b in itertools.pairwise(found))


@given(models, shares)
def test_the_most_accurate_of_those_at_most(pairs: list[Pair], limit: float) -> None:
    place = AtMost(limit).pick(pairs)
    within = [pair for pair in pairs if pair[1] <= limit]
    assert (place is None) == (not within)
    if place is not None:
        assert pairs[place] == max(within, key=lambda pair: (pair[0], -pair[1]))
        assert pairs.index(pairs[place]) == place


@given(models, shares)
def test_the_lowest_of_those_near_the_best(pairs: list[Pair], margin: float) -> None:
    place = Near(margin).pick(pairs)
    assert (place is None) == (not pairs)
    if place is not None:
        best = max(accuracy for accuracy, _ in pairs)
        within = [pair for pair in pairs if pair[0] >= best - margin - 1e-9]
        assert pairs[place] == min(within, key=lambda pair: (pair[1], -pair[0]))


def test_the_borders_count() -> None:
    assert AtMost(0.05).pick([(0.3, 0.05), (0.5, 0.051)]) == 0
    assert Near(0.03).pick([(0.33, 0.9), (0.3, 0.1), (0.29, 0.0)]) == 1  # 0.33 - 0.03 is a little more than 0.3


def test_equal_models_are_the_first_one() -> None:
    pairs = [(0.5, 0.1), (0.5, 0.1), (0.4, 0.0), (0.4, 0.0)]
    assert front(pairs) == [0, 2]
    assert [criterion.pick(pairs) for criterion in CRITERIA] == [2, 0, 0, 0]


def test_rules_have_names() -> None:
    assert [criterion.name for criterion in CRITERIA] == [
        "best accuracy at ASR ≤ 5 %",
        "best accuracy at ASR ≤ 10 %",
        "lowest ASR within 1 point of the best accuracy",
        "lowest ASR within 3 points of the best accuracy",
    ]
