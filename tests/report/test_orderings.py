"""Published orderings: verdicts by hand, over seeds and of one; what is chosen by a rule on the one split."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from tests.report import sweeping
from tests.report.sweeping import LR, VICTIM, cleaning, records

from bezoar.metrics import student_t
from bezoar.report.orderings import ABSENT, APPEARS, ONLY_LESS, ONLY_MORE, OPEN, held, orderings, table
from bezoar.report.sweep_choice import BEFORE
from bezoar.report.sweeps import Swept

NEAR = "lowest ASR within 3 points of the best accuracy"


def ordering(**changes: Any) -> Any:
    plain = {
        "claim": "a leaves less than b", "published": "1 and 2 %", "sweeps": ["hand"], "rule": NEAR,
        "less": {"cleaning": "c", "at": {"left": 0}}, "more": {"cleaning": "c", "at": {"left": 25}},
    }  # fmt: skip
    return orderings([plain | changes])[0]


def swept(clean: list[float], poisoned: list[float]) -> Swept:
    """A cleaning with 0 and with 25 poisons left: its ASR on the test set, a number a seed."""
    works = [VICTIM, cleaning(left=0), cleaning(left=25)]
    found = [
        records(work, 1, seed=seed, validation=(0.8, 0.5), test=(0.8, asr))
        for work, values in zip(works, ([0.99] * len(clean), clean, poisoned), strict=True)
        for seed, asr in enumerate(values)
    ]
    return sweeping.made(works, found, seeds=list(range(len(clean))), choose=[LR])


@pytest.mark.parametrize(
    ("clean", "poisoned", "verdict"),
    [
        ([0.10, 0.12, 0.11], [0.50, 0.52, 0.53], APPEARS),
        ([0.50, 0.52, 0.53], [0.10, 0.12, 0.11], ABSENT),
        ([0.10, 0.50, 0.30], [0.12, 0.45, 0.40], OPEN),
        ([0.10], [0.20], APPEARS),
        ([0.10], [0.11], OPEN),
        ([0.30], [0.11], ABSENT),
    ],
)
def test_verdicts(clean: list[float], poisoned: list[float], verdict: str) -> None:
    found = held(ordering(), swept(clean, poisoned))
    assert found.verdict == verdict
    assert found.seeds == len(clean)
    assert found.difference is not None
    changes = [more - less for less, more in zip(clean, poisoned, strict=True)]
    if len(changes) > 1:
        assert found.difference == pytest.approx(student_t(changes))
    else:  # both intervals are ± 1 point, so the difference is ± √2
        assert found.difference[:3] == pytest.approx(
            (changes[0], changes[0] - 0.01 * 2**0.5, changes[0] + 0.01 * 2**0.5)
        )


def test_a_point_is_chosen_on_the_one_split_and_told_on_the_other() -> None:
    works = [VICTIM, cleaning(left=0), cleaning(left=25)]
    found = [
        records(VICTIM, 1, validation=(0.8, 0.99), test=(0.8, 0.99)),
        records(works[1], 1, validation=(0.80, 0.30), test=(0.80, 0.05)),
        records(works[1], 2, validation=(0.79, 0.10), test=(0.79, 0.40)),
        records(works[2], 1, validation=(0.80, 0.60), test=(0.80, 0.70)),
    ]
    one = held(ordering(), sweeping.made(works, found, choose=[LR]))
    assert (one.less and one.less.value, one.more and one.more.value) == (0.40, 0.70)


def test_what_nothing_qualifies_for_cannot_be_told() -> None:
    one = held(ordering(rule="best accuracy at ASR ≤ 5 %", metric="accuracy_top1"), swept([0.1, 0.1], [0.2, 0.2]))
    assert (one.less, one.more, one.difference, one.verdict) == (None, None, None, OPEN)
    (line,) = table([one]).lines
    assert line[4:] == ("nothing qualifies", "nothing qualifies", "–", OPEN)


def test_where_only_one_of_two_qualifies_it_is_said() -> None:
    rule = {"rule": "best accuracy at ASR ≤ 10 %", "metric": "accuracy_top1"}
    works = [VICTIM, cleaning(left=0), cleaning(left=25)]
    found = [
        records(work, 1, validation=(0.8, asr), test=(0.8, asr))
        for work, asr in zip(works, (0.99, 0.05, 0.5), strict=True)
    ]
    sweep = sweeping.made(works, found, choose=[LR])
    assert held(ordering(**rule), sweep).verdict == ONLY_LESS
    turned = ordering(**rule, less={"cleaning": "c", "at": {"left": 25}}, more={"cleaning": "c", "at": {"left": 0}})
    assert held(turned, sweep).verdict == ONLY_MORE


def test_an_arm_may_be_held_against_what_it_began_with() -> None:
    before = ordering(
        less={"cleaning": "c", "at": {"left": 0}}, more={"cleaning": "c", "at": {"left": 0}, "rule": BEFORE}
    )
    one = held(before, swept([0.10, 0.12], [0.2, 0.2]))
    assert one.more is not None
    assert one.more.value == pytest.approx(0.99)
    assert one.verdict == APPEARS


@pytest.mark.parametrize(
    ("which", "count"), [({"cleaning": "c"}, 2), ({"cleaning": "d"}, 0), ({"cleaning": "c", "at": {"left": 3}}, 0)]
)
def test_an_arm_that_is_not_one_is_refused(which: dict[str, Any], count: int) -> None:
    with pytest.raises(ValueError, match=rf"^orderings: {count} arms of hand are '.*there are c \{{'left': 0\}}, c "):
        held(ordering(less=which), swept([0.1, 0.1], [0.2, 0.2]))


def test_a_rule_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="rule: "):
        ordering(rule="lowest ASR")


def test_the_committed_orderings_can_be_read() -> None:
    results = Path(__file__).parents[2] / "results"
    found = orderings(tomllib.loads((results / "orderings.toml").read_text("utf-8"))["ordering"])
    assert found
    for one in found:
        for name in one.sweeps:
            assert (results / name / "sweep.json").is_file(), "an ordering is held against committed records"
