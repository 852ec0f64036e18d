"""Removed poison: what was dropped joined with the plan by id, against counts by loops; whatever else the plan does."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from tests import tiny

from bezoar.attacks.applied import Applied
from bezoar.attacks.plan import PoisonPlan
from bezoar.cleaning import Progressive
from bezoar.data import Scenes
from bezoar.evaluation import EVALUATORS, Context, Evaluation, RemovedPoison
from bezoar.evaluation.removed_poison import DROPPED
from bezoar.metrics import wilson
from bezoar.training.loader import TrainingPairs
from bezoar.training.loop import Pause, train
from bezoar.training.precision import autocast_for

PAIRS = Scenes(count=40).open()
PLAN = tiny.ATTACK.plan(PAIRS, 0)
FULL = autocast_for("fp32", torch.device("cpu"))


def appending(size: int | None = None) -> PoisonPlan:
    """The same poison, but every second row is a new pair; with ``size``, clean pairs are left out."""
    rows = [
        dataclasses.replace(row, id=f"{row.id}+", appended=True) if number % 2 else row
        for number, row in enumerate(PLAN.rows)
    ]
    return dataclasses.replace(PLAN, rows=tuple(rows), size=size)


def evaluate(told: Any, plan: PoisonPlan | None = PLAN) -> Evaluation:
    from bezoar.attacks import Aim

    context = Context(sets={}, aim=Aim(), autocast=FULL, diagnostics=told, pairs=PAIRS, plan=plan)
    return RemovedPoison().evaluate(tiny.clip(), context)


def test_it_is_in_the_family() -> None:
    assert EVALUATORS.members["removed_poison"] is RemovedPoison
    assert not RemovedPoison().expected({}, {}, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("plan", [PLAN, appending(), appending(30)], ids=["replaced", "appended", "some left out"])
def test_counted_by_loops(plan: PoisonPlan) -> None:
    applied = Applied(PAIRS, plan)
    dropped = torch.tensor([(index * 7) % 5 - 1 if index % 3 else -1 for index in range(len(applied))])
    found = evaluate({DROPPED: dropped}, plan)
    both = poison = gone = 0
    for index in range(len(applied)):
        is_poison, is_gone = applied.id(index) in plan.by_id, int(dropped[index]) >= 0
        both, poison, gone = both + (is_poison and is_gone), poison + is_poison, gone + is_gone
    assert 0 < both < min(poison, gone)
    assert poison == len(plan.rows)
    wanted = {
        "removed_recall": wilson(both, poison), "removed_recall_by_chance": wilson(gone, len(applied)),
        "removed_precision": wilson(both, gone), "removed_precision_by_chance": wilson(poison, len(applied)),
    }  # fmt: skip
    assert {m.metric: (m.value, m.low, m.high, m.n) for m in found.measures} == wanted
    assert {m.data for m in found.measures} == {"pairs"}
    rows = found.scores["pairs"].to_pylist()
    assert len(rows) == poison + gone - both
    assert {row["id"]: row["dropped"] for row in rows if row["poison"]} == {
        applied.id(index): int(dropped[index]) for index in range(len(applied)) if applied.row(index) is not None
    }
    assert RemovedPoison().measure(found.scores["pairs"], "pairs") == found.measures


def test_before_anything_is_dropped_there_is_no_precision() -> None:
    found = evaluate({DROPPED: torch.full((40,), -1)})
    assert [(m.metric, m.value) for m in found.measures] == [
        ("removed_recall", 0.0), ("removed_recall_by_chance", 0.0), ("removed_precision_by_chance", 12 / 40)
    ]  # fmt: skip


@pytest.mark.parametrize(("told", "plan"), [({}, PLAN), ({DROPPED: torch.zeros(40)}, None)])
def test_without_a_diagnostic_or_a_plan_nothing_is_measured(told: Any, plan: PoisonPlan | None) -> None:
    assert evaluate(told, plan) == ((), {})


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (torch.zeros(39, dtype=torch.long), r"for each of the 40 pairs, got shape \(39,\) of torch.int64"),
        (torch.zeros(40, dtype=torch.bool), r"shape \(40,\) of torch.bool"),
        (torch.zeros(40), r"of torch.float32"),
        (0.5, "got 0.5"),
    ],
)
def test_what_is_no_epoch_for_each_pair_is_refused(told: Any, said: str) -> None:
    with pytest.raises(ValueError, match=f"^removed_poison: the method's diagnostic 'dropped' .*{said}"):
        evaluate({DROPPED: told})


def test_what_progressive_tells_is_what_it_reads() -> None:
    plain = tiny.data(40)
    data = TrainingPairs(plain.pairs, plain.prepared, tiny.ATTACK.plan(plain.pairs, 0))
    found: list[Evaluation] = []
    method = Progressive(epochs=2, schedule_epochs=2, batch_size=8, remove_fraction=0.25, warmup_steps=2)

    def on_pause(pause: Pause) -> None:
        found.append(evaluate(method.diagnostics(pause.state), data.plan))

    train(method, tiny.clip(), data, seed=0, on_pause=on_pause)
    first, second = ({m.metric: m for m in each.measures} for each in found)
    assert (first["removed_precision"].n, second["removed_precision"].n) == (10, 10 + 7)
    assert second["removed_recall_by_chance"].value == 17 / 40
    assert set(second) == set(first)
