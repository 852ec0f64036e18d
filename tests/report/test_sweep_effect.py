"""Drops of attack success and changes of accuracy: paired over seeds; and victims that were never attacked."""

from __future__ import annotations

import pytest
from tests.report.sweeping import LR, VICTIM, cleaning, made, records

from bezoar.metrics import student_t
from bezoar.report.sweep_choice import across, arms, before
from bezoar.report.sweep_effect import NOTHING_TO_CLEAN, Difference, clean_already, dropped, effect, told
from bezoar.report.sweeps import Numbers, Swept

LOW = cleaning(**{LR: 1e-4})


def seeds(*victims: tuple[float, float], after: tuple[float, float] = (0.5, 0.04)) -> Swept:
    """A victim of each seed with these numbers, all of which end alike."""
    numbers = list(range(len(victims)))
    parts = [records(VICTIM, 1, seed, validation=at, test=at) for seed, at in enumerate(victims)]
    parts += [records(LOW, 1, seed, validation=after, test=after) for seed in numbers]
    return made([VICTIM, LOW], parts, seeds=numbers)


def test_differences_are_of_one_seed_with_itself() -> None:
    sweep = seeds((0.60, 0.90), (0.62, 0.95), (0.70, 1.00))
    (arm,) = arms(sweep)
    found = effect(before(sweep, arm), across(sweep, arm)[0])
    assert found is not None
    assert tuple(found.asr) == pytest.approx(tuple(student_t([0.86, 0.91, 0.96])))
    assert tuple(found.accuracy) == pytest.approx(tuple(student_t([-0.10, -0.12, -0.20])))
    assert found.asr.n == 3


def test_of_one_seed_there_is_no_interval() -> None:
    sweep = seeds((0.60, 0.90))
    (arm,) = arms(sweep)
    found = effect(before(sweep, arm), across(sweep, arm)[0])
    assert found is not None
    assert (found.asr.low, found.asr.high, found.asr.n) == (None, None, 1)
    assert dropped(found.asr) == "86.0 (1 seed)"
    assert told(found.accuracy) == "−10.0 (1 seed)"


def test_only_seeds_that_are_known_before_and_after_count() -> None:
    parts = [records(VICTIM, 1, 0, validation=(0.6, 0.9), test=(0.6, 0.9))]
    parts += [records(LOW, 1, seed, validation=(0.5, 0.0), test=(0.5, 0.0)) for seed in (0, 1)]
    sweep = made([VICTIM, LOW], parts, seeds=[0, 1])
    (arm,) = arms(sweep)
    found = effect(before(sweep, arm), across(sweep, arm)[0])
    assert found is not None
    assert found.asr == Difference(0.9, None, None, 1)
    nothing = made([VICTIM, LOW], parts[1:], seeds=[0, 1])
    (arm,) = arms(nothing)
    assert effect(before(nothing, arm), across(nothing, arm)[0]) is None


def test_what_is_told_of_it() -> None:
    assert told(Difference(-0.031, -0.052, 0.004, 3)) == "−3.1 (−5.2 to +0.4, 3 seeds)"
    assert dropped(Difference(0.931, 0.88, 0.982, 3)) == "93.1 (88.0 to 98.2, 3 seeds)"
    assert dropped(Difference(-0.02, None, None, 1)) == "−2.0 (1 seed)"
    assert told(None) == "–"


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        ((0.9, 0.9), ""),
        ((0.05, 0.10), NOTHING_TO_CLEAN),
        ((0.9, 0.10), "the victim does not take the attack for 1 of 2 seeds"),
    ],
)
def test_a_victim_that_does_not_take_the_attack(rates: tuple[float, ...], said: str) -> None:
    """There are ten classes, and intervals reach a point to both sides."""
    sweep = seeds(*((0.6, rate) for rate in rates))
    assert clean_already(sweep, before(sweep, arms(sweep)[0])) == said


def test_without_classes_nobody_knows() -> None:
    sweep = seeds((0.6, 0.01))
    unknown = made([VICTIM, LOW], [], classes={}, seeds=[0])
    assert clean_already(unknown, before(sweep, arms(sweep)[0])) == ""


def test_numbers_need_both() -> None:
    sweep = made([VICTIM], [records(VICTIM, 1, test=(0.6, 0.9))[:1], records(VICTIM, 2, test=(0.5, 0.8))])
    known = {at.epoch: sweep.numbers(at, "test") for at in sweep.measures}
    assert known[1] is None
    assert isinstance(known[2], Numbers)
