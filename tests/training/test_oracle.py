"""The answer key: told once, by position, to the methods that a stage grants it to, and said in what they leave."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from tests import tiny
from torch import Tensor

from bezoar.cleaning import Finetune
from bezoar.core.files import read_json
from bezoar.core.settings import digest, settings
from bezoar.data.pairs import Pairs
from bezoar.experiment.experiment import parse
from bezoar.experiment.layout import training_digest
from bezoar.experiment.run import run
from bezoar.experiment.stages import Job
from bezoar.models.clip import Clip
from bezoar.training.contrastive import Contrastive
from bezoar.training.loop import train
from bezoar.training.oracle import Oracle
from bezoar.training.state import State

CALLS: list[tuple[str, Any]] = []


@settings
class Knowing(Contrastive, Oracle):
    """Plain contrastive training that notes what it was told."""

    kind: ClassVar[str] = "knowing"

    def build(self, model: Clip, pairs: Pairs, seed: int) -> State:
        CALLS.append(("build", len(pairs)))
        return super().build(model, pairs, seed)

    def begin_epoch(self, state: State, epoch: int, scorer: Any) -> None:
        CALLS.append(("epoch", epoch))

    def reveal(self, state: State, poisoned: Tensor) -> None:
        CALLS.append(("reveal", poisoned))


BRIEF: dict[str, Any] = {"epochs": 2, "batch_size": 8, "lr": 1e-3, "warmup_steps": 2}
KIND = "tests.training.test_oracle:Knowing"


def test_it_is_told_once_after_it_was_built_and_by_position() -> None:
    CALLS.clear()
    plan = tiny.plan()
    train(Knowing(**BRIEF), tiny.clip(), tiny.data(48, plan), seed=0)
    assert [name for name, _ in CALLS] == ["build", "reveal", "epoch", "epoch"]
    told = CALLS[1][1]
    assert (told.dtype, told.shape) == (torch.bool, (48,))
    assert told.nonzero().flatten().tolist() == sorted(row.index for row in plan.rows)
    data = tiny.data(48, plan)
    assert [data.caption(i) != tiny.data(48).caption(i) for i in range(48)] == told.tolist()


def test_without_a_plan_nobody_is_poisoned() -> None:
    assert not tiny.data(16).poisoned().any()
    assert tiny.data(16).poisoned().shape == (16,)


def experiment(**changes: Any) -> dict[str, Any]:
    stage = {"name": "knowing", "pairs": "train", "poison": True, "oracle": True, "method": {"kind": KIND, **BRIEF}}
    return tiny.experiment(stages=[stage | changes])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"oracle": False},
            f"stages.0.oracle: '{KIND}' is told which pairs are poisoned: grant it with oracle: true (--oracle)",
        ),
        (
            {"method": {"kind": "finetune", **BRIEF}},
            "stages.0.oracle: 'finetune' takes no answer key; leave it out",
        ),
        ({"poison": False}, f"stages.0.poison: '{KIND}' is told which pairs are poisoned, and none is (--poison)"),
    ],
)
def test_a_stage_grants_it_to_whom_it_is_for(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as fault:
        parse(experiment(**changes))
    assert len(str(fault.value).splitlines()) == 1


def test_what_it_leaves_says_so(tmp_path: Path) -> None:
    found = parse(experiment())
    records = run(found, tmp_path)
    assert {record.after for record in records} == {f"{KIND} (oracle)"}
    assert read_json(Job(found, found.stages[0], 0, tmp_path).folder / "stage.json")["oracle"] is True


def test_others_are_told_nothing_and_have_their_old_digests() -> None:
    """Of values as they were written before there was an oracle."""
    plain = parse(tiny.experiment())
    assert not any(isinstance(stage.method, Oracle) or stage.oracle for stage in plain.stages)
    assert not hasattr(Finetune(), "reveal")
    assert digest(plain.stages[0]) == "9ff966d9e6442a23"
    granted, ordinary = parse(experiment()), parse(experiment(method={"kind": "clip", **BRIEF}, oracle=False))
    assert training_digest(granted, granted.stages[0], 0) != training_digest(ordinary, ordinary.stages[0], 0)
