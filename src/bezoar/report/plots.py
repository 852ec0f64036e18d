"""Plots of a run, as SVG text: accuracy against attack success, and the losses of each stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from bezoar.report.selection import GOAL, MARGIN
from bezoar.report.svg import INK, inline, style
from bezoar.report.tables import Row, every_epoch, role_of, table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bezoar.report.runs import Group, Run

COLORS = ("#2f86c6", "#e08f00", "#12a07a", "#d55e00", "#c774a6", "#7d8b2f", "#56b4e9")
"""After Okabe and Ito: told apart by color-blind eyes, and seen on white and on black."""
_MARKS = "osD^vP"
_DASHES = ("-", "--", ":", "-.")
_BINS = 160
"""Points of one loss curve; longer logs are averaged down to them."""


def colors(run: Run) -> dict[str, str]:
    """The color of each stage: of cleanings, of what is trained in a run without victims, of victims if several."""
    roles = {group.name: role_of(run, group) for group in run.groups.values()}
    several = list(roles.values()).count("victim") > 1
    named = [name for name, role in roles.items() if role in ("cleaned", "trained") or (several and role == "victim")]
    return {name: COLORS[number % len(COLORS)] for number, name in enumerate(named)}


def plane(run: Run) -> str:
    """Clean accuracy against attack success, every epoch of every model; empty where no ASR was measured."""
    from matplotlib.figure import Figure

    rows = [row for row in every_epoch(run) if row.asr]
    if not rows:
        return ""
    with style():
        figure = Figure(figsize=(6.6, 5.0), layout="constrained")
        axes = figure.add_subplot()
        _goal(axes, run)
        palette, drawn = colors(run), []
        for number, (name, color) in enumerate(palette.items()):
            path = [row for row in rows if row.group == name and row.role != "victim"]
            _paths(axes, run, path, color, _MARKS[number % len(_MARKS)])
            drawn += path
        for row in table(run):
            if row.asr and row.seed is not None and row.role in ("victim", "control"):
                _end(axes, row, palette.get(row.group, INK))
                drawn.append(row)
        _frame(axes, drawn)
        figure.legend(loc="outside lower center", ncols=2, fontsize=10.5, handlelength=1.6, columnspacing=1.4)
        return inline(figure, "plane", f"Clean accuracy against attack success on {run.report_on}")


def _goal(axes: Axes, run: Run) -> None:
    """The corner where a remedy should end."""
    from matplotlib.patches import Rectangle

    victims = [row for row in table(run) if row.role == "victim" and row.asr and not row.part]
    for victim in victims[:1] if len(victims) == 1 else ():
        left = 100 * (victim.accuracy.value - MARGIN)
        label = f"goal: success ≤ {100 * GOAL:g} %, accuracy within {100 * MARGIN:g} points"
        axes.add_patch(Rectangle((left, -5), 200, 5 + 100 * GOAL, color="#12a07a", alpha=0.2, lw=0, label=label))


def _paths(axes: Axes, run: Run, rows: Sequence[Row], color: str, mark: str) -> None:
    """One stage: a line over epochs for each point of its grid and seed, from the model that it started from."""
    group = run.groups[rows[0].group] if rows else None
    label = group.name if group else ""
    for key in dict.fromkeys((row.stage, row.seed) for row in rows):
        path = [row for row in rows if (row.stage, row.seed) == key]
        xs, ys = [100 * row.accuracy.value for row in path], [_asr(row) for row in path]
        start = run.last(group.start, key[1] or 0) if group and group.start else None
        before = run.measures(start, run.report_on) if start else {}
        if "accuracy_top1" in before and "asr_top1" in before:
            first = 100 * before["accuracy_top1"].value, 100 * before["asr_top1"].value
            axes.plot([first[0], xs[0]], [first[1], ys[0]], color=color, lw=1.2, ls=":", alpha=0.85)
        axes.plot(xs, ys, color=color, lw=1.5, marker=mark, ms=4.5, alpha=0.85, label=label)
        _bars(axes, path[-1], color)
        label = ""
    named = f"chosen on {run.select_on}"
    for row in rows:
        if row.chosen:
            label = named if not _has(axes, named) else ""
            at = 100 * row.accuracy.value, _asr(row)
            axes.plot(*at, "o", ms=13, mfc="none", mec=INK, mew=1.4, ls="", label=label, zorder=4)


def _end(axes: Axes, row: Row, color: str) -> None:
    """A victim or a control at its last epoch."""
    mark, size, face = ("*", 15, color) if row.role == "victim" else ("D", 8, "none")
    label = row.group if not _has(axes, row.group) else ""
    at = 100 * row.accuracy.value, _asr(row)
    axes.plot(*at, mark, ms=size, mfc=face, mec=color, mew=1.3, ls="", label=label, zorder=5)
    _bars(axes, row, color)


def _has(axes: Axes, label: str) -> bool:
    return label in axes.get_legend_handles_labels()[1]


def _bars(axes: Axes, row: Row, color: str) -> None:
    """The intervals of one model."""
    assert row.asr is not None
    x, y = row.accuracy, row.asr
    reach = [[[100 * (end.value - end.low)], [100 * (end.high - end.value)]] for end in (x, y)]
    axes.errorbar(
        100 * x.value, 100 * y.value, xerr=reach[0], yerr=reach[1], fmt="none", ecolor=color, elinewidth=1, alpha=0.7
    )


def _asr(row: Row) -> float:
    assert row.asr is not None
    return 100 * row.asr.value


def _frame(axes: Axes, rows: Sequence[Row]) -> None:
    """Axes in percent; the accuracy axis never shows less than 10 points, so that noise stays small."""
    values = [100 * end for row in rows for end in (row.accuracy.low, row.accuracy.high)]
    low, high = min(values), max(values)
    room = max(0.05 * (high - low), (10 - (high - low)) / 2, 1)
    axes.set_xlim(max(-1, low - room), min(101, high + room))
    axes.set_ylim(-3, 103)
    axes.set_xlabel("clean accuracy, top-1, %")
    axes.set_ylabel("attack success, top-1, %")


def losses(run: Run, group: Group) -> str:
    """The loss terms of one stage over its steps: a color a term, a line a point of the grid and seed."""
    from matplotlib.figure import Figure

    curves = loss_curves([line for line in run.steps if line.get("stage") in group.points])
    if not curves:
        return ""
    terms = list(dict.fromkeys(term for *_, term in curves))
    with style():
        figure = Figure(figsize=(4.6, 3.0), layout="constrained")
        axes = figure.add_subplot()
        for (_, _, term), (steps, values) in curves.items():
            number = terms.index(term)
            label = "" if _has(axes, term) else term
            color, dash = COLORS[number % len(COLORS)], _DASHES[number // len(COLORS) % len(_DASHES)]
            axes.plot(steps, values, lw=1.4, alpha=0.85, label=label, color=color, ls=dash)
        shown = [value for _, values in curves.values() for value in values]
        if min(shown) > 0 and max(shown) > 50 * min(shown):
            axes.set_yscale("log")
        elif min(shown) > 0:
            axes.set_ylim(bottom=0)
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        figure.legend(loc="outside lower center", ncols=2, fontsize=11, handlelength=1.6, columnspacing=1.2)
        return inline(figure, f"losses{list(run.groups).index(group.name)}", f"Loss of {group.name} over its steps")


def loss_curves(lines: Sequence[Mapping[str, Any]]) -> dict[tuple[str, int, str], tuple[list[float], list[float]]]:
    """Steps and values of each stage, seed and loss term; a term is named with its pass where there are several."""
    passes = {line["pass"] for line in lines}
    curves: dict[tuple[str, int, str], tuple[list[float], list[float]]] = {}
    for line in lines:
        for term, value in line["terms"].items():
            name = f"{line['pass']}: {term}" if len(passes) > 1 else term
            steps, values = curves.setdefault((line["stage"], line["seed"], name), ([], []))
            steps.append(line["step"])
            values.append(value)
    return {key: (_thinned(steps), _thinned(values)) for key, (steps, values) in curves.items()}


def _thinned(values: list[float]) -> list[float]:
    """At most ``_BINS`` means of as many neighbors each, but for the last."""
    width = -(-len(values) // _BINS)
    return [fmean(values[start : start + width]) for start in range(0, len(values), width)]
