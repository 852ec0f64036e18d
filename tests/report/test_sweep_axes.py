"""What is drawn over an axis: the choices at each value of it, with nothing else that differs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest
from tests.report.sweeping import LR, VICTIM, made, records, victims, work

from bezoar.report.svg import inline, standalone
from bezoar.report.sweep_axes import by_axis, curves, draw
from bezoar.report.sweep_choice import across
from bezoar.report.sweeps import Swept


def swept(values: list[Any], **changes: Any) -> Swept:
    """A cleaning of one victim at values of an axis: the larger its place, the lower its attack success."""
    works = [VICTIM, *(work("victim+c", start=0, axes={"left": v, LR: lr}) for v in values for lr in (1, 2))]
    parts = [records(VICTIM, 1, validation=(0.6, 0.99), test=(0.6, 0.98))]
    for place, one in enumerate(works[1:]):
        asr = 0.3 - 0.1 * (place // 2) + 0.01 * (place % 2)
        parts.append(records(one, 1, validation=(0.5, max(0.0, asr)), test=(0.51, max(0.0, asr))))
    return made(works, parts, **changes)


def test_the_choices_at_each_value() -> None:
    sweep = swept([25, 0, 5, 1])
    (found,) = [each for each in curves(sweep) if each.axis == "left"]
    assert (found.victim, found.labels, found.values) == ("victim", (), (0.0, 1.0, 5.0, 25.0))
    (line,) = found.lines
    assert line.name == "c"
    assert [x for x, _, _ in line.points] == [0.0, 1.0, 5.0, 25.0]
    at_10 = [picks[1].reported and round(picks[1].reported.asr.value, 6) for _, _, picks in line.points]
    assert at_10 == [None, 0.0, 0.1, None]
    assert line.points[2][2] == across(sweep, line.points[2][1])


def test_an_axis_that_is_chosen_by_has_a_line_for_each_condition() -> None:
    sweep = swept([0, 1])
    found = by_axis(curves(sweep))
    assert list(found) == ["left", LR]
    assert [line.name for line in found[LR][0].lines] == ["c, left 0", "c, left 1"]
    assert list(by_axis(curves(swept(list(range(7)))))) == ["left"]


def test_words_stand_side_by_side() -> None:
    sweep = swept(["none", 0.9, 0.5])
    found = curves(sweep)[0]
    assert (found.labels, found.values) == (("none", "0.9", "0.5"), (0.0, 1.0, 2.0))
    text = standalone(draw(sweep, found, "axis"))
    assert all(f">{label}<" in text for label in found.labels)


@pytest.mark.parametrize(
    ("stands", "labels", "values"), [(0.5, (), (0.0, 0.5, 1.0)), ("base", ("0", "1", "base"), (0.0, 1.0, 2.0))]
)
def test_where_the_experiment_stands_has_a_place_though_it_is_no_value_of_the_axis(
    stands: Any, labels: tuple[str, ...], values: tuple[float, ...]
) -> None:
    sweep = swept([0, 1, stands])
    found = curves(replace(sweep, axes={**sweep.axes, "left": (0, 1)}))[0]
    assert (found.axis, found.labels, found.values) == ("left", labels, values)


def test_victims_that_differ_by_the_axis_are_one_line() -> None:
    works = [work("v", poisoned=True, axes={"rate": rate}) for rate in (1, 2, 3)]
    works += [work("v+c", start=n, axes={"rate": n + 1}) for n in range(3)]
    sweep = made(works, [records(one, 1, validation=(0.5, 0.3), test=(0.5, 0.3)) for one in works])
    (found,) = curves(sweep)
    assert (found.axis, found.victim, found.values) == ("rate", "v", (1.0, 2.0, 3.0))


def test_what_does_not_depend_on_an_axis_has_no_place_on_it() -> None:
    works = [VICTIM, work("a", start=0, axes={"left": 1}), work("a", start=0, axes={"left": 2}), work("b", start=0)]
    sweep = made(works, [records(one, 1, validation=(0.5, 0.3), test=(0.5, 0.3)) for one in works])
    (found,) = curves(sweep)
    assert [line.name for line in found.lines] == ["a"]
    assert curves(made(works[:2], [])) == ()


@pytest.mark.parametrize(
    ("values", "scale"), [([1, 2, 4], "linear"), ([1, 10, 100], "log"), ([0, 1, 25], "symlog"), ([-5, 50], "linear")]
)
def test_numbers_far_apart_are_logarithmic(values: list[float], scale: str) -> None:
    sweep = swept(values)
    plot = draw(sweep, curves(sweep)[0], "axis")
    assert {axes.get_xscale() for axes in plot.figure.axes} == {scale}
    assert [label.get_text() for label in plot.figure.axes[0].get_xticklabels()] == [f"{v:g}" for v in sorted(values)]


def test_where_nothing_qualifies_there_is_a_cross() -> None:
    sweep = swept([0, 1, 2, 3])
    text = standalone(draw(sweep, curves(sweep)[0], "axis"))
    assert "none at so low an ASR" in text
    low = made(
        [VICTIM, *(work("c", start=0, axes={"left": v}) for v in (0, 1))],
        [records(work("c", axes={"left": v}), 1, validation=(0.5, 0.0), test=(0.5, 0.0)) for v in (0, 1)],
    )
    assert "none at so low an ASR" not in standalone(draw(low, curves(low)[0], "axis"))


def test_points_tell_what_they_are() -> None:
    works, found = victims()
    sweep = made(works, found, seeds=[0, 1])
    plot = draw(sweep, curves(sweep)[0], "axis0")
    told = [spot.text for spot in plot.spots]
    ours = [text for text in told if text.startswith("b\nlr 0.001\nbest accuracy at ASR ≤ 10 %\n")]
    assert len(ours) == 1
    assert "\nepoch\u00a01\nclean accuracy 54.5\u00a0%" in ours[0]
    assert len({spot.path for spot in plot.spots}) > 1
    ElementTree.fromstring(inline(plot).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))
