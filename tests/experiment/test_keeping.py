"""Which models of a stage are kept, and that the best is the one that was measured so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests import tiny

import bezoar.experiment.keeping
from bezoar.core.files import read_json, write_json
from bezoar.core.records import Measure, read_records
from bezoar.data import Scenes
from bezoar.evaluation import ContrastiveLoss
from bezoar.experiment.experiment import parse
from bezoar.experiment.keeping import Keeper
from bezoar.experiment.run import run
from bezoar.experiment.stages import Job
from bezoar.experiment.verbs import evaluate
from bezoar.models.checkpoint import read_card
from bezoar.training.loop import Pause
from bezoar.training.state import State


def plain(**stage: Any) -> dict[str, Any]:
    """One stage of three epochs of two steps each, and held-out pairs beside the labeled set."""
    method = {"kind": "clip", **tiny.BRIEF, "epochs": 3}
    return tiny.experiment(
        stages=[{"name": "one", "pairs": "clean", "method": method, **stage}], attack=None,
        held_out={"captioned": {"kind": "scenes", "split": "clean", "count": 12}},
        evaluators=[{"kind": "zero_shot", "templates": ["a {c}"]}, {"kind": "contrastive_loss"}],
    )  # fmt: skip


def keeper(folder: Path, select_on: str = "validation", **stage: Any) -> Keeper:
    experiment = parse(plain(**stage) | {"select_on": select_on})
    return Keeper(Job(experiment, experiment.stages[0], 0, folder), tiny.data(16))


def pause(epoch: int, step: int, whole: bool = True) -> Pause:
    """A training at rest; its step stands in the weights."""
    model = tiny.clip()
    with torch.no_grad():
        model.tower.get_parameter("logit_scale").fill_(step)
    return Pause(
        epoch=epoch, step=step, seconds=0, processor=0, whole=whole, last=False, state=State(model, 16), model=model
    )


def measured(value: float, metric: str = "accuracy_top1", data: str = "validation") -> Sequence[Measure]:
    return [Measure(metric=metric, value=value, low=value, high=value, n=20, data=data)]


def step_of(model: Path) -> int:
    """Which of the models above lies in a folder."""
    return int(load_file(model / "model.safetensors")["logit_scale"])


# ---------------------------------------------------------------------------------------------------- what lies there


def test_the_last_model_is_kept_unless_said_otherwise(tmp_path: Path) -> None:
    one = keeper(tmp_path)
    one.after(pause(1, 2), measured(1.0))
    assert not (one.job.folder / "model").exists()
    weights = one.finish(pause(3, 6))
    assert step_of(one.job.folder / "model") == 6
    assert read_card(one.job.folder / "model").weights == weights


def test_none_is_none(tmp_path: Path) -> None:
    one = keeper(tmp_path, keep="none")
    one.after(pause(1, 2), measured(1.0))
    assert one.finish(pause(3, 6)) is None
    assert not list(tmp_path.rglob("*.safetensors"))


def test_one_of_every_few_epochs_beside_the_last(tmp_path: Path) -> None:
    one = keeper(tmp_path, keep_every=2)
    for at in (pause(1, 2), pause(2, 3, whole=False), pause(2, 4), pause(3, 6), pause(4, 8)):
        one.after(at, None)
    one.finish(pause(5, 10))
    kept = {path.name: step_of(path) for path in one.job.folder.glob("models/*")}
    assert kept == {"epoch-002": 4, "epoch-004": 8}
    assert step_of(one.job.folder / "model") == 10


@pytest.mark.parametrize(
    ("metric", "data", "values", "best"),
    [
        ("accuracy_top1", "validation", [0.2, 0.6, 0.4], 2),
        ("accuracy_top1", "validation", [0.6, 0.2, 0.6], 1),
        ("accuracy_top1", "validation", [0.0, 0.0, 0.0], 1),
        ("asr_top1", "validation", [0.9, 0.1, 0.5], 2),
        ("asr_top1", "validation", [0.1, 0.1, 0.0], 3),
        ("contrastive_loss", "captioned", [3.0, 2.5, 2.75], 2),
        ("contrastive_loss", "captioned", [2.5, 2.5, 2.75], 1),
    ],
)
def test_the_best_is_the_first_of_the_best(
    metric: str, data: str, values: list[float], best: int, tmp_path: Path
) -> None:
    """By what a defender wants: more accuracy, less loss, less success of the attack."""
    one = keeper(tmp_path, data, keep="best", best_by=metric)
    for number, value in enumerate(values, 1):
        one.after(pause(number - 1, number, whole=False), measured(value, metric, data))
        one.after(pause(number, number), None)
    assert step_of(one.job.folder / "model") == best
    told = read_json(one.job.folder / "best.json")
    assert (told["metric"], told["data"], told["epoch"], told["step"]) == (metric, data, best - 1, best)
    assert abs(told["score"]) == values[best - 1]
    assert one.finish(pause(9, 9)) == read_card(one.job.folder / "model").weights
    assert step_of(one.job.folder / "model") == best


def test_what_was_killed_between_a_model_and_its_score_is_kept_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = keeper(tmp_path, keep="best")
    one.after(pause(1, 2), measured(0.3))

    def stop(*_: object) -> None:
        raise InterruptedError

    monkeypatch.setattr(bezoar.experiment.keeping, "write_json", stop)
    with pytest.raises(InterruptedError):
        one.after(pause(2, 4), measured(0.4))
    assert read_json(one.job.folder / "best.json")["score"] == 0.3
    monkeypatch.setattr(bezoar.experiment.keeping, "write_json", write_json)
    again = keeper(tmp_path, keep="best")
    again.after(pause(2, 4), measured(0.4))
    assert read_json(one.job.folder / "best.json")["score"] == 0.4
    again.after(pause(3, 6), measured(0.4))
    assert step_of(one.job.folder / "model") == 4


def test_what_was_not_measured_is_no_best(tmp_path: Path) -> None:
    one = keeper(tmp_path, keep="best")
    with pytest.raises(ValueError, match="'accuracy_top1' is not measured on 'validation'"):
        one.after(pause(1, 2), measured(0.5, "accuracy_top5"))


# ------------------------------------------------------------------------------------------------------- in whole runs


def test_the_best_of_a_run_measures_again_as_it_did(tmp_path: Path) -> None:
    """By the least loss of held-out pairs, looked for within epochs too; and the table of what was measured."""
    experiment = parse(
        plain(keep="best", best_by="contrastive_loss", evaluate_steps=1, keep_every=1) | {"select_on": "captioned"}
    )
    records = run(experiment, tmp_path)
    losses = {record.step: record.value for record in records if record.metric == "contrastive_loss"}
    assert [(record.epoch, record.step, record.whole) for record in records if record.metric == "accuracy_top1"] == [
        (0, 1, False), (1, 2, True), (1, 3, False), (2, 4, True), (2, 5, False), (3, 6, True)
    ]  # fmt: skip
    folder = Job(experiment, experiment.stages[0], 0, tmp_path).folder
    best = read_json(folder / "best.json")
    assert -best["score"] == losses[best["step"]] == min(losses.values())
    assert read_json(folder / "stage.json")["weights"] == read_card(folder / "model").weights
    assert {path.name for path in folder.glob("models/*")} == {"epoch-001", "epoch-002", "epoch-003"}
    found = {}
    for name, model in {"best": "model", 2: "models/epoch-001", 6: "models/epoch-003"}.items():
        (found[name],) = evaluate(
            model=folder / model, held_out=Scenes(split="clean", count=12), evaluators=(ContrastiveLoss(),)
        )
    assert {name: one.value for name, one in found.items()} == {
        "best": min(losses.values()), 2: losses[2], 6: losses[6]
    }  # fmt: skip
    assert len(set(losses.values())) == 6, "or nothing is shown"


def test_numbers_without_a_model(tmp_path: Path) -> None:
    """And nothing is trained twice for that."""
    experiment = parse(plain(keep="none", evaluate_every=3))
    first = run(experiment, tmp_path)
    assert not list(tmp_path.rglob("*.safetensors"))
    assert not list(tmp_path.rglob("training_state"))
    (stage,) = tmp_path.glob("stages/*")
    assert read_json(stage / "stage.json")["weights"] is None
    assert run(experiment, tmp_path) == first == read_records(tmp_path / "records.jsonl")


@pytest.mark.parametrize(
    ("stage", "changes", "said"),
    [
        (
            {"best_by": "accuracy_top2"}, {},
            r"^stages\.one\.best_by: 'accuracy_top2' is not measured on 'validation'; did you mean 'accuracy_top",
        ),
        ({"best_by": "contrastive_loss"}, {}, r"^stages\.one\.best_by: 'contrastive_loss' is not measured on 'vali"),
        ({}, {"select_on": "captioned"}, r"^stages\.one\.best_by: 'accuracy_top1' is not measured on 'captioned'"),
        ({"best_by": "asr_top1"}, {}, r"^stages\.one\.best_by: 'asr_top1' is not measured on 'validation'"),
        ({}, {"evaluators": []}, r"^stages\.one\.best_by: nothing is measured on 'validation'"),
    ],
)  # fmt: skip
def test_a_best_that_nobody_measures_is_refused_before_anything_is_written(
    stage: dict[str, Any], changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=said):
        run(parse(plain(keep="best", **stage) | changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_without_a_word_nothing_of_it_matters(tmp_path: Path) -> None:
    """What the best is chosen by is no setting of a stage that keeps its last model: it is the same stage."""
    last = keeper(tmp_path).job.folder
    assert keeper(tmp_path, "captioned", best_by="contrastive_loss").job.folder == last
    others = [
        keeper(tmp_path, **stage).job.folder
        for stage in (
            {"keep": "none"}, {"keep": "best"}, {"keep": "best", "best_by": "accuracy_top5"}, {"keep_every": 1},
            {"evaluate_steps": 2}, {"evaluate_every": 2},
        )
    ]  # fmt: skip
    assert len({last, *others}) == 7
