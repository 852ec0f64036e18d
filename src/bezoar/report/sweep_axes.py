"""What an axis does: over its values, the best accuracy at a low attack success, and the lowest one near the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bezoar.report.fronts import CRITERIA, AtMost, Near
from bezoar.report.looks import COLORS, MARKS
from bezoar.report.svg import Plot, Spot, style
from bezoar.report.sweep_choice import Arm, Pick, across, arms
from bezoar.report.sweep_panels import Style, cleaning, styles
from bezoar.report.sweep_remarks import Choose, called, chosen_setting, short
from bezoar.report.text import DASH, measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bezoar.metrics import Interval
    from bezoar.report.sweeps import Swept

_LEAST = 2
"""Values that are worth a plot."""
_WIDE = 10
"""Ratio of the largest number to the smallest above zero from which the axis is logarithmic."""
_LINES = 6
"""Lines of a plot; the conditions of further ones have plots of their own."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One cleaning under conditions that are otherwise the same, at the values of an axis."""

    name: str
    color: str
    mark: str
    points: tuple[tuple[float, Arm, tuple[Pick, ...]], ...]
    """Ascending, with what the rules choose there."""


@dataclass(frozen=True, kw_only=True)
class Curves:
    """The lines of one victim over one axis."""

    axis: str
    victim: str
    labels: tuple[str, ...]
    """What the places 0, 1, … of an axis are called that are not all numbers; else none."""
    lines: tuple[Line, ...]

    @property
    def values(self) -> tuple[float, ...]:
        """Where anything stands."""
        return tuple(sorted({x for line in self.lines for x, _, _ in line.points}))


def curves(sweep: Swept, choose: Choose = across) -> tuple[Curves, ...]:
    """By axis and victim, whatever has several values of the axis and nothing else that differs.

    An axis that is chosen by has a plot where its conditions are few.
    """
    looks, found = styles(sweep), []
    axes = sorted(sweep.axes, key=lambda name: name in sweep.choose)  # what nobody chooses is what was asked
    for axis in axes:
        alike: dict[str, dict[str, list[Arm]]] = {}
        for arm in arms(sweep, axis):
            if arm.points and axis in arm.facets:
                alike.setdefault(called(arm.victim, axis), {}).setdefault(_rest(sweep, arm, axis), []).append(arm)
        for victim, by_rest in alike.items():
            whole = {rest: of for rest, of in by_rest.items() if len(of) >= _LEAST}
            places = _places(sweep, axis, [arm for of in whole.values() for arm in of])
            lines: list[Line] = []
            for rest, of in whole.items():
                alone = sum(cleaning(other[0]) == cleaning(of[0]) for other in whole.values()) == 1
                number = len(lines)
                own = Style(COLORS[number % len(COLORS)], MARKS[number % len(MARKS)])
                look = looks[cleaning(of[0])] if alone else own
                points = sorted(((places[arm.facets[axis]], arm) for arm in of), key=lambda point: point[0])
                told = tuple((x, arm, choose(sweep, arm)) for x, arm in points)
                lines.append(Line(name=rest, color=look.color, mark=look.mark, points=told))
            labels = () if all(map(_is_number, places)) else tuple(map(str, places))
            if axis in sweep.choose and len(lines) > _LINES:
                continue
            parts = [tuple(lines[i : i + _LINES]) for i in range(0, len(lines), _LINES)]
            found += [Curves(axis=axis, victim=victim, labels=labels, lines=part) for part in parts]
    return tuple(found)


def _places(sweep: Swept, axis: str, of: Sequence[Arm]) -> dict[Any, float]:
    """Where the values of an axis stand: numbers where they are, words one beside the other, in the axis's order.

    Where a grid leaves the axis out, a cleaning stands where the experiment has it, which may be none of its values.
    """
    present = [arm.facets[axis] for arm in of]
    values = list(dict.fromkeys([*(value for value in sweep.axes[axis] if value in present), *present]))
    if all(map(_is_number, values)):
        return {value: float(value) for value in values}
    return {value: float(place) for place, value in enumerate(values)}


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _rest(sweep: Swept, arm: Arm, axis: str) -> str:
    """The cleaning and its other conditions."""
    facets = [f"{short(sweep, name)} {value}" for name, value in arm.facets.items() if name != axis]
    return ", ".join([cleaning(arm), *facets])


def draw(sweep: Swept, of: Curves, name: str) -> Plot:
    """Both halves side by side: accuracy at a limited ASR, and ASR at a limited loss of accuracy; ``name`` its ids."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    spots: list[Spot] = []
    with style():
        figure = Figure(layout="constrained")
        left, right = figure.subplots(1, 2)
        for axes, kind in ((left, AtMost), (right, Near)):
            rules = [rule.name for rule in CRITERIA if isinstance(rule, kind)]
            for line in of.lines:
                for rule, full in zip(rules, (True, False), strict=True):
                    _line(axes, sweep, of, line, rule, full, spots)
                _lost(axes, of, line, rules[-1])
            _across(axes, of, short(sweep, of.axis))
        left.set_ylabel(f"clean accuracy on {sweep.report_on}, %")
        right.set_ylabel(f"attack success on {sweep.report_on}, %")
        right.set_ylim(-3, 103)
        left.set_title("best accuracy at ASR ≤ 5 % (full), ≤ 10 % (open)", fontsize=10)
        right.set_title("lowest ASR within 1 point (full), 3 points (open)", fontsize=10)
        handles = [Line2D([], [], color=i.color, marker=i.mark, lw=1.5, ms=5, label=f" {i.name}") for i in of.lines]
        if _lacking(of):
            handles.append(Line2D([], [], color="#888888", marker="x", ls="", ms=6, label="none at so low an ASR"))
        columns = 1 if any(len(line.name) > 30 for line in of.lines) else 3
        figure.legend(handles=handles, loc="outside lower left", ncols=columns, fontsize=10, columnspacing=1.2)
        figure.set_size_inches(8.6, 3.6 + 0.24 * -(-len(handles) // columns))
    label = f"What the cleanings of {of.victim} give at each {of.axis}"
    return Plot(name=name, label=label, figure=figure, spots=tuple(spots))


def _picks(line: Line, rule: str) -> list[tuple[float, Arm, Pick]]:
    return [(x, arm, pick) for x, arm, picks in line.points for pick in picks if pick.rule == rule]


def _lost(axes: Axes, of: Curves, line: Line, rule: str) -> None:
    """Crosses at the bottom where not even the wider rule finds anything; a row a line."""
    xs = [x + _aside(of, line) for x, _, pick in _picks(line, rule) if not pick.reported]
    height, ground = 0.03 + 0.05 * of.lines.index(line), axes.get_xaxis_transform()
    axes.plot(xs, [height] * len(xs), "x", color=line.color, ms=6, transform=ground, zorder=4)


def _lacking(of: Curves) -> bool:
    last = [rule.name for rule in CRITERIA if isinstance(rule, AtMost)][-1]
    return any(not pick.reported for line in of.lines for _, _, pick in _picks(line, last))


def _aside(of: Curves, line: Line) -> float:
    """How far a line stands beside its place where places are words."""
    return 0.1 * (of.lines.index(line) - (len(of.lines) - 1) / 2) if of.labels else 0.0


def _line(axes: Axes, sweep: Swept, of: Curves, line: Line, rule: str, full: bool, spots: list[Spot]) -> None:
    """What one rule gives, with intervals; values that are words are not joined by lines, but stand side by side."""
    limited = not rule.startswith("lowest")
    found: list[tuple[float, Interval, Arm, Pick]] = [
        (x + _aside(of, line), pick.reported.accuracy if limited else pick.reported.asr, arm, pick)
        for x, arm, pick in _picks(line, rule)
        if pick.reported
    ]
    if not found:
        return
    ys = [100 * share.value for _, share, _, _ in found]
    below = [100 * max(0.0, share.value - max(share.low, 0.0)) for _, share, _, _ in found]
    above = [100 * max(0.0, min(share.high, 1.0) - share.value) for _, share, _, _ in found]
    axes.errorbar(
        [x for x, *_ in found], ys, yerr=[below, above], fmt=line.mark, ls="" if of.labels else "-" if full else "--",
        color=line.color, ms=5, lw=1.5, mfc=line.color if full else "none", elinewidth=1, capsize=2,
    )  # fmt: skip
    path = spots[-1].path + 1 if spots else 0
    for x, share, arm, pick in found:
        assert pick.reported is not None
        several, at = len(pick.by_seed) > 1, chosen_setting(sweep, arm, pick)
        said = [line.name, f"{short(sweep, of.axis)} {arm.facets[of.axis]}", rule, *([at] if at != DASH else []),
                f"clean accuracy {measured(pick.reported.accuracy, several)}",
                f"attack success {measured(pick.reported.asr, several)}"]  # fmt: skip
        spots.append(Spot(axes, x, 100 * share.value, path, "\n".join(said)))


def _across(axes: Axes, of: Curves, label: str) -> None:
    """The axis of the values: logarithmic where they are far apart, also with a zero among them."""
    values = of.values
    positive = [x for x in values if x > 0]
    if not of.labels and positive and values[-1] >= _WIDE * positive[0]:
        if values[0] > 0:
            axes.set_xscale("log")
        elif values[0] == 0:
            axes.set_xscale("symlog", linthresh=positive[0], linscale=0.5)
    if of.labels:
        turned = max(map(len, of.labels)) * len(of.labels) > 36
        axes.set_xticks(range(len(of.labels)), of.labels)
        axes.tick_params("x", labelrotation=30 if turned else 0)
        axes.set_xlim(-0.5, len(of.labels) - 0.5)
    elif len(values) <= 10:
        axes.set_xticks(values, [f"{x:g}" for x in values], minor=False)
        axes.set_xticks([], minor=True)
    axes.set_xlabel(label)


def by_axis(of: Sequence[Curves]) -> Mapping[str, tuple[Curves, ...]]:
    """All curves of each axis."""
    return {axis: tuple(each for each in of if each.axis == axis) for axis in dict.fromkeys(each.axis for each in of)}
