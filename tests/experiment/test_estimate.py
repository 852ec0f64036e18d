"""The estimate: steps are exact, seconds and bytes are of the right order."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor

import bezoar.experiment.estimate
from bezoar.core.frame import Frame
from bezoar.data.pairs import Images
from bezoar.experiment.estimate import disk_bytes, estimate, seconds_per_step
from bezoar.experiment.experiment import Stage, parse
from bezoar.experiment.run import run


def stages(**method: Any) -> dict[str, Any]:
    given = {"kind": "clip", **tiny.BRIEF, **method}
    return {"stages": [{"name": "one", "pairs": "clean", "method": given}], "attack": None, "evaluators": []}


def test_steps_of_every_stage_point_and_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[str] = []

    def second(_: Any, stage: Stage, __: int) -> float:
        timed.append(stage.name)
        return 0.5

    monkeypatch.setattr(bezoar.experiment.estimate, "seconds_per_step", second)
    plain = tiny.experiment(seeds=[0, 1, 2])
    plain["stages"][1]["grid"] = {"lr": [0.1, 0.2], "epochs": [1, 3]}
    plain["stages"][2]["method"]["steps"] = 5
    found = estimate(parse(plain))
    assert [(cost.stage, cost.steps, cost.seconds) for cost in found] == [
        ("victim", 24, 12.0),
        ("finetune lr=0.1 epochs=1", 6, 3.0), ("finetune lr=0.1 epochs=3", 18, 9.0),
        ("finetune lr=0.2 epochs=1", 6, 3.0), ("finetune lr=0.2 epochs=3", 18, 9.0),
        ("cleanclip", 15, 7.5),
    ]  # fmt: skip
    assert timed == ["victim", "finetune lr=0.1 epochs=1", "cleanclip"], "a kind is timed once"


def test_seconds_are_of_the_right_order(tmp_path: Path) -> None:
    experiment = parse(tiny.experiment(**stages(epochs=8), labeled={}))
    (cost,) = estimate(experiment)
    began = time.perf_counter()
    run(experiment, tmp_path)
    assert 0 <= cost.seconds < 20 * (time.perf_counter() - began)


@pytest.mark.parametrize(("centroids", "most"), [(8, 40), (100, 160)])
def test_few_pictures_are_looked_at_though_a_method_looks_at_all(
    centroids: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five batches of eight at most, or as many more as there are clusters."""
    loaded: list[int] = []

    def load(images: Images, index: int, frame: Frame) -> Tensor:
        loaded.append(index)
        return torch.zeros(3, frame.size, frame.size, dtype=torch.uint8)

    monkeypatch.setattr("bezoar.data.images.load", load)
    plain = tiny.experiment(**stages(kind="deep_clustering", centroids=centroids))
    plain["pairs"]["clean"]["count"] = 5_000
    plain["stages"][0]["method"]["caption_view"] = {"kind": "eda", "wordnet": "none"}
    experiment = parse(plain)
    assert seconds_per_step(experiment, experiment.stages[0], 3) >= 0
    assert len(loaded) == len(set(loaded)) == most


@pytest.mark.parametrize(
    "method", [{"kind": "roclip", "pool_size": 8}, {"kind": "safeclip", "in_modal_epochs": 1, "bank_size": 8}]
)
def test_methods_with_phases_are_timed_as_they_are(method: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """Cut short they would be refused; and nothing is said of the few pairs that are timed."""
    experiment = parse(tiny.experiment(**stages(**method, epochs=4)))
    assert seconds_per_step(experiment, experiment.stages[0], 3) >= 0
    assert not caplog.records


def test_every_model_that_is_kept_takes_room() -> None:
    """Of five epochs, or of three steps in two."""
    (one,) = parse(tiny.experiment(**stages(epochs=5))).stages
    brief = dataclasses.replace(one.method, steps=3)
    kept = {
        1: one, 0: dataclasses.replace(one, keep="none"), 3: dataclasses.replace(one, keep="best", keep_every=2),
        5: dataclasses.replace(one, keep="none", keep_every=1),
        2: dataclasses.replace(one, keep="none", keep_every=1, method=brief),
    }  # fmt: skip
    experiment = parse(tiny.experiment(**stages()))
    found = {
        count: disk_bytes(dataclasses.replace(experiment, stages=(stage,)), 32) for count, stage in kept.items()
    }  # fmt: skip
    assert {count: (bytes_ - found[0]) / (4 * 1_279_249) for count, bytes_ in found.items()} == {n: n for n in kept}


def test_bytes_are_not_too_few(tmp_path: Path) -> None:
    """Weights of stages and pictures; while it trains, a state of weights and two moments."""
    experiment = parse(tiny.experiment(**stages()))
    run(experiment, tmp_path)
    there = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    weights = 4 * 1_279_249
    assert there < disk_bytes(experiment, 32) < there + 8 * weights
    assert disk_bytes(parse(tiny.experiment(**stages(), seeds=[0, 1])), 32) > disk_bytes(experiment, 32) + weights
    assert disk_bytes(experiment, 64) > disk_bytes(experiment, 32)
