"""What would be chosen: on one split by the mean over seeds, told of the other; every case by hand."""

from __future__ import annotations

import pytest
from tests.report.sweeping import LR, VICTIM, cleaning, made, records, work

from bezoar.metrics import student_t
from bezoar.report.sweep_choice import BEFORE, Candidate, across, arms, before, candidates, pareto, within
from bezoar.report.sweeps import Swept

LOW, HIGH = cleaning(**{LR: 1e-4}), cleaning(**{LR: 1e-3})


def one_seed() -> Swept:
    """Validation and test disagree on purpose: the best of one is not the best of the other."""
    return made(
        [VICTIM, LOW, HIGH],
        [
            records(VICTIM, 1, validation=(0.60, 0.99), test=(0.61, 0.98)),
            records(LOW, 1, validation=(0.58, 0.30), test=(0.50, 0.01)),
            records(LOW, 2, validation=(0.59, 0.20), test=(0.51, 0.40)),
            records(HIGH, 1, validation=(0.50, 0.04), test=(0.49, 0.15)),
            records(HIGH, 2, validation=(0.45, 0.09), test=(0.99, 0.00)),
        ],
    )


def test_chosen_on_validation_told_of_test() -> None:
    sweep = one_seed()
    (arm,) = arms(sweep)
    at_5, at_10, near_1, near_3 = across(sweep, arm)
    assert [dict(pick.chosen) for pick in (at_5, at_10, near_1, near_3)] == [
        {0: Candidate(2, 1, 10, True)}, {0: Candidate(2, 1, 10, True)}, {0: Candidate(1, 2, 20, True)},
        {0: Candidate(1, 2, 20, True)},
    ]  # fmt: skip
    assert at_5.selected is not None
    assert at_5.reported is not None
    assert (at_5.selected.accuracy.value, at_5.selected.asr.value) == (0.50, 0.04)
    # Over the limit on the other split: told as it is.
    assert (at_5.reported.accuracy.value, at_5.reported.asr.value) == (0.49, 0.15)
    assert list(at_5.reported.asr) == pytest.approx([0.15, 0.14, 0.16, 1000])
    assert at_5.notes == ()


def test_the_numbers_that_are_told_decide_nothing() -> None:
    """Whatever the test records are, the choice is the same; and validation records are never told as the result."""
    sweep = one_seed()
    other = made(
        [VICTIM, LOW, HIGH],
        [
            records(VICTIM, 1, validation=(0.60, 0.99), test=(0.1, 0.1)),
            *(
                records(w, epoch, validation=on, test=(0.2, 0.7))
                for w, epoch, on in (
                    (LOW, 1, (0.58, 0.30)), (LOW, 2, (0.59, 0.20)), (HIGH, 1, (0.50, 0.04)), (HIGH, 2, (0.45, 0.09)),
                )
            ),
        ],
    )  # fmt: skip
    for choose in (across, within, pareto):
        theirs, ours = choose(other, arms(other)[0]), choose(sweep, arms(sweep)[0])
        assert [dict(pick.chosen) for pick in theirs] == [dict(pick.chosen) for pick in ours]
        assert all(pick.reported is not None and pick.reported.accuracy.value == 0.2 for pick in theirs)


def test_the_front_is_of_the_split_of_the_choice() -> None:
    sweep = one_seed()
    points = [next(iter(pick.chosen.values()))[:2] for pick in pareto(sweep, arms(sweep)[0])]
    assert points == [(1, 2), (2, 1)]


def test_before_cleaning_is_what_the_victim_leaves() -> None:
    sweep = one_seed()
    found = before(sweep, arms(sweep)[0])
    assert found.reported is not None
    assert (found.rule, found.reported.accuracy.value, found.reported.asr.value) == (BEFORE, 0.61, 0.98)


def test_a_victim_that_keeps_its_best_leaves_that() -> None:
    victim = {**VICTIM, "best_by": "accuracy_top1"}
    sweep = made(
        [victim, LOW],
        [
            records(victim, 1, validation=(0.7, 0.9), test=(0.6, 0.9)),
            records(victim, 2, validation=(0.6, 0.9), test=(0.8, 0.9)),
            records(LOW, 1, validation=(0.5, 0.1), test=(0.5, 0.1)),
        ],
    )
    found = before(sweep, arms(sweep)[0])
    assert found.reported is not None
    assert found.reported.accuracy.value == 0.6


def three_seeds() -> Swept:
    """By the mean the first learning rate is at most 5 %; by itself seed 2 would take the other."""
    parts = [records(VICTIM, 1, seed, validation=(0.6, 0.99), test=(0.6, 0.98)) for seed in (0, 1, 2)]
    for seed, asr in enumerate((0.02, 0.03, 0.10)):
        parts.append(records(LOW, 1, seed, validation=(0.55, asr), test=(0.50 + 0.01 * seed, asr + 0.01)))
    for seed, asr in enumerate((0.08, 0.09, 0.04)):
        parts.append(records(HIGH, 1, seed, validation=(0.58, asr), test=(0.57, 0.2)))
    return made([VICTIM, LOW, HIGH], parts, seeds=[0, 1, 2])


def test_over_seeds_the_mean_chooses_one_point_for_all() -> None:
    sweep = three_seeds()
    (arm,) = arms(sweep)
    at_5 = across(sweep, arm)[0]
    assert set(at_5.chosen.values()) == {Candidate(1, 1, 10, True)}
    assert list(at_5.chosen) == [0, 1, 2]
    assert at_5.reported is not None
    assert at_5.reported.accuracy == student_t([0.50, 0.51, 0.52])
    assert at_5.reported.asr == student_t([0.03, 0.04, 0.11])
    assert at_5.reported.asr.n == 3
    assert {seed: found.asr.value for seed, found in at_5.by_seed.items()} == {0: 0.03, 1: 0.04, 2: 0.11}


def test_or_each_seed_chooses_for_itself() -> None:
    sweep = three_seeds()
    at_5 = within(sweep, arms(sweep)[0])[0]
    assert [candidate.training for candidate in at_5.chosen.values()] == [1, 1, 2]
    assert at_5.reported is not None
    assert at_5.reported.accuracy == student_t([0.50, 0.51, 0.57])


def test_where_nothing_qualifies_it_is_said() -> None:
    sweep = made(
        [VICTIM, LOW],
        [
            *(records(VICTIM, 1, seed, validation=(0.6, 0.99), test=(0.6, 0.98)) for seed in (0, 1)),
            *(records(LOW, 1, seed, validation=(0.55, 0.06 + 0.1 * seed), test=(0.5, 0.0)) for seed in (0, 1)),
        ],
        seeds=[0, 1],
    )
    (arm,) = arms(sweep)
    at_5, at_10, near_1, _ = across(sweep, arm)
    for pick in (at_5, at_10):
        assert (pick.chosen, pick.selected, pick.reported, pick.by_seed) == ({}, None, None, {})
        assert pick.notes == ("none of 1 qualifies: the lowest ASR is 11.0 %, at accuracy 55.0 %",)
    assert near_1.chosen
    by_itself = within(sweep, arm)[1]
    assert list(by_itself.chosen) == [0]
    assert by_itself.notes == (
        "1 of 2 seeds qualify",
        "seed 1: none of 1 qualifies: the lowest ASR is 16.0 %, at accuracy 55.0 %",
    )
    assert by_itself.reported is not None
    assert by_itself.reported.accuracy.n == 1000  # of one seed, over pictures


def test_a_destroyed_model_is_called_so() -> None:
    sweep = made(
        [VICTIM, LOW],
        [
            records(VICTIM, 1, validation=(0.6, 0.99), test=(0.6, 0.98)),
            records(LOW, 1, validation=(0.105, 0.0), test=(0.105, 0.0)),
        ],
    )
    assert across(sweep, arms(sweep)[0])[0].notes == ("destroyed: no better than guessing",)


def test_conditions_split_and_choices_do_not() -> None:
    works = [VICTIM, *(cleaning(left=left, **{LR: lr}) for left in (0, 5) for lr in (1e-4, 1e-3))]
    parts = [records(w, 1, validation=(0.5, 0.1), test=(0.5, 0.1)) for w in works]
    found = arms(made(works, parts))
    assert [dict(arm.facets) for arm in found] == [{"left": 0}, {"left": 5}]
    assert [[t.settings[LR] for t in arm.trainings] for arm in found] == [[1e-4, 1e-3]] * 2
    found = arms(made(works, parts, choose=["left"]))
    assert [dict(arm.facets) for arm in found] == [{LR: 1e-4}, {LR: 1e-3}]


def test_every_victim_has_arms_of_its_own() -> None:
    other = {**VICTIM, "axes": {"attack.trigger": "warp"}}
    works = [VICTIM, other, cleaning(**{LR: 1}), {**cleaning(**{LR: 1, "attack.trigger": "warp"}), "start": 1}]
    found = arms(made(works, []))
    assert [(arm.victim and arm.victim.number, dict(arm.facets)) for arm in found] == [
        (0, {}), (1, {"attack.trigger": "warp"}),
    ]  # fmt: skip


def test_what_is_not_cleaned_is_no_arm() -> None:
    control = work("control", kind="clip")
    tuned = work("tuned", start=1)
    attacked = work("attacked", poisoned=True, starts_trained=True)
    given = work("given", starts_trained=True)
    sweep = made(
        [VICTIM, control, tuned, attacked, given],
        [
            records(given, 0, validation=(0.6, 0.9), test=(0.6, 0.8)),
            records(given, 1, validation=(0.6, 0.1), test=(0.6, 0.1)),
        ],
    )
    (arm,) = arms(sweep)
    assert (arm.group, arm.victim) == ("given", None)
    found = before(sweep, arm)
    assert found.reported is not None
    assert found.reported.asr.value == 0.8
    assert [candidate.epoch for candidate in candidates(sweep, arm, [0])] == [1]


def test_a_model_that_lacks_a_number_a_split_or_a_seed_is_no_candidate() -> None:
    parts = [
        records(VICTIM, 1, validation=(0.6, 0.9), test=(0.6, 0.9)),
        records(LOW, 1, validation=(0.5, 0.0)),
        records(LOW, 2, validation=(0.5, 0.0), test=(0.5, 0.0))[:-1],
        records(LOW, 3, validation=(0.5, 0.0), test=(0.5, 0.0)),
        records(HIGH, 3, 1, validation=(0.5, 0.0), test=(0.5, 0.0)),
    ]
    sweep = made([VICTIM, LOW, HIGH], parts, seeds=[0, 1])
    (arm,) = arms(sweep)
    assert [c[:2] for c in candidates(sweep, arm, [0])] == [(1, 3)]
    assert candidates(sweep, arm, [0, 1]) == ()
    assert across(sweep, arm)[0].notes == ("nothing was measured on both splits",)


def test_records_of_no_training_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'c' at .* is no training of sweep\.json"):
        made([VICTIM], [records(LOW, 1, test=(0.5, 0.5))])
