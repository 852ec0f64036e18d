"""The plane: clean accuracy against attack success, every epoch of every model, of one run or of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bezoar.report.legend import explained, framed
from bezoar.report.scene import Scene, both, gathered, look_of, place, spot
from bezoar.report.selection import GOAL, MARGIN
from bezoar.report.svg import INK, Plot, inline, style
from bezoar.report.tables import Row, table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bezoar.report.runs import Run


def plane(*runs: Run) -> str:
    """The plane as SVG for a page; empty where no attack success was measured."""
    plot = draw(runs)
    return inline(plot) if plot else ""


def draw(runs: Sequence[Run], every: bool = True) -> Plot | None:
    """The plane of ``runs``; without ``every`` only ends and chosen points can be pointed at."""
    from matplotlib.figure import Figure

    scene = gathered(runs)
    if not scene.drawn:
        return None
    with style():
        figure = Figure(layout="constrained")
        axes = figure.add_subplot()
        panel(axes, scene, scene.paths, scene.ends, scene.means, every)
        if len(runs) == 1:
            _goal(axes, runs[0], scene)
        framed(axes, scene)
        rows = explained(figure, scene)
        figure.set_size_inches(4.9, 3.9 + 0.22 * rows)
    where = runs[0].report_on if len(runs) == 1 else f"{len(runs)} runs"
    label = f"Clean accuracy against attack success on {where}"
    return Plot(name="plane", label=label, figure=figure, spots=tuple(scene.spots))


def panel(
    axes: Axes, scene: Scene, paths: Sequence[Row], ends: Sequence[Row], means: Sequence[Row], every: bool = True
) -> None:
    """Draw these models, which are some of the scene's."""
    for key in dict.fromkeys((row.run, row.stage, row.seed) for row in paths):
        _path(axes, scene, [row for row in paths if (row.run, row.stage, row.seed) == key], every)
    for row in ends:
        scene.lines += 1
        look = look_of(scene, row)
        x, y = place(row)
        face = "none" if row.role == "control" else look.color
        size = 13 if row.role == "victim" else 7
        axes.plot(x, y, look.mark, ms=size, mfc=face, mec=look.color, mew=1.3, ls="", zorder=5)
        _bars(axes, row, look.color)
        spot(axes, scene, row)
    for row in means:
        scene.lines += 1
        look = look_of(scene, row)
        _bars(axes, row, look.color)
        axes.plot(*place(row), look.mark, ms=10, mfc=look.color, mec=INK, mew=1.2, ls="", zorder=6)
        scene.legend.setdefault(("mean of the chosen, over seeds", "mean"), INK)
        spot(axes, scene, row)


def _path(axes: Axes, scene: Scene, path: Sequence[Row], every: bool) -> None:
    """One setting and seed of a stage: a line over epochs, dotted from the model that it started from."""
    scene.lines += 1
    first, run = path[0], scene.runs[path[0].run]
    look, group = look_of(scene, first), run.groups[first.group]
    faint = any(row.chosen for row in scene.paths) and not any(row.chosen for row in path)
    xs, ys = zip(*map(place, path), strict=True)
    start = run.kept(group.start, first.seed or 0) if group.start else None
    before = run.measures(start, run.report_on) if start else {}
    if "accuracy_top1" in before and "asr_top1" in before and not faint:
        x, y = 100 * before["accuracy_top1"].value, 100 * before["asr_top1"].value
        axes.plot([x, xs[0]], [y, ys[0]], color=look.color, lw=0.9, ls=":", alpha=0.7)
    alpha, width = (0.4, 1.0) if faint else (0.9, 1.5)
    axes.plot(xs, ys, color=look.color, lw=width, marker=look.mark, ms=4.2, alpha=alpha)
    if not scene.means:
        _bars(axes, path[-1], look.color)
    for row in path:
        if row.chosen:
            axes.plot(*place(row), "o", ms=11, mfc="none", mec=INK, mew=1.2, ls="", zorder=4)
            scene.legend.setdefault((f"chosen on {run.select_on}", "ring"), INK)
        if every or row.chosen or row is path[-1]:
            spot(axes, scene, row)


def _goal(axes: Axes, run: Run, scene: Scene) -> None:
    """The corner where a remedy should end."""
    from matplotlib.patches import Rectangle

    victims = [row for row in table(run) if row.role == "victim" and row.asr and not row.part]
    if len(victims) == 1 and victims[0].accuracy:
        left = 100 * (victims[0].accuracy.value - MARGIN)
        axes.add_patch(Rectangle((left, -5), 200, 5 + 100 * GOAL, color="#12a07a", alpha=0.2, lw=0))
        scene.legend[f"goal: ≤ {100 * GOAL:g} %, within {100 * MARGIN:g} points", "goal"] = "#12a07a"


def _bars(axes: Axes, row: Row, color: str) -> None:
    """The intervals of one model."""
    reach = [
        [[100 * max(0, end.value - max(end.low, 0))], [100 * max(0, min(end.high, 1) - end.value)]] for end in both(row)
    ]
    axes.errorbar(*place(row), xerr=reach[0], yerr=reach[1], fmt="none", ecolor=color, elinewidth=1, alpha=0.6)
