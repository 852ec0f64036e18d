"""Plots: what is drawn, read from the figures' own values."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from tests.report.handmade import BEST, CLEANINGS, EARLY, TRAINED, WHOLE, make_run, seeded

from bezoar.report import plots
from bezoar.report.fields import labeled
from bezoar.report.looks import COLORS, colors, looks
from bezoar.report.reading import read_run
from bezoar.report.runs import Run


def axes_of(run: Run) -> Any:
    plot = plots.draw([run])
    assert plot
    return plot.figure.axes[0]


def said(run: Run) -> list[str]:
    plot = plots.draw([run])
    return [spot.text.replace("\u00a0", " ") for spot in plot.spots] if plot else []


def words(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("text")]


def test_the_plane_shows_every_path_and_end(tmp_path: Path) -> None:
    axes = axes_of(read_run(make_run(tmp_path, WHOLE)))
    lines = {tuple(map(tuple, line.get_xydata().round(6).tolist())) for line in axes.lines}
    victim = (61.0, 96.0)
    assert {
        ((59.0, 91.0), (57.0, 85.0)),
        ((61.0, 93.0), (60.0, 72.0)),
        ((59.0, 8.0), (51.0, 1.0)),
        (victim, (59.0, 91.0)),
        (victim, (59.0, 8.0)),
        (victim,),
        ((63.0, 3.0),),
        ((57.0, 85.0),),
        ((59.0, 8.0),),
    } <= lines
    assert (victim, (61.0, 93.0)) not in lines  # what was not chosen is pale and has no way from the victim


def test_ways_begin_at_the_model_that_the_victim_keeps(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, EARLY, BEST))
    lines = {tuple(map(tuple, line.get_xydata().round(6).tolist())) for line in axes_of(run).lines}
    kept, last = (60.0, 51.0), (61.0, 96.0)
    assert {(kept,), (kept, (59.0, 91.0)), (kept, (61.0, 93.0))} <= lines
    assert not any(last in line for line in lines)
    assert any("victim" in text and "epoch 1" in text and "kept: best on validation" in text for text in said(run))


def test_intervals_stand_at_last_epochs_only(tmp_path: Path) -> None:
    axes = axes_of(read_run(make_run(tmp_path, WHOLE)))
    centers = {tuple(segment.mean(0).round(0)) for bars in axes.collections for segment in bars.get_segments()}
    assert len(axes.collections) == 2 * 5
    assert {round(x) for x, _ in centers} == {61, 63, 57, 60, 51}


def test_the_goal_is_marked_from_the_victim(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, WHOLE))
    box = axes_of(run).patches[0].get_bbox()
    assert (box.x0, box.y1) == pytest.approx((58.0, 10.0))


def test_the_legend_names_each_thing_once(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, {**WHOLE, **seeded(WHOLE, 1, 0.01)}, seeds=[0, 1]))
    found = words(plots.plane(run))
    for name in ("victim", "control", "finetune", "cleanclip", "chosen on validation"):
        assert found.count(name) == 1


def test_several_victims_have_colors_of_their_own(tmp_path: Path) -> None:
    other = {**TRAINED[0], "name": "other"}
    run = read_run(make_run(tmp_path, {**WHOLE, ("other", 0, 1): (0.5, 0.5, 0.5, 0.5)}, (*TRAINED, other)))
    assert list(colors(run)) == ["victim", "other"]
    assert "other" in words(plots.plane(run))


def test_noise_stays_small(tmp_path: Path) -> None:
    low, high = axes_of(read_run(make_run(tmp_path, {("victim", 0, 1): (0.0, 0.9, 0.0, 0.9)}, TRAINED))).get_xlim()
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


def test_every_point_says_what_it_is(tmp_path: Path) -> None:
    found = said(read_run(make_run(tmp_path, WHOLE)))
    assert len(found) == 2 + 6  # ends of what was trained, every epoch of the cleanings
    assert (
        "cleanclip, seed 0\nlr 0.001, epoch 1\nclean accuracy 59.0 % (55.9–62.0, n 1,000)\n"
        "attack success 8.0 % (6.5–9.8, n 1,000)\nchosen on validation"
    ) in found
    assert any(text.startswith("finetune, seed 0\nlr 1e-05, epoch 2\n") for text in found)  # not in its grid


def test_points_of_one_line_stand_together(tmp_path: Path) -> None:
    plot = plots.draw([read_run(make_run(tmp_path, WHOLE))])
    assert plot
    assert [spot.path for spot in plot.spots] == [1, 1, 2, 2, 3, 3, 4, 5]
    thin = plots.draw([read_run(tmp_path)], every=False)
    assert thin
    assert len(thin.spots) == 2 + 1 + 1 + 2  # ends, and where it is another point, the chosen one


def test_a_mean_over_seeds_stands_among_its_seeds(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, {**WHOLE, **seeded(WHOLE, 1, 0.02)}, seeds=[0, 1]))
    mean = [text for text in said(run) if "mean of 2 seeds" in text]
    assert len(mean) == 2
    assert any("lr 0.001, epoch 1\nclean accuracy 60.0 %" in text and "2 seeds)" in text for text in mean)
    places = [
        tuple(line.get_xydata()[0].round(6).tolist()) for line in axes_of(run).lines if len(line.get_xydata()) == 1
    ]
    assert (60.0, 9.0) in places


def test_several_runs_have_a_color_each_and_a_mark_for_each_stage(tmp_path: Path) -> None:
    runs = labeled([read_run(make_run(tmp_path / name, WHOLE, name=name)) for name in "ab"])
    found = looks(runs)
    assert {found["a", name].color for name in runs[0].groups} != {found["b", name].color for name in runs[1].groups}
    assert len({look.color for look in found.values()}) == 2
    assert found["a", "finetune"].mark == found["b", "finetune"].mark != found["a", "cleanclip"].mark
    shown = words(plots.plane(*runs))
    for name in ("a", "b", "finetune", "cleanclip", "victim"):
        assert shown.count(name) == 1
    plot = plots.draw(runs)
    assert plot
    assert (
        sum(spot.text.startswith("a\n") for spot in plot.spots)
        == sum(s.text.startswith("b\n") for s in plot.spots)
        == 8
    )


def test_a_run_and_a_stage_may_have_one_name(tmp_path: Path) -> None:
    runs = labeled([read_run(make_run(tmp_path / name, WHOLE, name=name)) for name in ("finetune", "b")])
    assert words(plots.plane(*runs)).count("finetune") == 2


def test_an_interval_that_does_not_hold_its_value_is_drawn_as_far_as_it_goes(tmp_path: Path) -> None:
    path = make_run(tmp_path, WHOLE) / "records.jsonl"
    path.write_text(re.sub(r'"low": [\d.]+', '"low": 0.99', path.read_text()))
    assert plots.plane(read_run(tmp_path))


def test_a_legend_of_sixty_stages_stops_somewhere(tmp_path: Path) -> None:
    stages = [TRAINED[0], *({**CLEANINGS[0], "name": f"f{n}"} for n in range(60))]
    measured = {(f"f{n}", 0, 2): (0.5, 0.5, 0.5, n / 100) for n in range(60)} | {("victim", 0, 2): (0.6, 0.9, 0.6, 0.9)}
    shown = words(plots.plane(read_run(make_run(tmp_path, measured, stages))))
    assert "… and 39 more" in shown
    assert "f0" in shown
    assert "f59" not in shown


def test_colors_differ() -> None:
    assert len(set(COLORS)) == len(COLORS)
    assert all(re.fullmatch("#[0-9a-f]{6}", color) for color in COLORS)
