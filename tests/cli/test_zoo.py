"""``bezoar zoo``: from an experiment to model folders and the truth about them; and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import zoo as tiny_zoo
from tests.cli.conftest import Bezoar

from bezoar import recipes, zoo_models
from bezoar.attacks.families import ATTACKS, CAPTION_TRIGGERS, TRIGGERS
from bezoar.core import yaml
from bezoar.experiment.experiment import parse


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A zoo of two models."""
    path = tmp_path / "own.yaml"
    path.write_text(yaml.render(tiny_zoo.plain(stages=tiny_zoo.plain()["stages"][:2])))
    return path


def test_from_a_file_to_a_zoo(bezoar: Bezoar, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "zoo"
    words = ("zoo", "pairs.train.count=64", "--experiment", file, "--out", out, "--jobs", 1, "--seeds", 3)
    first = bezoar(*words)
    assert first.code == 0, first.err
    models = zoo_models(out)
    assert [(model.name, model.poisoned) for model in models] == [("control-seed3", False), ("patch-seed3", True)]
    assert models[1].poison is not None
    assert models[1].poison.total == 64
    *lines, zoo, report = first.out.splitlines()
    assert "\n".join(lines) in (out / "README.md").read_text("utf-8")
    assert (zoo, report) == (f"zoo     {out}", f"report  {out / 'run' / 'report.html'}")
    again = bezoar(*words)
    assert (again.code, again.out) == (0, first.out)


def test_a_dry_run_writes_nothing(bezoar: Bezoar, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = bezoar("zoo", "--experiment", file, "--dry-run")
    assert found.code == 0, found.err
    assert [line.split()[0] for line in found.out.splitlines()] == ["control", "patch", "in"]
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--experiment", "zooo"), "recipe: 'zooo' is neither a recipe nor a file; did you mean 'zoo'?"),
        (("model",), "'model': a change reads path.to.key=value"),
        (("stages.patch.methd.lr=1",), "stages.patch.methd: no such key; did you mean 'method'?"),
        (("model=micro-cnn-23",), "micro-cnn-23"),
        (("--jobs", 0), "jobs: must be at least 1, got 0"),
    ],
)
def test_wrong_use_is_told_in_one_line(bezoar: Bezoar, tmp_path: Path, words: tuple[object, ...], message: str) -> None:
    found = bezoar("zoo", *words, "--out", tmp_path / "zoo")
    assert (found.code, found.out) == (2, "")
    assert message in found.err
    assert len(found.err.splitlines()) == 1
    assert not (tmp_path / "zoo").exists()


def test_a_file_in_the_place_of_the_folder(bezoar: Bezoar, file: Path) -> None:
    found = bezoar("zoo", "--experiment", file, "--out", file)
    assert found.code == 2
    assert found.err.startswith(f"bezoar: out: cannot write to {file}")


def test_the_recipe_has_every_attack_and_every_trigger() -> None:
    """All that poison pairs; not those of released code, which are the same ideas in other bytes."""
    text = recipes.text("zoo")
    kinds = {*ATTACKS.members, *TRIGGERS.members, *CAPTION_TRIGGERS.members} - {"planned", "labels"}
    spelled = text + " kind: phrase"  # the default words of a dual key and of a caption backdoor
    assert [kind for kind in kinds if not kind.startswith("legacy_") and f"kind: {kind}" not in spelled] == []


def test_the_recipe_has_every_role() -> None:
    experiment = parse(recipes.read("zoo"))
    poisoned = {stage.poison for stage in experiment.stages if stage.poison}
    assert poisoned == set(experiment.attacks)
    cleaned = {(stage.start, stage.method.kind) for stage in experiment.stages if stage.start}
    assert {start for start, _ in cleaned} >= {"control", "patch", "sinusoidal"}
    assert {kind for _, kind in cleaned} == {"finetune", "cleanclip"}
    assert all((start, kind) in cleaned for start, _ in cleaned for kind in ("finetune", "cleanclip"))
    assert {stage.threat for stage in experiment.stages if not stage.poison and not stage.start} == {"patch"}
