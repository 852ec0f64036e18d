"""Plots: what is drawn, read from the figures' own values."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from tests.report.handmade import CLEANINGS, TRAINED, WHOLE, make_run, seeded

from bezoar.report import plots
from bezoar.report.reading import read_run


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that were turned into text."""
    found: list[Any] = []

    def keep(figure: Any, name: str, label: str) -> str:
        found.append(figure)
        return f"{name}: {label}"

    monkeypatch.setattr(plots, "inline", keep)
    return found


def words(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("text")]


def test_the_plane_shows_every_path_and_end(tmp_path: Path, figures: list[Any]) -> None:
    plots.plane(read_run(make_run(tmp_path, WHOLE)))
    lines = {tuple(map(tuple, line.get_xydata().round(6).tolist())) for line in figures[0].axes[0].lines}
    victim = (61.0, 96.0)
    assert {
        ((59.0, 91.0), (57.0, 85.0)),
        ((61.0, 93.0), (60.0, 72.0)),
        ((59.0, 8.0), (51.0, 1.0)),
        (victim, (59.0, 91.0)),
        (victim, (61.0, 93.0)),
        (victim, (59.0, 8.0)),
        (victim,),
        ((63.0, 3.0),),
        ((57.0, 85.0),),
        ((59.0, 8.0),),
    } <= lines


def test_intervals_stand_at_last_epochs_only(tmp_path: Path, figures: list[Any]) -> None:
    plots.plane(read_run(make_run(tmp_path, WHOLE)))
    axes = figures[0].axes[0]
    centers = {tuple(segment.mean(0).round(0)) for bars in axes.collections for segment in bars.get_segments()}
    assert len(axes.collections) == 2 * 5
    assert {round(x) for x, _ in centers} == {61, 63, 57, 60, 51}


def test_the_goal_is_marked_from_the_victim(tmp_path: Path, figures: list[Any]) -> None:
    run = read_run(make_run(tmp_path, WHOLE))
    plots.plane(run)
    box = figures[0].axes[0].patches[0].get_bbox()
    assert (box.x0, box.y1) == pytest.approx((58.0, 10.0))


def test_the_legend_names_each_thing_once(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, {**WHOLE, **seeded(WHOLE, 1, 0.01)}, seeds=[0, 1]))
    found = words(plots.plane(run))
    for name in ("victim", "control", "finetune", "cleanclip", "chosen on validation"):
        assert found.count(name) == 1


def test_several_victims_have_colors_of_their_own(tmp_path: Path) -> None:
    other = {**TRAINED[0], "name": "other"}
    run = read_run(make_run(tmp_path, {**WHOLE, ("other", 0, 1): (0.5, 0.5, 0.5, 0.5)}, (*TRAINED, other)))
    assert list(plots.colors(run)) == ["victim", "other"]
    assert "other" in words(plots.plane(run))


def test_noise_stays_small(tmp_path: Path, figures: list[Any]) -> None:
    plots.plane(read_run(make_run(tmp_path, {("victim", 0, 1): (0.0, 0.9, 0.0, 0.9)}, TRAINED)))
    low, high = figures[0].axes[0].get_xlim()
    assert low >= -1
    assert high >= 5


@pytest.mark.parametrize("attacked", [True, False])
def test_without_an_attack_success_there_is_no_plane(tmp_path: Path, attacked: bool) -> None:
    clean = {key: (values[0], None, values[2], None) for key, values in WHOLE.items()}
    assert plots.plane(read_run(make_run(tmp_path, clean if attacked else {}))) == ""


def test_a_run_without_victims_shows_its_stages(tmp_path: Path) -> None:
    stages = ({**CLEANINGS[0], "start": None},)
    measured = {key: values for key, values in WHOLE.items() if key[0] == "finetune"}
    assert "finetune" in words(plots.plane(read_run(make_run(tmp_path, measured, stages))))


def test_plots_are_the_same_every_time(tmp_path: Path) -> None:
    run, again = (read_run(make_run(tmp_path / name, WHOLE)) for name in "ab")
    assert plots.plane(run) == plots.plane(again)
    assert plots.losses(run, run.groups["cleanclip"]) == plots.losses(again, again.groups["cleanclip"])


def line(step: int, **changes: Any) -> dict[str, Any]:
    return {"stage": "victim", "seed": 0, "step": step, "pass": "all", "terms": {"a": 1.0 * step}, **changes}


def test_loss_curves_by_stage_seed_and_term() -> None:
    lines = [line(9), line(19), line(9, seed=1), line(9, stage="control", terms={"a": 3.0, "b": 4.0})]
    assert plots.loss_curves(lines) == {
        ("victim", 0, "a"): ([9, 19], [9, 19]),
        ("victim", 1, "a"): ([9], [9]),
        ("control", 0, "a"): ([9], [3]),
        ("control", 0, "b"): ([9], [4]),
    }


def test_terms_of_several_passes_are_told_apart() -> None:
    curves = plots.loss_curves([line(9), line(19, **{"pass": "safe"})])
    assert list(curves) == [("victim", 0, "all: a"), ("victim", 0, "safe: a")]


@pytest.mark.parametrize(("count", "kept"), [(1, 1), (160, 160), (161, 81), (1600, 160), (1601, 146)])
def test_long_logs_are_averaged_down(count: int, kept: int) -> None:
    ((steps, values),) = plots.loss_curves([line(step) for step in range(count)]).values()
    assert len(steps) == len(values) == kept
    assert values == pytest.approx(steps)
    width = -(-count // kept)
    assert sum(steps[:-1]) * width + sum(range(width * (kept - 1), count)) == pytest.approx(sum(range(count)))


def test_losses_of_a_stage(tmp_path: Path, figures: list[Any]) -> None:
    run = read_run(make_run(tmp_path, {**WHOLE, **seeded(WHOLE, 1)}, seeds=[0, 1]))
    assert plots.losses(run, run.groups["cleanclip"]) == "losses3: Loss of cleanclip over its steps"
    axes = figures[0].axes[0]
    assert len(axes.lines) == 4
    assert axes.lines[0].get_xydata().tolist() == [[9.0, 5.0], [19.0, 2.5]]
    assert axes.get_legend_handles_labels()[1] == ["contrastive"]


def test_a_stage_without_steps_has_no_losses(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, {}))
    assert plots.losses(run, run.groups["victim"]) == ""


def test_colors_differ() -> None:
    assert len(set(plots.COLORS)) == len(plots.COLORS)
    assert all(re.fullmatch("#[0-9a-f]{6}", color) for color in plots.COLORS)
