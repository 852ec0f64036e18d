"""What differs between two settings, and when a user is told that a folder holds the work of others."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from tests import tiny

from bezoar.core import yaml
from bezoar.core.files import write_json, write_text
from bezoar.core.settings import dump
from bezoar.experiment.changes import differing, warn_of_others
from bezoar.experiment.experiment import override, parse
from bezoar.experiment.layout import Layout
from bezoar.experiment.stages import DONE, Job


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 2}}, []),
        ({"a": 1, "b": {"c": 2}}, {"a": 2, "b": {"c": 3}}, ["a", "b.c"]),
        ({"a": 1}, {"b": 1}, ["a", "b"]),
        ({"a": None}, {"a": {"b": 1}}, ["a"]),
        ({"seeds": [0, 1]}, {"seeds": [0]}, ["seeds"]),
        ({"s": [{"name": "x", "lr": 1}]}, {"s": [{"name": "y", "lr": 1}, {"name": "x", "lr": 2}]}, ["s.x.lr", "s.y"]),
        ({"e": [{"kind": "x"}]}, {"e": [{"kind": "y"}]}, ["e"]),
        ([], {}, ["everything"]),
    ],
)
def test_paths_that_differ(before: Any, now: Any, expected: list[str]) -> None:
    assert list(differing(before, now)) == expected


def finished(root: Path, **changes: Any) -> None:
    """A folder as a run of these settings leaves it, as far as it is looked at."""
    experiment = parse(plain(**changes))
    for stage in experiment.expanded():
        write_json(Job(experiment, stage, 0, root).folder / DONE, {})
    write_text(root / "experiment.yaml", yaml.render(dump(experiment)))


def plain(**changes: Any) -> dict[str, Any]:
    found = tiny.experiment()
    for path, value in changes.items():
        override(found, path.replace("__", "."), value)
    return found


def told(root: Path, caplog: pytest.LogCaptureFixture, **changes: Any) -> list[str]:
    experiment = parse(plain(**changes))
    jobs = [Job(experiment, stage, seed, root) for seed in experiment.seeds for stage in experiment.expanded()]
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        warn_of_others(experiment, Layout(root), jobs)
    return [record.getMessage() for record in caplog.records]


def test_nothing_is_said_of_what_is_new_or_the_same_or_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert not told(tmp_path, caplog)
    finished(tmp_path)
    assert not told(tmp_path, caplog)
    assert not told(tmp_path, caplog, seeds=[0, 1], about="More seeds")


def test_other_settings_are_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    finished(tmp_path)
    change = {"stages__cleanclip__method__lr": 0.01}
    (line,) = told(tmp_path, caplog, **change)
    assert line.startswith(f"out: {tmp_path}: its last run had other settings (stages.cleanclip.method.lr); ")
    assert "out of its records" in line
    (line,) = told(tmp_path, caplog, **change, name="other", model="micro-vit-32", seeds=[3])
    assert "(name, model, stages.cleanclip.method.lr and 1 more)" in line
    finished(tmp_path, **change)
    assert not told(tmp_path, caplog, **change), "the older work is known by now"


def test_what_begins_anew_by_itself_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here: another version; the same with other data, another device, other word lists."""
    import bezoar.experiment.layout

    finished(tmp_path)
    monkeypatch.setattr(bezoar.experiment.layout, "REVISION", -1)
    (line,) = told(tmp_path, caplog)
    assert line.startswith(f"out: {tmp_path}: begins anew: victim; finetune; cleanclip; the settings are those of ")


def test_a_damaged_file_is_other_settings(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    finished(tmp_path)
    (tmp_path / "stages" / "older-seed0-01234567").mkdir()
    (tmp_path / "experiment.yaml").write_text("{")
    assert len(told(tmp_path, caplog)) == 1
