"""Recipes: each is a whole experiment of values only, and says what it shows."""

from __future__ import annotations

import re

import pytest

from bezoar import recipes
from bezoar.core import yaml
from bezoar.core.settings import dump
from bezoar.experiment.experiment import parse
from bezoar.experiment.run import check


def test_names() -> None:
    assert "quickstart" in recipes.names()
    assert recipes.names() == tuple(sorted(recipes.names()))


@pytest.mark.parametrize("name", recipes.names())
def test_each_is_an_experiment_that_can_be_run(name: str) -> None:
    experiment = parse(recipes.read(name), name)
    assert experiment.name == name
    assert experiment.about
    assert experiment.select_on != experiment.report_on, "settings are chosen on one split and reported on another"
    assert check(experiment) == 32
    assert parse(yaml.parse(yaml.render(dump(experiment)))) == experiment


@pytest.mark.parametrize("name", recipes.names())
def test_each_says_its_command_and_its_cost(name: str) -> None:
    text = recipes.text(name)
    command = "bezoar quickstart" if name == "quickstart" else f"bezoar run {name}"
    assert f"#   {command}" in text
    assert re.search(r"^# Cost: .*\bminutes\b.*\bMB of disk", text, re.MULTILINE)
    assert "!" not in "".join(line for line in text.splitlines() if not line.startswith("#")), "values only, no tags"


def test_poison_and_cleaning_keep_apart() -> None:
    """The clean pairs are another split than the poisoned ones, and only the victim is poisoned."""
    for name in recipes.names():
        experiment = parse(recipes.read(name))
        for stage in experiment.stages:
            assert stage.poison == (stage.name == "victim")
            if stage.start:
                assert dump(experiment.pairs[stage.pairs])["split"] == "clean"


def test_an_unknown_name() -> None:
    with pytest.raises(
        ValueError, match="recipe: 'quikstart' is neither a recipe nor a file; did you mean 'quickstart'"
    ):
        recipes.read("quikstart")
