"""Killed at any moment, the same command ends with the same bytes: real kills of real processes, at named points."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from tests import tiny
from tests.integration.broken import Driver, Whole, equal

from bezoar.core import yaml
from bezoar.core.files import read_json
from bezoar.core.records import read_records
from bezoar.models.checkpoint import read_card

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at open files as Linux shows them")

POINTS: dict[str, dict[str, Any]] = {
    "in experiment.yaml": {"write": "experiment.yaml", "moment": "half"},
    "between the files of the plan": {"write": "poison/*/poison.parquet", "moment": "placed"},
    "in the head of the plan": {"write": "poison/*/poison.json", "moment": "half"},
    "while pictures are filled": {"call": "bezoar.data.prepared:load", "nth": 30},
    "before the mark that pictures are whole": {"write": "prepared/*.whole", "moment": "synced", "nth": 2},
    "in the first epoch": {"call": "bezoar.pretraining.clip:ClipPretraining.loss", "nth": 2},
    "in an evaluation": {"call": "bezoar.evaluation.attack_success:AttackSuccess.evaluate", "nth": 2},
    "between two tables of scores": {"write": "*/scores/epoch-001.zero_shot.*", "moment": "placed"},
    "between two files of records": {"write": "*/records/epoch-001.jsonl", "moment": "placed"},
    "in the first state": {"write": "*/training_state", "moment": "half"},
    "in the second state": {"write": "*/training_state", "moment": "half", "nth": 2},
    "before a state is put in place": {"write": "*/training_state", "moment": "synced", "nth": 2},
    "in a state within an epoch": {"write": "*/training_state", "moment": "half", "nth": 2, "states": True},
    "after a state within an epoch": {"write": "*/training_state", "moment": "placed", "nth": 2, "states": True},
    "between two epochs": {"write": "*/training_state", "moment": "placed"},
    "in the second epoch": {"call": "bezoar.pretraining.clip:ClipPretraining.loss", "nth": 5},
    "in a line of the step log": {"append": True, "nth": 5},
    "in the weights": {"write": "*/model.safetensors", "moment": "half"},
    "between weights and card": {"write": "*/model.safetensors", "moment": "placed"},
    "between model and stage.json": {"write": "*/stage.json", "moment": "synced"},
    "after stage.json": {"write": "*/stage.json", "moment": "placed"},
    "while records are gathered": {"write": "records.jsonl", "moment": "synced", "nth": 2},
    "while steps are gathered": {"write": "steps.jsonl", "moment": "half", "nth": 3},
    "in the report": {"write": "report.html", "moment": "half"},
    "between page and table": {"write": "report.html", "moment": "placed"},
}


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_killed_it_goes_on_to_the_same_bytes(point: str, driver: Driver, whole: Whole, tmp_path: Path) -> None:
    driver.kill(tmp_path, **POINTS[point])
    driver.finish(tmp_path)
    assert equal(tmp_path, whole)


def two_passes() -> dict[str, Any]:
    """A method with two passes an epoch, measured after every step; the best model is kept, and one of each epoch.

    It is called better after every batch that it has seen.
    """
    method = {"kind": "tests.toy:Split", "epochs": 2, "lr": 1e-3}
    stage = {
        "name": "split", "pairs": "train", "method": method, "evaluate_steps": 1, "keep": "best", "keep_every": 1,
        "best_by": "batches",
    }  # fmt: skip
    return tiny.experiment(
        pairs={"train": {"kind": "scenes", "count": 24}}, attack=None, stages=[stage],
        evaluators=[{"kind": "tests.toy:Told"}],
    )  # fmt: skip


PASSES: dict[str, dict[str, Any]] = {
    "in the state between two passes": {"write": "*/training_state", "moment": "half", "states": True},
    "between two passes": {"write": "*/training_state", "moment": "placed", "states": True},
    "in the second pass": {"call": "tests.toy:Split.hard", "nth": 2, "states": True},
    "while an epoch begins": {"call": "tests.toy:Split.begin_epoch", "nth": 2, "states": True},
    "in a better model": {"write": "*/model/model.safetensors", "moment": "half", "nth": 2, "states": True},
    "between better weights and their card": {"write": "*/model/model.safetensors", "moment": "placed", "nth": 2},
    "between a better model and best.json": {"write": "*/best.json", "moment": "synced", "nth": 2, "states": True},
    "in the model of an epoch": {"write": "*/models/epoch-002/model.json", "moment": "half", "states": True},
}


@pytest.fixture(scope="module")
def split(driver: Driver, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Whole]:
    """The experiment of two passes, and the run of it that nothing broke off."""
    folder = tmp_path_factory.mktemp("split")
    path = folder / "split.yaml"
    path.write_text(yaml.render(two_passes()))
    return path, (folder / "run", driver.finish(folder / "run", path))


@pytest.mark.slow
def test_the_best_of_two_passes_is_kept(split: tuple[Path, Whole]) -> None:
    _, (folder, told) = split
    (stage,) = folder.glob("stages/*")
    records = [one for one in read_records(folder / "records.jsonl") if one.metric == "batches"]
    assert [(one.epoch, one.step, one.whole, one.value) for one in records] == [
        (0, 1, False, 1), (0, 2, False, 2), (1, 3, True, 3), (1, 4, False, 4), (1, 5, False, 5), (2, 6, True, 6)
    ]  # fmt: skip
    best = {"metric": "batches", "data": "validation", "score": 6.0, "epoch": 2, "step": 6}
    assert read_json(stage / "best.json") == best
    assert sum(name.endswith("best.json") for name in told["writes"]) == 6
    assert {path.name for path in stage.glob("models/*")} == {"epoch-001", "epoch-002"}
    assert read_card(stage / "model").weights == read_json(stage / "stage.json")["weights"]


@pytest.mark.slow
@pytest.mark.parametrize("point", PASSES)
def test_killed_within_an_epoch(point: str, driver: Driver, split: tuple[Path, Whole], tmp_path: Path) -> None:
    path, whole = split
    driver.kill(tmp_path, path, **PASSES[point])
    driver.finish(tmp_path, path)
    assert equal(tmp_path, whole)


@pytest.mark.slow
def test_killed_again_and_again(driver: Driver, whole: Whole, tmp_path: Path) -> None:
    """A run makes way between two kills, or at least loses none."""
    for point in (
        "in the head of the plan", "while pictures are filled", "in a line of the step log", "in the first state",
        "in the first state", "between two epochs",
    ):  # fmt: skip
        driver.kill(tmp_path, **POINTS[point])
    driver.kill(tmp_path, write="*/steps.jsonl", moment="half")  # the step log is cut when training goes on
    driver.kill(tmp_path, **POINTS["in the weights"])
    driver.kill(tmp_path, **POINTS["in the weights"])
    driver.kill(tmp_path, **POINTS["after stage.json"])
    driver.kill(tmp_path, call="bezoar.cleaning.cleanclip:CleanCLIP.loss")
    driver.finish(tmp_path)
    assert equal(tmp_path, whole)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_time(seed: int, driver: Driver, whole: Whole, tmp_path: Path) -> None:
    chance = random.Random(seed)
    for _ in range(4):
        told = driver.run(tmp_path, after=chance.uniform(0.1, 0.8) * whole[1]["seconds"])
        assert told["status"] in (-9, 0), told["said"]
    driver.finish(tmp_path)
    assert equal(tmp_path, whole)
