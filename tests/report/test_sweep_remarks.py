"""What a sweep says in sentences: of every victim, with nothing praised that was never attacked."""

from __future__ import annotations

from tests.report.sweeping import LR, VICTIM, cleaning, made, records, victims, work

from bezoar.report.sweep_choice import across, within
from bezoar.report.sweep_remarks import called, missing, remarks, rules, story

LOW = cleaning(**{LR: 1e-4, "left": 5})


def test_of_each_victim_the_best_arm_is_told() -> None:
    works, found = victims()
    first, second, third, fourth = story(made(works, found, seeds=[0, 1]))
    assert first == (
        "“victim” has an ASR of 96.0\u00a0% (96.0–96.0, 2 seeds) at a clean accuracy of 60.0\u00a0% "
        "(60.0–60.0, 2 seeds) on test."
    )
    assert second.startswith(
        "1 of 2 arms of “victim” has a point at ASR ≤ 10 % on validation; the most accurate is “victim+b” "
        "(lr\u00a00.001, epoch\u00a01): ASR 7.5\u00a0%"
    )
    assert (
        "in points, the ASR drops by 88.5 (82.1 to 94.9, 2 seeds) and the accuracy changes by −5.5 (−5.5 to" in second
    )
    assert third.startswith("“other” has an ASR")
    assert fourth.startswith("2 of 2 arms of “other” have a point")


def test_where_nothing_is_low_the_lowest_near_the_best_is_told() -> None:
    parts = [
        records(VICTIM, 1, validation=(0.6, 0.99), test=(0.6, 0.98)),
        records(LOW, 1, validation=(0.58, 0.3), test=(0.57, 0.31)),
    ]
    said = story(made([VICTIM, LOW], parts))[1]
    assert said.startswith("None of 1 arm of “victim” has a point at ASR ≤ 10 % on validation; the lowest ")
    assert "“c” (left 5; lr\u00a00.0001, epoch\u00a01): ASR 31.0\u00a0%" in said
    assert "the ASR drops by 67.0 (1 seed)" in said


def test_what_was_never_attacked_is_not_praised() -> None:
    works, found = victims(clean=True)
    said = story(made(works, found, seeds=[0, 1]))
    assert len(said) == 3
    assert said[2].endswith("Beware: the victim does not take the attack: nothing to clean.")


def test_many_victims_are_only_counted() -> None:
    works = [work(f"v{n}", poisoned=True) for n in range(15)]
    works += [work(f"c{n}", start=n) for n in range(15)]
    parts = [records(one, 1, validation=(0.6, 0.9), test=(0.6, 0.9)) for one in works]
    *_, last = story(made(works, parts))
    assert last == "3 more victims stand in the table alone."


def test_half_a_sweep_says_what_it_lacks() -> None:
    failed = {**LOW, "failed": {"1": "the loss is not finite at step 3"}}
    sweep = made([VICTIM, failed], [records(LOW, 1, validation=(0.5, 0.1), test=(0.5, 0.1))], seeds=[0, 1])
    assert story(sweep)[0] == "Of “victim” no attack success was measured before cleaning."
    assert list(missing(sweep)) == [
        "No numbers of c lr=0.0001 left=5, seed 1: the loss is not finite at step 3.",
        "Not finished: 1 of 2 stages lack a seed at least.",
    ]
    assert remarks(sweep, across) == (*rules(sweep, across), *missing(sweep))
    empty = made([VICTIM, LOW], [])
    assert story(empty)[1] == "Of 1 arm of “victim” nothing was measured on both splits."


def test_of_one_epoch_for_each_seed() -> None:
    works, found = victims()
    sweep = made(works, found, seeds=[0, 1])
    assert "for each seed by itself" in rules(sweep, within)[0]
    assert story(sweep, within)[0] == story(sweep)[0]


def test_names() -> None:
    training = made([VICTIM, LOW], []).trainings[1]
    assert called(training) == "c lr=0.0001 left=5"
    assert called(training, "left") == "c lr=0.0001"
    assert called(None) == "the given model"
