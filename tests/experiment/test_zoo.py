"""A zoo tells the truth: what each model is, where it comes from, how well its attack works; and it can be resumed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file
from tests import tiny
from tests.zoo import plain

import bezoar.experiment.zoo
from bezoar.attacks.plan_files import load_plan
from bezoar.core.files import atomic, exclusive, read_json, write_json
from bezoar.core.records import Measure, Record, read_records, write_records
from bezoar.experiment.experiment import Experiment, parse
from bezoar.experiment.run import run
from bezoar.experiment.success import works
from bezoar.experiment.zoo import zoo
from bezoar.experiment.zoo_models import ZooModel, zoo_models
from bezoar.experiment.zoo_page import table
from bezoar.models.checkpoint import read_card


def by_name(folder: Path) -> dict[str, ZooModel]:
    return {model.name: model for model in zoo_models(folder)}


def stage_of(folder: Path, name: str) -> Path:
    """The folder of the stage that ``NAME-seedN`` comes from."""
    (found,) = (folder / "run" / "stages").glob(f"{name}-*")
    return found


def reported(folder: Path, stage: str, metric: str) -> Record:
    """The last record of a metric."""
    records = read_records(folder / "run" / "records.jsonl")
    return [record for record in records if (record.stage, record.metric) == (stage, metric)][-1]


def test_every_model_is_what_it_is(zoo: Path) -> None:
    models = by_name(zoo)
    assert {name: (model.role, model.poisoned, model.attack) for name, model in models.items()} == {
        "control-seed0": ("clean", False, None),
        "patch-seed0": ("poisoned", True, "backdoor"),
        "words-seed0": ("poisoned", True, "caption_backdoor"),
        "control-finetune-seed0": ("cleaned", False, None),
        "patch-finetune-seed0": ("cleaned", True, "backdoor"),
    }
    assert [model.targets for model in models.values()] == [(), ("mushroom",), ("mushroom",), (), ("mushroom",)]
    assert [model.method for model in models.values()] == ["clip", "clip", "clip", "finetune", "finetune"]


def test_cleaned_models_name_their_start(zoo: Path) -> None:
    models = by_name(zoo)
    for name in ("control", "patch"):
        cleaned, start = models[f"{name}-finetune-seed0"], models[f"{name}-seed0"]
        assert (cleaned.start, cleaned.parent) == (start.name, start.weights)
        assert cleaned.poison == start.poison
        assert (start.start, start.parent) == (None, None)


def test_the_poison_is_that_of_the_plan(zoo: Path) -> None:
    """Counted where the plan lies, not where the zoo has it from."""
    for name in ("patch", "words"):
        (folder,) = (zoo / "run" / "poison").glob(f"train.{name}-*")
        plan, model = load_plan(folder), by_name(zoo)[f"{name}-seed0"]
        assert model.poison is not None
        assert (model.poison.plan, model.poison.count, model.poison.total) == (plan.digest, 2, 128)
        assert (model.poison.kind, model.poison.settings) == (plan.attack.kind, model.threat)


def test_models_are_those_of_the_run(zoo: Path) -> None:
    for model in zoo_models(zoo):
        trained = load_file(stage_of(zoo, model.name) / "model" / "model.safetensors")
        assert tiny.same(dict(model.model().tower.state_dict()), trained)
        assert read_card(model.folder).weights == model.weights


def test_numbers_are_those_of_the_records(zoo: Path) -> None:
    for name, metric in (("patch", "asr_top1"), ("words", "caption_asr_top1"), ("control", "asr_top1")):
        model = by_name(zoo)[f"{name}-seed0"]
        for found, wanted in ((model.accuracy, "accuracy_top1"), (model.success, metric)):
            record = reported(zoo, name, wanted)
            assert found is not None
            assert (found.metric, found.value, found.low, found.high, found.n, found.data) == (
                wanted, record.value, record.low, record.high, record.n, "validation",
            )  # fmt: skip


def test_without_it_is_what_untouched_pictures_are_taken_for(zoo: Path) -> None:
    model = by_name(zoo)["patch-seed0"]
    rows = pq.read_table(stage_of(zoo, model.name) / "scores" / "epoch-001.zero_shot.validation.parquet")
    target = json.loads(rows.schema.metadata[b"names"]).index("mushroom")
    others = [row["predicted"] for row in rows.to_pylist() if row["label"] != target]
    assert model.without is not None
    assert (model.without.value, model.without.n) == (others.count(target) / len(others), len(others))


def test_without_the_words_is_measured_by_the_evaluator(zoo: Path) -> None:
    without = by_name(zoo)["words-seed0"].without
    assert without is not None
    assert without.metric == "caption_rate_top1"
    assert without.value == reported(zoo, "words", "caption_rate_top1").value


def measure(low: float, high: float) -> Measure:
    return Measure(metric="m", value=(low + high) / 2, low=low, high=high, n=100, data="test")


@pytest.mark.parametrize(
    ("accuracy", "success", "without", "verdict"),
    [
        ((0.8, 0.9), (0.3, 0.5), (0.0, 0.1), True),
        ((0.8, 0.9), (0.3, 0.5), None, True),
        ((0.8, 0.9), (0.3, 0.5), (0.2, 0.3), False),  # not more than without it
        ((0.8, 0.9), (0.1, 0.5), (0.0, 0.01), False),  # not more than guessing
        ((0.1, 0.9), (0.9, 1.0), (0.0, 0.1), None),  # destroyed
        ((0.8, 0.9), None, None, None),
        (None, (0.3, 0.5), None, None),
    ],
)
def test_when_an_attack_takes(
    accuracy: tuple[float, float] | None,
    success: tuple[float, float] | None,
    without: tuple[float, float] | None,
    verdict: bool | None,
) -> None:
    clean, reached, bare = (measure(*one) if one else None for one in (accuracy, success, without))
    assert works(clean, reached, bare, 10) is verdict
    assert works(clean, reached, bare, None) is None


@pytest.fixture
def copied(zoo: Path, tmp_path: Path) -> Path:
    """A zoo of the test's own."""
    return shutil.copytree(zoo, tmp_path / "zoo")


def content(folder: Path) -> dict[str, bytes]:
    """Every file of the zoo but those of its run."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {name: path.read_bytes() for name, path in names.items() if not name.startswith("run/")}


def test_the_same_call_trains_nothing_and_writes_the_same(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, models = content(copied), [replace(model, root=copied) for model in zoo_models(copied)]
    monkeypatch.setattr("bezoar.training.loop.train", lambda *_, **__: pytest.fail("trained again"))
    shutil.rmtree(copied / "models" / "patch-seed0")
    (copied / "zoo.json").unlink()
    assert zoo(parse(plain()), copied) == tuple(models) == zoo_models(copied)
    assert content(copied) == before


def test_packing_that_was_interrupted_goes_on(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model folder that was being written has no card: nobody takes it for whole."""
    before = content(copied)

    def interrupted(path: Path, mode: str = "wb") -> Any:
        if path.parent.name == "words-seed0" and path.name == "model.json":
            raise KeyboardInterrupt
        return atomic(path, mode)

    with monkeypatch.context() as patch:
        patch.setattr(bezoar.experiment.zoo, "atomic", interrupted)
        with pytest.raises(KeyboardInterrupt):
            zoo(parse(plain()), copied)
    with pytest.raises(ValueError, match=r"model\.json: cannot be read"):
        by_name(copied)["words-seed0"].model()
    zoo(parse(plain()), copied)
    assert content(copied) == before


def test_a_run_that_was_interrupted_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = plain(stages=plain()["stages"][:2])
    with monkeypatch.context() as patch:
        patch.setattr("bezoar.experiment.run.run", stopped)
        with pytest.raises(KeyboardInterrupt):
            zoo(parse(data), tmp_path / "z")
    assert not (tmp_path / "z" / "zoo.json").exists()
    assert [model.name for model in zoo(parse(data), tmp_path / "z")] == ["control-seed0", "patch-seed0"]


def stopped(experiment: Experiment, out: Path, **how: Any) -> None:
    """A run that is killed after its first stage."""
    run(replace(experiment, stages=experiment.stages[:1]), out, **how)
    raise KeyboardInterrupt


def test_more_seeds_are_more_models(copied: Path) -> None:
    data = plain(stages=plain()["stages"][:1])
    models = zoo(replace(parse(data), seeds=(0, 1)), copied)
    assert [(model.name, model.seed) for model in models] == [("control-seed0", 0), ("control-seed1", 1)]
    assert models[0].weights != models[1].weights
    assert zoo_models(copied) == models


ODD = plain(
    attacks={
        **plain()["attacks"],
        "both": {
            "kind": "several",
            "attacks": [
                plain()["attacks"]["patch"],
                {**plain()["attacks"]["patch"], "target": "rocket", "trigger": {"kind": "sinusoidal"}},
            ],
        },
    },
    stages=[
        {"name": "both", "poison": "both", "pairs": "train", "method": {"kind": "clip", **tiny.BRIEF}},
        {
            "name": "left", "start": "both", "poison": "words", "threat": "both", "pairs": "train",
            "method": {"kind": "finetune", **tiny.BRIEF},
        },
        {
            "name": "other", "poison": "words", "threat": "patch", "pairs": "train", "keep": "best",
            "method": {"kind": "clip", **tiny.BRIEF, "epochs": 3}, "grid": {"lr": [1e-4]},
        },
        {"name": "none", "poison": "words", "pairs": "train", "method": {"kind": "clip", **tiny.BRIEF}, "keep": "none"},
    ],
    select_on="validation",
)  # fmt: skip


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two targets, poison left in a cleaning, another attack measured, the best kept, none kept."""
    folder = tmp_path_factory.mktemp("odd")
    zoo(parse(ODD), folder)
    return folder


def test_a_stage_that_keeps_none_gives_none(odd: Path) -> None:
    assert list(by_name(odd)) == ["both-seed0", "left-seed0", "other_lr=0.0001-seed0"]


def test_poison_left_in_a_cleaning_makes_no_other_victim(odd: Path) -> None:
    both, left, other = by_name(odd).values()
    assert (left.role, left.attack, left.targets) == ("cleaned", "several", ("mushroom", "rocket"))
    assert left.poison == both.poison
    assert (other.role, other.attack, other.targets) == ("poisoned", "caption_backdoor", ("mushroom",))


def test_another_attack_than_its_own_gives_no_verdict(odd: Path) -> None:
    other = by_name(odd)["other_lr=0.0001-seed0"]
    assert other.success is not None
    assert other.threat is not None
    assert (other.threat["kind"], other.success.metric, other.takes) == ("backdoor", "asr_top1", None)


def test_the_numbers_are_those_of_the_model_that_was_kept(odd: Path, tmp_path: Path) -> None:
    """Had the first epoch been the best, with this accuracy."""
    folder = shutil.copytree(odd, tmp_path / "odd")
    stage = stage_of(folder, "other_lr=0.0001-seed0")
    records = read_records(stage / "records" / "epoch-001.jsonl")
    told = [replace(one, value=0.875) if one.metric == "accuracy_top1" else one for one in records]
    write_records(stage / "records" / "epoch-001.jsonl", told)
    best = read_json(stage / "best.json")
    write_json(stage / "best.json", {**best, "epoch": 1, "step": records[0].step})
    model = zoo(parse(ODD), folder)[-1]
    assert model.accuracy is not None
    assert (model.name, model.accuracy.value) == ("other_lr=0.0001-seed0", 0.875)


def test_without_several_triggers_is_over_all_their_targets(odd: Path) -> None:
    model = by_name(odd)["both-seed0"]
    rows = pq.read_table(stage_of(odd, model.name) / "scores" / "epoch-001.zero_shot.validation.parquet")
    names = json.loads(rows.schema.metadata[b"names"])
    shown = taken = 0
    for target in (names.index("mushroom"), names.index("rocket")):
        others = [row["predicted"] for row in rows.to_pylist() if row["label"] != target]
        shown, taken = shown + len(others), taken + others.count(target)
    assert model.without is not None
    assert model.without.value == pytest.approx(taken / shown)


def test_the_page_has_the_table(zoo: Path) -> None:
    page, models = (zoo / "README.md").read_text("utf-8"), zoo_models(zoo)
    assert table(models) in page
    assert "5 models on `micro-cnn-32`: 1 clean, 2 poisoned, of whose attacks 0 take, 2 cleaned." in page
    lines = table(models).splitlines()
    assert len({len(line) for line in lines}) == 1, "aligned"
    assert len(lines) == 2 + len(models)
    assert "| 2 of 128 " in lines[3]


def test_what_is_no_zoo_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^zoo: .* is not a zoo: it has no zoo\.json$"):
        zoo_models(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema 2, this version reads 1"),
        ({"models": {}}, "models must be a list"),
        ({"models": [{"name": "a"}]}, r"zoo\.json: models\.0\.path: Field required"),
    ],
)
def test_a_damaged_index_is_refused(zoo: Path, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    write_json(tmp_path / "zoo.json", {**read_json(zoo / "zoo.json"), **change})
    with pytest.raises(ValueError, match=message):
        zoo_models(tmp_path)


@pytest.mark.parametrize("path", ["/etc", "models/../../elsewhere", ".."])
def test_a_path_out_of_the_zoo_is_refused(zoo: Path, tmp_path: Path, path: str) -> None:
    found = read_json(zoo / "zoo.json")
    found["models"][1]["path"] = path
    write_json(tmp_path / "zoo.json", found)
    with pytest.raises(ValueError, match=r"the path of 'patch-seed0' leads out of the zoo"):
        zoo_models(tmp_path)


def test_other_weights_than_those_of_the_index_are_refused(copied: Path) -> None:
    shutil.rmtree(copied / "models" / "patch-seed0")
    shutil.copytree(copied / "models" / "control-seed0", copied / "models" / "patch-seed0")
    with pytest.raises(ValueError, match=r"patch-seed0 holds other weights .* than zoo\.json says"):
        by_name(copied)["patch-seed0"].model()


def test_an_experiment_that_keeps_nothing_is_refused(tmp_path: Path) -> None:
    data = plain(stages=[{**plain()["stages"][0], "keep": "none"}])
    with pytest.raises(ValueError, match=r"^stages: none keeps a model"):
        zoo(parse(data), tmp_path / "z")
    assert not (tmp_path / "z").exists()


def test_a_refused_experiment_leaves_nothing(tmp_path: Path) -> None:
    data = plain()
    data["attacks"]["patch"]["target"] = "zeppelin"
    with pytest.raises(ValueError, match="zeppelin"):
        zoo(parse(data), tmp_path / "z")
    assert not (tmp_path / "z").exists()


def test_a_zoo_in_use_is_refused(copied: Path) -> None:
    with exclusive(copied), pytest.raises(ValueError, match="is in use by another run"):
        zoo(parse(plain()), copied)
