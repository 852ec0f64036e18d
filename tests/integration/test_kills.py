"""Killed at any moment, the same command ends with the same bytes: real kills of real processes, each at a named point."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import tiny

from bezoar.core import yaml
from bezoar.core.records import read_lines

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at open files as Linux shows them")

ROOT = Path(__file__).parents[2]
TIMES = {"at", "git", "pairs_per_second", "seconds"}


def experiment() -> dict[str, Any]:
    """A poisoned victim of two epochs and a cleaning of it: every kind of file that a run writes."""
    plain = tiny.experiment()
    victim, _, cleanclip = plain["stages"]
    return plain | {
        "stages": [victim, cleanclip],
        "pairs": {"train": {"kind": "scenes", "count": 24}, "clean": plain["pairs"]["clean"]},
        "labeled": {"validation": {"kind": "scenes", "count": 8}},
    }


class Driver:
    """Runs the experiment in a child of a process that has everything imported."""

    def __init__(self, scratch: Path) -> None:
        self.path = scratch / "experiment.yaml"
        self.path.write_text(yaml.render(experiment()))
        places = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("driver.py")), str(scratch)],
            env={**os.environ, "PYTHONPATH": places, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, folder: Path, **fate: Any) -> dict[str, Any]:
        """One child: its status, what it said, the atomic writes it began, and how long it took."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        asked = {"folder": str(folder), "experiment": str(self.path), "fate": fate}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        told: dict[str, Any] = json.loads(self.process.stdout.readline())
        return told

    def kill(self, folder: Path, **fate: Any) -> None:
        told = self.run(folder, **fate)
        assert told["status"] == -9, told["said"]

    def finish(self, folder: Path) -> dict[str, Any]:
        told = self.run(folder)
        assert told["status"] == 0, told["said"]
        return told


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    found = Driver(tmp_path_factory.mktemp("driver"))
    with found.process:
        yield found


@pytest.fixture(scope="module")
def whole(driver: Driver, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The run that nothing broke off."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, driver.finish(folder)


def contents(folder: Path) -> dict[str, Any]:
    """Every file of a run by name: lines and facts without their times, of all else the bytes."""
    return {
        str(path.relative_to(folder)): content_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (".lock", "report.html")
    }


def content_of(path: Path) -> Any:
    if path.suffix == ".jsonl":
        return [timeless(line) for line in read_lines(path)]
    if path.name in ("stage.json", "environment.json"):
        return timeless(json.loads(path.read_text()))
    return path.read_bytes()


def timeless(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name not in TIMES}


def equal(folder: Path, whole: tuple[Path, dict[str, Any]]) -> bool:
    """Whether two runs left the same files with the same in them, but for times and revisions."""
    left, right = contents(folder), contents(whole[0])
    assert left.keys() == right.keys()
    assert not [name for name in left if left[name] != right[name]]
    assert (folder / "report.html").exists()
    return True


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
def test_killed_it_goes_on_to_the_same_bytes(point: str, driver: Driver, whole: Any, tmp_path: Path) -> None:
    driver.kill(tmp_path, **POINTS[point])
    driver.finish(tmp_path)
    assert equal(tmp_path, whole)


@pytest.mark.slow
def test_killed_again_and_again(driver: Driver, whole: Any, tmp_path: Path) -> None:
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
def test_killed_at_any_time(seed: int, driver: Driver, whole: Any, tmp_path: Path) -> None:
    chance = random.Random(seed)
    for _ in range(4):
        told = driver.run(tmp_path, after=chance.uniform(0.1, 0.8) * whole[1]["seconds"])
        assert told["status"] in (-9, 0), told["said"]
    driver.finish(tmp_path)
    assert equal(tmp_path, whole)
