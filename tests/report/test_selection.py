"""The choice: by hand, and against a dumber loop over every possible small table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report.handmade import BEST, EARLY, TRAINED, WHOLE, Measured, add_within, make_run, seeded

from bezoar.report.groups import Point
from bezoar.report.reading import read_run
from bezoar.report.selection import Choice, choose, keeps, pick

shares = st.integers(0, 20).map(lambda k: k / 20)


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        ([(0.60, 0.9)], (0, True)),
        ([(0.60, 0.9), (0.57, 0.1), (0.56, 0.0)], (1, True)),  # exactly 3 points are within, more are not
        ([(0.58, 0.2), (0.59, 0.2), (0.57, 0.2)], (1, True)),  # a tie goes to the higher accuracy
        ([(0.59, 0.2), (0.59, 0.2)], (0, True)),  # and then to the earlier point
        ([(0.70, 0.5), (0.58, 0.4)], (1, True)),  # more accurate than the victim is no merit
        ([(0.40, 0.0), (0.56, 0.5), (0.56, 0.4)], (2, False)),  # none within: the most accurate, of those the cleaner
        ([(0.10, 0.0), (0.10, 0.0)], (0, False)),
    ],
)
def test_picks_by_hand(candidates: list[tuple[float, float]], expected: tuple[int, bool]) -> None:
    assert pick(candidates, 0.60) == expected


@pytest.mark.parametrize("hundredths", range(3, 101))
def test_three_points_below_are_within_at_any_accuracy(hundredths: int) -> None:
    assert keeps((hundredths - 3) / 100, hundredths / 100)
    assert not keeps((hundredths * 10 - 31) / 1000, hundredths / 100)


@given(st.lists(st.tuples(shares, shares), min_size=1, max_size=8), shares)
def test_picks_are_those_of_a_dumber_loop(candidates: list[tuple[float, float]], reference: float) -> None:
    best: int | None = None
    for i, (accuracy, asr) in enumerate(candidates):
        if round(100 * accuracy) < round(100 * reference) - 3:
            continue
        if best is None or asr < candidates[best][1] or (asr == candidates[best][1] and accuracy > candidates[best][0]):
            best = i
    if best is not None:
        assert pick(candidates, reference) == (best, True)
        return
    best = 0
    for i, (accuracy, asr) in enumerate(candidates):
        top, least = candidates[best]
        if accuracy > top or (accuracy == top and asr < least):
            best = i
    assert pick(candidates, reference) == (best, False)


def chosen(folder: Path, measured: Measured, group: str = "cleanclip", seed: int = 0, **changes: Any) -> Choice | None:
    run = read_run(make_run(folder, measured, **changes))
    return choose(run, run.groups[group], seed)


def test_the_whole_grid_and_every_epoch_are_looked_at(tmp_path: Path) -> None:
    assert chosen(tmp_path / "a", WHOLE) == Choice(Point("cleanclip lr=0.001", 0, 1), True)
    assert chosen(tmp_path / "b", WHOLE, "finetune") == Choice(Point("finetune", 0, 2), True)


def test_only_the_split_of_the_choice_counts(tmp_path: Path) -> None:
    """The same numbers on validation and any others on test: the same choice."""
    other = {key: (values[0], values[1], 0.99, 0.0) for key, values in WHOLE.items()}
    assert chosen(tmp_path / "a", other) == chosen(tmp_path / "b", WHOLE)
    assert chosen(tmp_path / "c", WHOLE, select_on="test", report_on="validation") == Choice(
        Point("cleanclip lr=0.001", 0, 1), True
    )


def test_the_victim_is_measured_at_its_end(tmp_path: Path) -> None:
    best_before = {**WHOLE, ("victim", 0, 1): (0.9, 0.5, 0.9, 0.5)}
    assert chosen(tmp_path, best_before) == Choice(Point("cleanclip lr=0.001", 0, 1), True)


def test_a_victim_that_keeps_its_best_model_is_measured_there(tmp_path: Path) -> None:
    best_before = {**WHOLE, ("victim", 0, 1): (0.605, 0.5, 0.1, 0.5)}
    assert chosen(tmp_path / "a", best_before) == Choice(Point("cleanclip lr=0.001", 0, 1), True)
    assert chosen(tmp_path / "b", best_before, stages=BEST) == Choice(Point("cleanclip lr=1e-05", 0, 2), True)
    assert chosen(tmp_path / "c", {**EARLY, ("victim", 0, 1): (0.9, 0.5, 0.6, 0.5)}, stages=BEST) == Choice(
        Point("cleanclip lr=1e-05", 0, 1), False
    )


def test_where_none_is_within_the_most_accurate_is_chosen_and_marked(tmp_path: Path) -> None:
    high = {**WHOLE, ("victim", 0, 2): (0.9, 0.95, 0.9, 0.96)}
    assert chosen(tmp_path, high) == Choice(Point("cleanclip lr=1e-05", 0, 1), False)


def test_the_model_it_starts_from_is_no_choice(tmp_path: Path) -> None:
    with_start = {**WHOLE, ("cleanclip lr=0.001", 0, 0): (0.60, 0.0, 0.6, 0.0)}
    assert chosen(tmp_path, with_start) == Choice(Point("cleanclip lr=0.001", 0, 1), True)


def test_a_model_within_an_epoch_may_be_chosen(tmp_path: Path) -> None:
    folder = make_run(tmp_path, WHOLE)
    add_within(folder, "finetune", 1, 150, [0.58, 0.05, 0.5, 0.5])
    add_within(folder, "finetune", 1, 170, [0.40, 0.00, 0.6, 0.0])
    run = read_run(folder)
    assert choose(run, run.groups["finetune"], 0) == Choice(Point("finetune", 0, 1, 150, False), True)


def test_each_seed_chooses_for_itself(tmp_path: Path) -> None:
    second = {**seeded(WHOLE, 1), ("cleanclip lr=0.001", 1, 1): (0.5, 0.05, 0.5, 0.05)}
    run = read_run(make_run(tmp_path, {**WHOLE, **second}, seeds=[0, 1]))
    found = [choose(run, run.groups["cleanclip"], seed) for seed in (0, 1)]
    assert found == [Choice(Point("cleanclip lr=0.001", 0, 1), True), Choice(Point("cleanclip lr=1e-05", 1, 2), True)]


@pytest.mark.parametrize(
    "measured",
    [
        {},
        {key: values for key, values in WHOLE.items() if key[0] != "victim"},
        {key: values for key, values in WHOLE.items() if not key[0].startswith("cleanclip")},
        {key: (values[0], None, values[2], None) for key, values in WHOLE.items()},
        {key: (None, values[1], None, values[3]) for key, values in WHOLE.items()},
    ],
)
def test_without_the_numbers_nothing_is_chosen(tmp_path: Path, measured: Measured) -> None:
    assert chosen(tmp_path, measured) is None


def test_what_cleans_nothing_is_no_cleaning(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, WHOLE, TRAINED))
    with pytest.raises(AssertionError, match="cleans nothing"):
        choose(run, run.groups["control"], 0)
