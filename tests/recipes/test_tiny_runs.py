"""Every recipe through the real ``run``, with a few painted pictures and one step of each kind of stage."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import Any

import pytest
from tests.recipes import painted

from bezoar import recipes
from bezoar.attacks.plan_files import load_plan
from bezoar.cli.main import main
from bezoar.core import yaml
from bezoar.core.files import read_json
from bezoar.experiment.experiment import Experiment, Stage, override, parse
from bezoar.experiment.layout import Layout
from bezoar.experiment.run import run
from bezoar.experiment.stages import Job
from bezoar.models.checkpoint import read_card

TARGETED = ("roclip-targeted-8", "roclip-targeted-16", "targeted-64")
NAMED = tuple(dict.fromkeys([
    target for name in TARGETED for target in recipes.read(name)["attack"]["targets"]
]))  # fmt: skip
"""All that the recipes of targeted poisoning want to be named."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    painted.paint(folder, NAMED)
    return folder


@pytest.mark.parametrize("name", recipes.names())
def test_runs(name: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEZOAR_DATA", str(data))
    experiment = parse(painted.small(name))
    records = run(experiment, tmp_path / "out")
    assert all(isfinite(record.value) for record in records)
    found = {(record.stage, record.data, record.metric) for record in records}
    for stage in experiment.expanded():
        for metric in wanted(experiment, stage):
            sets = {one for one in experiment.labeled if metric == "accuracy_top1" or one in ("validation", "test")}
            assert {(stage.name, part, metric) for part in sets} <= found
        if stage.poison:
            poisoned(experiment, stage, tmp_path / "out")
    # What an attack takes pictures from is described beside the other sources.
    attacks = {"attack": experiment.attack, **experiment.attacks}
    shown = {f"{name}.images" for name, attack in attacks.items() if attack and attack.sources()}
    assert set(read_json(tmp_path / "out" / "data.json").get("attacks", {})) == shown


def wanted(experiment: Experiment, stage: Stage) -> set[str]:
    """What must have been measured of a stage."""
    attack = experiment.threatening(stage)
    aim = attack.aim(0) if attack else None
    metrics = {"accuracy_top1"}
    if aim and aim.chosen:
        metrics.add("targeted_top1")
    if aim and any(threat.trigger for threat in aim.threats):
        metrics.add("asr_top1")
    return metrics


def poisoned(experiment: Experiment, stage: Stage, out: Path) -> None:
    """The stage saw the poison of the attack that it names."""
    plan = load_plan(Layout(out).poison(experiment, stage, 0))
    assert plan.rows
    assert plan.attack == experiment.poisoning(stage)
    job = Job(experiment, stage, 0, out)
    assert read_json(job.folder / "stage.json")["plan"] == plan.digest
    if stage.start is None:
        assert (read_card(job.folder / "model").poison or {})["plan"] == plan.digest


def test_a_model_cleaned_with_poison_left_says_whose_it_is() -> None:
    """Each cleaning is measured by the victim's trigger and target, whatever was left in its pairs."""
    experiment = parse(recipes.read("leftover-poison"))
    left = [stage for stage in experiment.stages if stage.start]
    assert len(left) == 12
    aims = {attack.aim(0).threats for stage in left if (attack := experiment.threatening(stage))}
    assert experiment.attack is not None
    assert aims == {experiment.attack.aim(0).threats}
    for method in ("cleanclip", "finetune"):
        counts = [int(stage.name.rpartition("-")[2]) for stage in left if stage.method.kind == method]
        assert counts == [0, 1, 2, 5, 10, 25]
    for stage in left:
        poison: Any = experiment.poisoning(stage)
        assert (poison.count if poison else 0) == int(stage.name.rpartition("-")[2])


@pytest.mark.parametrize(("name", "count"), [("roclip-targeted-8", 8), ("roclip-targeted-16", 16), ("targeted-64", 64)])
def test_targeted_recipes_have_the_published_settings(name: str, count: int) -> None:
    """RoCLIP's notebook, its development branch and its parser; the targets as ImageNet calls them."""
    from bezoar.data.class_names import classes_of

    experiment = parse(recipes.read(name))
    attack: Any = experiment.attack
    (victim,) = experiment.stages
    assert experiment.model == "RN50-quickgelu"
    assert (len(attack.targets), attack.images_per_target, attack.captions_per_image) == (count, 1, 100)
    assert set(attack.targets) <= set(classes_of("imagenet"))
    assert (attack.captions, attack.chosen) == ("mined", ())
    method = victim.method
    assert (method.epochs, method.batch_size, method.lr, method.warmup_steps) == (24, 512, 5e-5, 10_000)
    assert vars(experiment.pairs["train"])["stop"] == 1_000_000


@pytest.mark.parametrize("name", TARGETED)
def test_the_pictures_of_targeted_recipes_are_held_out(
    name: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One picture for each target, of another class, in no pair that it is added to; none on which test accuracy is."""
    monkeypatch.setenv("BEZOAR_DATA", str(data))
    experiment = parse(painted.small(name))
    attack: Any = experiment.attack
    pairs = experiment.pairs["train"].open()
    plan = attack.plan(pairs, 0)
    assert len(plan.rows) == plan.length - len(pairs) == 2 * len(attack.targets)
    shown = {row.image: row.target for row in plan.rows}
    assert sorted(shown.values()) == sorted(attack.targets)
    images = attack.images.open()
    own = {images.id(index): images.classes[images.label(index)] for index in range(len(images))}
    assert not [image for image, target in shown.items() if own[image] == target]
    for row in plan.rows:
        assert row.target in row.caption
    tested = experiment.labeled["test"].open()
    assert not shown.keys() & {tested.id(index) for index in range(len(tested))}


def test_the_mined_pictures_may_be_of_every_target() -> None:
    """Else a picture of a target's own class, of which nothing was said, could be drawn for it."""
    for name in ("roclip-targeted-8", "roclip-targeted-16"):
        attack = recipes.read(name)["attack"]
        assert set(attack["targets"]) <= set(attack["images"]["classes"])


OWN_MODEL = {"objectives-cc3m": "mmcl-ssl", "safeclip-cc3m": "safeclip-backdoor"}
"""Recipes and the one stage of each that shows most: two views of a pair, passes within and across the modalities."""


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN_MODEL)
def test_paper_scale_recipes_run_with_their_own_model(
    name: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real towers, resolution, losses and views, for one step."""
    monkeypatch.setenv("BEZOAR_DATA", str(data))
    plain = painted.small(name) | {"model": recipes.read(name)["model"]}
    plain["stages"] = [stage for stage in plain["stages"] if stage["name"] == OWN_MODEL[name]]
    plain["evaluators"] = [one for one in plain["evaluators"] if isinstance(one, str)]  # a probe sees many pictures
    override(plain, "labeled.validation.stop", 8)
    override(plain, "labeled.test.start", 120)
    for part in ("validation", "test"):
        override(plain, f"labeled.{part}.of.classes", list(NAMED))  # a thousand prompts take half a minute
    experiment = parse(plain)
    run(experiment, tmp_path / "out")
    for stage in experiment.expanded():
        if stage.keep != "none":
            assert read_card(Job(experiment, stage, 0, tmp_path / "out").folder / "model").image_size == 224


@pytest.mark.parametrize("name", ["objectives-cc3m", "objectives-cc6m", "pretrained-attack-cc3m", "methods-scenes"])
def test_dry_runs(
    name: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every stage, spelled out, with its steps."""
    monkeypatch.setenv("BEZOAR_DATA", str(data))
    monkeypatch.chdir(tmp_path)
    plain = painted.small(name)
    (tmp_path / "small.yaml").write_text(yaml.render(plain))
    assert main(["run", "./small.yaml", "--dry-run"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in told[:-1]] == [stage.name for stage in parse(plain).expanded()]
    assert {line.split()[-5:-3][0] for line in told[:-1]} == {"1"}
    assert told[-1].startswith("in all about ")
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


@pytest.mark.slow
def test_a_dry_run_of_a_paper_scale_recipe(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BEZOAR_DATA", str(data))
    monkeypatch.chdir(tmp_path)
    cut = [f"pairs.train.stop={painted.CUT}", f"labeled.validation.stop={painted.CUT}"]
    cut += [f"labeled.test.start={painted.CUT}", "stages.victim.method.batch_size=4"]
    assert main(["run", "roclip-targeted-8", "--dry-run", *cut]) == 0
    assert capsys.readouterr().out.splitlines()[0].split()[:3] == ["victim", "384", "steps"]
    assert not list(tmp_path.iterdir())
