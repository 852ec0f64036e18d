"""Where on a schedule steps lie, and that none lies beyond its end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests import tiny

from bezoar.cleaning import NAD
from bezoar.pretraining import DeCLIP
from bezoar.training.loader import AsLeft
from bezoar.training.loop import check_pairs, train

BRIEF: dict[str, Any] = {**tiny.TAUGHT, "schedule_at": 100}


def test_rates_are_those_of_the_longer_schedule() -> None:
    late = replace(NAD(**BRIEF), schedule_steps=112, warmup_steps=105, warmup_from=0.1)
    rates = []
    for method in (late, replace(late, schedule_at=0)):
        (this,) = method.passes(method.build(tiny.clip(), AsLeft(tiny.data(48)), 0), 0)
        rates.append([this.schedule(step + late.schedule_at - method.schedule_at) for step in range(12)])
    assert rates[0] == rates[1]
    assert max(rates[0]) == rates[0][4] == 1e-3
    assert rates[0][11] < rates[0][10] < 2e-4


@pytest.mark.parametrize("method", [NAD(**BRIEF), DeCLIP(**BRIEF, queue_size=8)], ids=["nad", "declip"])
def test_steps_beyond_the_end_are_refused(method: Any) -> None:
    """Twelve of them, which two epochs of 48 pairs have."""
    pairs = tiny.data(48).pairs
    said = (
        r"^stages\.nad\.method\.schedule_steps: 111 are fewer than the 112 to which 12 steps from 100 on lead "
        r"\(choices: 112 or more; null, which ends where training does\)$"
    )
    for late in (replace(method, schedule_steps=111), replace(method, schedule_steps=111, steps=12)):
        with pytest.raises(ValueError, match=said):
            check_pairs(late, pairs, "stages.nad.method")
    for fine in (
        replace(method, schedule_steps=112),
        replace(method, schedule_steps=111, steps=11),
        replace(method, schedule_steps=111, schedule="constant"),
        method,
    ):
        check_pairs(fine, pairs)


def test_pairs_that_an_attacker_adds_take_steps_too() -> None:
    method = replace(NAD(**BRIEF), schedule_steps=112)
    data = tiny.data(48, replace(tiny.ATTACK, mode="append").plan(tiny.data(48).pairs, 0))
    with pytest.raises(ValueError, match="schedule_steps: 112 are fewer than the 114 to which 14 steps from 100"):
        train(method, tiny.clip(), data, seed=0, teacher=tiny.teacher(method))
