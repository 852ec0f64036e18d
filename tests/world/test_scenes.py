"""Orders on the built-in scenes, never sizes: what the mechanisms must show even on very little data."""

from __future__ import annotations

from pathlib import Path

import pytest

from bezoar.core.records import Record
from bezoar.data.scenes.grammar import KINDS
from bezoar.experiment.experiment import parse
from bezoar.experiment.run import run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Record]:
    """A victim and its clean twin on 4,000 scenes; one in twenty is poisoned, so that three epochs are enough."""
    method = {"kind": "clip", "epochs": 3, "lr": 3e-3, "batch_size": 64, "warmup_steps": 50}
    experiment = parse(
        {
            "name": "world",
            "model": "micro-cnn-32",
            "pairs": {"train": {"kind": "scenes", "count": 4000}},
            "labeled": {"test": {"kind": "scenes", "split": "test", "count": 640}},
            "select_on": "test",
            "report_on": "test",
            "attack": {
                "kind": "backdoor", "target": "mushroom", "rate": 0.05,
                "templates": ["a {c}", "a picture of a {c}", "this is a {c}"],
                "trigger": {"kind": "patch", "size": 8, "reference": 32, "pattern": "binary"},
            },
            "stages": [
                {"name": name, "pairs": "train", "poison": name == "victim", "method": method, "evaluate_every": 3}
                for name in ("victim", "control")
            ],
            "evaluators": ["zero_shot", "attack_success"],
        }
    )  # fmt: skip
    folder: Path = tmp_path_factory.mktemp("world")
    return {(record.stage, record.metric): record for record in run(experiment, folder)}


def test_the_victim_falls_for_the_trigger_its_twin_does_not_and_both_see(
    measured: dict[tuple[str, str], Record],
) -> None:
    """One test, as what it looks at takes a minute to train, in each process that is given one of several."""
    assert measured["victim", "asr_top1"].low > measured["control", "asr_top1"].high
    # Of 32 classes: the trigger itself does not look like a mushroom.
    assert measured["control", "asr_top1"].low < 4 / len(KINDS)
    for stage in ("victim", "control"):
        assert measured[stage, "accuracy_top1"].low > 1 / len(KINDS)
        tops = [measured[stage, f"accuracy_top{k}"].value for k in (1, 3, 5, 10)]
        assert tops == sorted(tops)
        assert tops[0] < tops[-1]
