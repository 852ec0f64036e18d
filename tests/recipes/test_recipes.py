"""Recipes: each is a whole experiment of values only, and says what it shows."""

from __future__ import annotations

import os
import re

import pytest

from bezoar import recipes
from bezoar.attacks import Backdoor
from bezoar.attacks.patterns import Noise
from bezoar.attacks.places import Random
from bezoar.attacks.triggers import Patch
from bezoar.cleaning import CleanCLIP, Finetune
from bezoar.core import yaml
from bezoar.core.settings import dump
from bezoar.experiment.experiment import parse
from bezoar.experiment.run import check
from bezoar.pretraining import ClipPretraining


def test_names() -> None:
    assert "quickstart" in recipes.names()
    assert recipes.names() == tuple(sorted(recipes.names()))


BUILT_IN = tuple(name for name in recipes.names() if "$BEZOAR_DATA" not in recipes.text(name))
"""Those that need no files."""


@pytest.mark.parametrize("name", recipes.names())
def test_each_is_an_experiment(name: str) -> None:
    experiment = parse(recipes.read(name), name)
    assert experiment.name == name
    assert experiment.about
    assert experiment.select_on != experiment.report_on, "settings are chosen on one split and reported on another"
    assert parse(yaml.parse(yaml.render(dump(experiment)))) == experiment


@pytest.mark.parametrize("name", BUILT_IN)
def test_those_on_scenes_can_be_run(name: str) -> None:
    assert check(parse(recipes.read(name), name)) == 32


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "size"), [("cifar10", 32), ("cifar10-attacks", 32), ("tiny-imagenet", 64), ("flickr8k", 64)]
)
def test_those_on_real_images_can_be_run_where_the_images_are(name: str, size: int) -> None:
    if "BEZOAR_DATA" not in os.environ:
        pytest.skip("BEZOAR_DATA is not set: no real images")
    assert check(parse(recipes.read(name), name)) == size


@pytest.mark.parametrize("name", sorted(set(recipes.names()) - set(BUILT_IN)))
def test_without_the_images_the_missing_variable_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BEZOAR_DATA", raising=False)
    with pytest.raises(ValueError, match=r"^path: \$BEZOAR_DATA/.*: \$BEZOAR_DATA is not set in the environment"):
        check(parse(recipes.read(name), name))


@pytest.mark.parametrize("name", recipes.names())
def test_each_says_its_command_and_its_cost(name: str) -> None:
    text = recipes.text(name)
    command = "bezoar quickstart" if name == "quickstart" else f"bezoar run {name}"
    assert re.search(rf"^#   (BEZOAR_DATA=folder )?{command}", text, re.MULTILINE)
    assert re.search(r"^# Cost: .*\b(minutes\b.*\bMB of disk|GPUs)", text, re.MULTILINE)
    assert "!" not in "".join(line for line in text.splitlines() if not line.startswith("#")), "values only, no tags"


@pytest.mark.parametrize("name", recipes.names())
def test_poison_and_cleaning_keep_apart(name: str) -> None:
    """Cleaning has pairs of its own, another split or a part without the poison; a control is never poisoned."""
    experiment = parse(recipes.read(name))
    for stage in experiment.stages:
        if stage.start:
            clean = dump(experiment.pairs[stage.pairs])
            assert clean.get("split") == "clean" or clean["kind"] == "part"
            assert not stage.poison or name == "leftover-poison"
        else:
            assert bool(stage.poison) == (stage.name != "control")


@pytest.mark.parametrize("name", ["cifar10", "cifar10-attacks", "tiny-imagenet"])
def test_template_captions_are_said_to_be_what_they_are(name: str) -> None:
    experiment = parse(recipes.read(name))
    for source in experiment.pairs.values():
        assert any("closed-set supervision" in note for note in source.notes())


IN_TWO = tuple(name for name in recipes.names() if re.search("cifar10/|imagenet/", recipes.text(name)))
"""Those whose labeled pictures are cut in two."""


@pytest.mark.parametrize("name", IN_TWO)
def test_validation_and_test_are_parts_of_one_shuffle(name: str) -> None:
    labeled = {key: dump(source) for key, source in parse(recipes.read(name)).labeled.items()}
    assert labeled["validation"]["of"] == labeled["test"]["of"]
    assert labeled["validation"]["shuffle"] == labeled["test"]["shuffle"] is not None
    assert labeled["validation"]["stop"] == labeled["test"]["start"]


def test_the_paper_scale_recipe_has_the_published_settings() -> None:
    """CleanCLIP's released README and parser; the fact sheet's section 2."""
    experiment = parse(recipes.read("cleanclip-cc3m"))
    stages = {stage.name: stage for stage in experiment.stages}
    victim, cleaned = stages["victim"].method, stages["cleanclip"].method
    assert experiment.model == "RN50"
    assert (victim.epochs, victim.batch_size, victim.lr, victim.warmup_steps) == (64, 128, 5e-4, 10_000)
    assert (cleaned.epochs, cleaned.batch_size, cleaned.lr, cleaned.warmup_steps) == (10, 64, 1e-5, 50)
    assert stages["cleanclip"].method == CleanCLIP()
    assert stages["finetune"].method == Finetune()
    assert victim == ClipPretraining()
    assert isinstance(experiment.attack, Backdoor)
    assert (experiment.attack.count, experiment.attack.target) == (1500, "banana")
    assert experiment.attack.trigger == Patch(size=16, reference=224, pattern=Noise(), place=Random())
    assert dump(experiment.pairs["clean"])["stop"] == 100_000


def test_an_unknown_name() -> None:
    with pytest.raises(
        ValueError, match="recipe: 'quikstart' is neither a recipe nor a file; did you mean 'quickstart'"
    ):
        recipes.read("quikstart")
