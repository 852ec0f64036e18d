"""The sweeps that come with Bezoar: values only, each over a recipe, selected on one split and reported on another."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bezoar import recipes
from bezoar.cli.sweep import read_sweep
from bezoar.core.frame import Frame
from bezoar.experiment.run import check
from bezoar.experiment.sweep_check import merged
from bezoar.experiment.sweep_run import every_work


@pytest.mark.parametrize("name", recipes.sweeps())
def test_each_says_what_it_varies_and_its_command(name: str) -> None:
    text, plain = recipes.sweep_text(name), recipes.read_sweep(name)
    assert plain["name"] == name
    assert plain["about"]
    assert plain["experiment"] in recipes.names()
    assert name not in recipes.names(), "one name, one thing"
    assert re.search(rf"^#   (BEZOAR_DATA=folder )?bezoar sweep {name}\b", text, re.MULTILINE)


@pytest.mark.parametrize("name", [name for name in recipes.sweeps() if "BEZOAR_DATA" not in recipes.sweep_text(name)])
def test_those_on_scenes_can_be_run(name: str, tmp_path: Path) -> None:
    sweep = read_sweep(name, (), None)
    assert sweep.base.select_on != sweep.base.report_on
    assert "attack" not in sweep.choose
    assert "left" not in sweep.choose, "nobody chooses how much poison is left"
    for experiment in merged(every_work(sweep, tmp_path)):
        assert check(experiment) == Frame(32)


def test_sweeps_over_one_recipe_share_its_victims(tmp_path: Path) -> None:
    """In one folder a victim is trained once, whatever is varied of its cleaning."""
    victims = {
        work.jobs[0].folder.name
        for name in recipes.sweeps()
        if recipes.read_sweep(name)["experiment"] == "objectives-cleaning-scenes" and name != "triggers-scenes"
        for work in every_work(read_sweep(name, (), (10,)), tmp_path)
        if work.stage.start is None
    }
    assert len(victims) == 2
