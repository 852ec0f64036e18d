"""Stages as values: grids are spelt out as the experiment spells them."""

from __future__ import annotations

from pathlib import Path

from tests.report.handmade import CLEANINGS, TRAINED, experiment, make_run

from bezoar.experiment.experiment import parse
from bezoar.report.reading import read_run


def test_grids_are_named_as_the_experiment_names_them(tmp_path: Path) -> None:
    grid = {"lr": [1e-5, 0.001, 1], "schedule": ["cosine", "constant"], "steps": [10, 20], "joint_views": [True]}
    stages = (*TRAINED, {**CLEANINGS[1], "grid": grid})
    run = read_run(make_run(tmp_path, {}, stages))
    expected = {stage.name: stage.method for stage in parse(experiment(stages)).expanded()}
    found = {name: at for group in run.groups.values() for name, at in group.points.items()}
    assert list(found) == list(expected)
    for name, at in found.items():
        assert all(getattr(expected[name], field) == value for field, value in at.items())
