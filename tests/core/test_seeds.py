"""Named randomness: the same name gives the same numbers, anywhere; another name gives others."""

from __future__ import annotations

import random

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bezoar.core.seeds import numpy_generator, python_random, stream_seed, torch_generator, uniform

relaxed = hypothesis.settings(deadline=None)
names = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x1f")) | st.integers(), max_size=4
)


@pytest.mark.parametrize(
    ("seed", "stream", "expected"),
    [
        (0, (), 4761921975702974394),
        (0, ("poison", "a.jpg"), 7879660596785360622),
        (0, ("poison", "b.jpg"), 3436375410973945436),
        (1, ("poison", "a.jpg"), 3332694403687047123),
        (7, ("augment", 3, "é/日.png", 1), 7383685607460971945),
    ],
)
def test_seeds_are_frozen(seed: int, stream: tuple[str | int, ...], expected: int) -> None:
    """A change here changes every run that anyone has made."""
    assert stream_seed(seed, *stream) == expected


@relaxed
@given(st.integers(), names)
def test_seeds_are_63_bit(seed: int, stream: list[str | int]) -> None:
    assert 0 <= stream_seed(seed, *stream) < 2**63


@relaxed
@given(st.tuples(st.integers(), names), st.tuples(st.integers(), names))
def test_streams_are_equal_only_when_their_names_are(
    one: tuple[int, list[str | int]], other: tuple[int, list[str | int]]
) -> None:
    same = [one[0], *map(str, one[1])] == [other[0], *map(str, other[1])]
    assert (stream_seed(one[0], *one[1]) == stream_seed(other[0], *other[1])) is same


def test_order_and_grouping_of_names_matter() -> None:
    seeds = {
        stream_seed(0, "a", "b"),
        stream_seed(0, "b", "a"),
        stream_seed(0, "ab"),
        stream_seed(0, "a", "b", ""),
        stream_seed(0, 1, 23),
        stream_seed(0, 12, 3),
        stream_seed(0, 123),
        stream_seed(1, 23),
    }
    assert len(seeds) == 8


def test_generators_are_fresh_and_repeat() -> None:
    assert python_random(0, "x").random() == python_random(0, "x").random() != python_random(0, "y").random()
    draws = [numpy_generator(seed, "x").random(4) for seed in (0, 0, 1)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])
    numbers = [torch.rand(4, generator=torch_generator(0, name)) for name in ("x", "x", "y")]
    assert torch.equal(numbers[0], numbers[1])
    assert not torch.equal(numbers[0], numbers[2])
    assert torch_generator(0, "x").initial_seed() == stream_seed(0, "x")
    assert torch_generator(0, "x").device == torch.device("cpu")


def test_global_state_is_left_alone() -> None:
    before = random.getstate(), torch.get_rng_state()
    for make in (python_random, numpy_generator, torch_generator):
        make(0, "x")
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_neighboring_streams_look_independent() -> None:
    """The mean of the first draw over many ids is a fair coin's; a stream per id must not drift with the id."""
    first = np.array([numpy_generator(0, "flip", index).random() for index in range(1000)])
    assert abs(first.mean() - 0.5) < 4 / np.sqrt(12 * 1000)
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 4 / np.sqrt(1000)


def by_hand(seed: int, *counters: int) -> float:
    """SplitMix64 in Python's whole numbers."""

    def mixed(state: int) -> int:
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        state = (state ^ state >> 27) * 0x94D049BB133111EB % 2**64
        return state ^ state >> 31

    state = seed
    for counter in counters:
        state = mixed(mixed((state + 0x9E3779B97F4A7C15) % 2**64) ^ counter)
    return (mixed(state) >> 40) / 2**24


@relaxed
@given(st.integers(0, 2**63 - 1), st.lists(st.integers(0, 2**40), min_size=1, max_size=4), st.integers(0, 100))
def test_uniform_numbers_by_hand(seed: int, rows: list[int], column: int) -> None:
    found = uniform(seed, torch.tensor(rows)[:, None], torch.tensor([column, 7]))
    assert found.shape == (len(rows), 2)
    assert found.tolist() == [[by_hand(seed, row, other) for other in (column, 7)] for row in rows]


def test_uniform_numbers_are_uniform_and_of_their_place_alone() -> None:
    rows, columns = torch.arange(1000)[:, None], torch.arange(20)
    found = uniform(3, rows, columns)
    assert found.min() >= 0
    assert found.max() < 1
    counts = np.histogram(found.numpy(), bins=10, range=(0, 1))[0]
    assert abs(counts - 2000).max() < 5 * np.sqrt(2000 * 0.9)
    assert abs(np.corrcoef(found[:, 0], found[:, 1])[0, 1]) < 4 / np.sqrt(1000)
    assert torch.equal(found[[5, 900]], uniform(3, rows[[5, 900]], columns))
    assert not torch.equal(found, uniform(4, rows, columns))
