"""What an axis does: over its numbers, the best accuracy at a low attack success, and the lowest one near the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bezoar.report.fronts import CRITERIA, AtMost, Near
from bezoar.report.looks import COLORS, MARKS
from bezoar.report.svg import Plot, Spot, style
from bezoar.report.sweep_choice import Arm, Pick, across, arms
from bezoar.report.sweep_panels import cleaning, styles
from bezoar.report.sweep_remarks import Choose, called, chosen_setting, short
from bezoar.report.text import DASH, measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bezoar.metrics import Interval
    from bezoar.report.sweeps import Swept

_LEAST = 3
"""Values that make a line worth drawing."""
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
    lines: tuple[Line, ...]

    @property
    def values(self) -> tuple[float, ...]:
        """Where anything stands."""
        return tuple(sorted({x for line in self.lines for x, _, _ in line.points}))


def curves(sweep: Swept, choose: Choose = across) -> tuple[Curves, ...]:
    """By axis and victim, whatever has at least three numbers of the axis and nothing else that differs."""
    looks, found = styles(sweep), []
    numeric = [name for name, values in sweep.axes.items() if sum(map(_is_number, values)) >= _LEAST]
    for axis in numeric:
        alike: dict[str, dict[str, list[Arm]]] = {}
        for arm in arms(sweep, axis):
            if arm.points and _is_number(arm.facets.get(axis)):
                alike.setdefault(called(arm.victim, axis), {}).setdefault(_rest(sweep, arm, axis), []).append(arm)
        for victim, by_rest in alike.items():
            whole = {rest: of for rest, of in by_rest.items() if len({arm.facets[axis] for arm in of}) >= _LEAST}
            lines: list[Line] = []
            for rest, of in whole.items():
                look = looks[cleaning(of[0])]
                alone = sum(cleaning(other[0]) == cleaning(of[0]) for other in whole.values()) == 1
                number = len(lines)
                color, mark = look if alone else (COLORS[number % len(COLORS)], MARKS[number % len(MARKS)])
                points = sorted(((float(arm.facets[axis]), arm) for arm in of), key=lambda point: point[0])
                told = tuple((x, arm, choose(sweep, arm)) for x, arm in points)
                lines.append(Line(name=rest, color=color, mark=mark, points=told))
            parts = [tuple(lines[i : i + _LINES]) for i in range(0, len(lines), _LINES)]
            found += [Curves(axis=axis, victim=victim, lines=part) for part in parts]
    return tuple(found)


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
            for number, line in enumerate(of.lines):
                for rule, dash, filled in zip(rules, ("-", "--"), (True, False), strict=True):
                    _line(axes, sweep, of, line, rule, dash, filled, spots)
                _lost(axes, line, rules[-1], number)
            _across(axes, of, short(sweep, of.axis))
        left.set_ylabel(f"clean accuracy on {sweep.report_on}, %")
        right.set_ylabel(f"attack success on {sweep.report_on}, %")
        right.set_ylim(-3, 103)
        left.set_title("best accuracy at ASR ≤ 5 % (line), ≤ 10 % (dashes)", fontsize=10)
        right.set_title("lowest ASR within 1 point (line), 3 points (dashes)", fontsize=10)
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


def _lost(axes: Axes, line: Line, rule: str, number: int) -> None:
    """Crosses at the bottom where not even the wider rule finds anything; a row a line."""
    xs = [x for x, _, pick in _picks(line, rule) if not pick.reported]
    ground = axes.get_xaxis_transform()
    axes.plot(xs, [0.03 + 0.05 * number] * len(xs), "x", color=line.color, ms=6, transform=ground, zorder=4)


def _lacking(of: Curves) -> bool:
    last = [rule.name for rule in CRITERIA if isinstance(rule, AtMost)][-1]
    return any(not pick.reported for line in of.lines for _, _, pick in _picks(line, last))


def _line(
    axes: Axes, sweep: Swept, of: Curves, line: Line, rule: str, dash: str, filled: bool, spots: list[Spot]
) -> None:
    """What one rule gives, with intervals."""
    limited = not rule.startswith("lowest")
    found: list[tuple[float, Interval, Arm, Pick]] = [
        (x, pick.reported.accuracy if limited else pick.reported.asr, arm, pick)
        for x, arm, pick in _picks(line, rule)
        if pick.reported
    ]
    if not found:
        return
    ys = [100 * share.value for _, share, _, _ in found]
    below = [100 * max(0.0, share.value - max(share.low, 0.0)) for _, share, _, _ in found]
    above = [100 * max(0.0, min(share.high, 1.0) - share.value) for _, share, _, _ in found]
    axes.errorbar(
        [x for x, *_ in found], ys, yerr=[below, above], fmt=line.mark, ls=dash, color=line.color, ms=5, lw=1.5,
        mfc=line.color if filled else "none", elinewidth=1, capsize=2,
    )  # fmt: skip
    path = spots[-1].path + 1 if spots else 0
    for x, share, arm, pick in found:
        assert pick.reported is not None
        several, at = len(pick.by_seed) > 1, chosen_setting(sweep, arm, pick)
        said = [line.name, f"{short(sweep, of.axis)} {x:g}", rule, *([at] if at != DASH else []),
                f"clean accuracy {measured(pick.reported.accuracy, several)}",
                f"attack success {measured(pick.reported.asr, several)}"]  # fmt: skip
        spots.append(Spot(axes, x, 100 * share.value, path, "\n".join(said)))


def _across(axes: Axes, of: Curves, label: str) -> None:
    """The axis of the values: logarithmic where they are far apart, also with a zero among them."""
    values = of.values
    positive = [x for x in values if x > 0]
    if positive and values[-1] >= _WIDE * positive[0]:
        if values[0] > 0:
            axes.set_xscale("log")
        elif values[0] == 0:
            axes.set_xscale("symlog", linthresh=positive[0], linscale=0.5)
    if len(values) <= 10:
        axes.set_xticks(values, [f"{x:g}" for x in values], minor=False)
        axes.set_xticks([], minor=True)
    axes.set_xlabel(label)


def by_axis(of: Sequence[Curves]) -> Mapping[str, tuple[Curves, ...]]:
    """All curves of each axis."""
    return {axis: tuple(each for each in of if each.axis == axis) for axis in dict.fromkeys(each.axis for each in of)}
