"""A sweep that is killed at any moment, or shared by processes of which some are, ends with the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import tiny
from tests.integration.broken import Driver, contents

from bezoar.core import yaml

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at open files as Linux shows them"),
]

POINTS: dict[str, dict[str, Any]] = {
    "in sweep.yaml": {"write": "sweep.yaml", "moment": "half"},
    "before the index": {"write": "sweep.json", "moment": "synced"},
    "in the second plan": {"write": "poison/*/poison.json", "moment": "half", "nth": 2},
    "while pictures are filled": {"call": "bezoar.data.prepared:load", "nth": 30},
    "in the victim": {"write": "stages/victim-*/training_state", "moment": "half"},
    "after the victim": {"write": "stages/victim-*/stage.json", "moment": "placed"},
    "in a cleaning": {"call": "bezoar.cleaning.finetune:Finetune.loss", "nth": 2},
    "in the evaluation of a cleaning": {"write": "stages/finetune-*/records/epoch-001.jsonl", "moment": "synced"},
    "while records are gathered": {"write": "records.jsonl", "moment": "half", "nth": 2},
    "in the last table": {"write": "summary.csv", "moment": "half"},
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A victim and its fine-tuning at two learning rates, with a poison left in the second."""
    plain = tiny.experiment()
    plain["stages"] = plain["stages"][:2]
    plain["pairs"]["train"]["count"] = 24
    plain["attacks"] = {"left": {**plain["attack"], "count": 1}}
    poison = "stages.finetune.poison"
    axes = {"left": {0: {poison: False}, 1: {poison: "left"}}, "stages.finetune.method.lr": [1e-3]}
    path = tmp_path_factory.mktemp("file") / "sweep.yaml"
    path.write_text(yaml.render({"experiment": plain, "axes": axes}))
    return path


@pytest.fixture(scope="module")
def whole(driver: Driver, file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a sweep leaves that nothing broke off."""
    folder = tmp_path_factory.mktemp("sweep")
    told = driver.run(folder, path=file, verb="sweep")
    assert told["status"] == 0, told["said"]
    return contents(folder)


@pytest.mark.parametrize("point", POINTS)
def test_killed_it_goes_on_to_the_same_bytes(
    point: str, driver: Driver, file: Path, whole: dict[str, Any], tmp_path: Path
) -> None:
    killed = driver.run(tmp_path, path=file, verb="sweep", **POINTS[point])
    assert killed["status"] == -9, killed["said"]
    told = driver.run(tmp_path, path=file, verb="sweep")
    assert told["status"] == 0, told["said"]
    found = contents(tmp_path)
    assert found.keys() == whole.keys()
    assert not [name for name in found if found[name] != whole[name]]


def test_ranks_that_train_each_stage_together(
    driver: Driver, file: Path, whole: dict[str, Any], tmp_path: Path
) -> None:
    """One of them claims, all train; killed in the middle, the same command continues."""
    fates = [{}, {"call": "bezoar.cleaning.finetune:Finetune.loss", "nth": 2}]
    first, second = driver.together(tmp_path, *fates, path=file, verb="sweep")
    assert (first["status"], second["status"]) == (1, -9), first["said"]
    for told in driver.together(tmp_path, {}, {}, path=file, verb="sweep"):
        assert told["status"] == 0, told["said"]
    assert contents(tmp_path).keys() == whole.keys()
