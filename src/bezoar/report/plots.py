"""The plane: clean accuracy against attack success, every epoch of every model, of one run or of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bezoar.report.looks import ENDS, PATHS, Look, looks
from bezoar.report.selection import GOAL, MARGIN
from bezoar.report.svg import INK, Plot, Spot, inline, style
from bezoar.report.tables import Row, every_epoch, table
from bezoar.report.text import measured, setting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bezoar.metrics import Interval
    from bezoar.report.runs import Run

_ENTRIES = 24
"""Legend entries; what is more goes by its color and mark alone."""


_ORDER = {"": 0, ENDS["victim"]: 2, ENDS["control"]: 3, "ring": 4, "mean": 5, "goal": 6}
"""Of legend entries by their mark; stages stand between the runs and these."""


@dataclass
class Scene:
    """What all panels of a plot share, and what they leave behind for its readers."""

    runs: Mapping[str, Run]
    """By title."""
    looks: Mapping[tuple[str, str], Look]
    paths: Sequence[Row]
    """Every epoch of what is drawn as a line."""
    ends: Sequence[Row]
    """Victims and controls at their last epoch."""
    means: Sequence[Row]
    """Chosen points on average over seeds."""
    spots: list[Spot] = field(default_factory=list)
    lines: int = 0
    """Lines and single points drawn so far."""
    legend: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Color and mark by name, in the order they came up."""

    @property
    def drawn(self) -> list[Row]:
        return [*self.paths, *self.ends]


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


def gathered(runs: Sequence[Run]) -> Scene:
    """All models of ``runs`` that have an attack success, and how each is drawn."""
    rows = [row for run in runs for row in table(run) if row.asr]
    return Scene(
        runs={run.title: run for run in runs},
        looks=looks(runs),
        paths=[row for run in runs for row in every_epoch(run) if row.asr and row.role in PATHS],
        ends=[row for row in rows if row.role not in PATHS and row.seed is not None],
        means=[row for row in rows if row.chosen and row.seed is None],
    )


def panel(
    axes: Axes, scene: Scene, paths: Sequence[Row], ends: Sequence[Row], means: Sequence[Row], every: bool = True
) -> None:
    """Draw these models, which are some of the scene's."""
    for key in dict.fromkeys((row.run, row.stage, row.seed) for row in paths):
        _path(axes, scene, [row for row in paths if (row.run, row.stage, row.seed) == key], every)
    for row in ends:
        scene.lines += 1
        look = _look(scene, row)
        x, y = _at(row)
        face = "none" if row.role == "control" else look.color
        size = 13 if row.role == "victim" else 7
        axes.plot(x, y, look.mark, ms=size, mfc=face, mec=look.color, mew=1.3, ls="", zorder=5)
        _bars(axes, row, look.color)
        _spot(axes, scene, row)
    for row in means:
        scene.lines += 1
        look = _look(scene, row)
        _bars(axes, row, look.color)
        axes.plot(*_at(row), look.mark, ms=10, mfc=look.color, mec=INK, mew=1.2, ls="", zorder=6)
        scene.legend.setdefault("mean of the chosen, over seeds", (INK, "mean"))
        _spot(axes, scene, row)


def _path(axes: Axes, scene: Scene, path: Sequence[Row], every: bool) -> None:
    """One setting and seed of a stage: a line over epochs, dotted from the model that it started from."""
    scene.lines += 1
    first, run = path[0], scene.runs[path[0].run]
    look, group = _look(scene, first), run.groups[first.group]
    faint = any(row.chosen for row in scene.paths) and not any(row.chosen for row in path)
    xs, ys = zip(*map(_at, path), strict=True)
    start = run.last(group.start, first.seed or 0) if group.start else None
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
            axes.plot(*_at(row), "o", ms=11, mfc="none", mec=INK, mew=1.2, ls="", zorder=4)
            scene.legend.setdefault(f"chosen on {run.select_on}", (INK, "ring"))
        if every or row.chosen or row is path[-1]:
            _spot(axes, scene, row)


def _goal(axes: Axes, run: Run, scene: Scene) -> None:
    """The corner where a remedy should end."""
    from matplotlib.patches import Rectangle

    victims = [row for row in table(run) if row.role == "victim" and row.asr and not row.part]
    if len(victims) == 1 and victims[0].accuracy:
        left = 100 * (victims[0].accuracy.value - MARGIN)
        axes.add_patch(Rectangle((left, -5), 200, 5 + 100 * GOAL, color="#12a07a", alpha=0.2, lw=0))
        scene.legend[f"goal: ≤ {100 * GOAL:g} %, within {100 * MARGIN:g} points"] = ("#12a07a", "goal")


def _look(scene: Scene, row: Row) -> Look:
    """How a row is drawn, noted for the legend."""
    look = scene.looks[row.run, row.group]
    for name, color, mark in look.names:
        scene.legend.setdefault(name, (color, mark))
    return look


def _bars(axes: Axes, row: Row, color: str) -> None:
    """The intervals of one model."""
    x, y = _both(row)
    reach = [[[100 * (end.value - max(end.low, 0))], [100 * (min(end.high, 1) - end.value)]] for end in (x, y)]
    axes.errorbar(*_at(row), xerr=reach[0], yerr=reach[1], fmt="none", ecolor=color, elinewidth=1, alpha=0.6)


def _spot(axes: Axes, scene: Scene, row: Row) -> None:
    """Let a reader point at a model."""
    run = scene.runs[row.run]
    method = run.groups[row.group].method
    lr = {} if "lr" in row.settings or "lr" not in method else {"lr": method["lr"]}
    if row.seed is None and any("lr" in at for at in run.groups[row.group].points.values()):
        lr = {}
    who = f"{row.group}, {'mean of ' + str(_both(row)[0].n) + ' seeds' if row.seed is None else f'seed {row.seed}'}"
    text = [
        *((row.run,) if len(scene.runs) > 1 else ()),
        who,
        setting({**lr, **row.settings}, row.epoch),
        f"clean accuracy {measured(row.accuracy, row.seed is None)}",
        f"attack success {measured(row.asr, row.seed is None)}",
        *((f"chosen on {run.select_on}",) if row.chosen else ()),
        *row.notes,
    ]
    scene.spots.append(Spot(axes, *_at(row), scene.lines, "\n".join(text)))


def _both(row: Row) -> tuple[Interval, Interval]:
    assert row.accuracy is not None
    assert row.asr is not None
    return row.accuracy, row.asr


def _at(row: Row) -> tuple[float, float]:
    x, y = _both(row)
    return 100 * x.value, 100 * y.value


def framed(axes: Axes, scene: Scene) -> None:
    """Axes in percent; the accuracy axis never shows less than 10 points, so that noise stays small."""
    values = [100 * end for row in scene.drawn for end in (_both(row)[0].low, _both(row)[0].high)]
    low, high = min(values), max(values)
    room = max(0.05 * (high - low), (10 - (high - low)) / 2, 1)
    axes.set_xlim(max(-1, low - room), min(101, high + room))
    axes.set_ylim(-3, 103)
    axes.set_xlabel("clean accuracy, top-1, %")
    axes.set_ylabel("attack success, top-1, %")


def explained(figure: Figure, scene: Scene) -> int:
    """Put the legend below a figure; returns its rows."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    first = {title: number for number, title in enumerate(scene.runs)}
    entries = sorted(scene.legend.items(), key=lambda entry: (_ORDER.get(entry[1][1], 1), first.get(entry[0], 0)))
    handles: list[Line2D | Patch] = []
    for text, (color, mark) in entries[:_ENTRIES]:
        name = f" {text}" if text.startswith("_") else text  # such labels are hidden
        if mark in ("", "goal"):
            handles.append(Patch(color=color, alpha=0.2 if mark else 1, lw=0, label=name))
            continue
        face = {"ring": "none", "mean": "#888888", ENDS["control"]: "none"}.get(mark, color)
        shape = "o" if mark in ("ring", "mean") else mark
        handles.append(Line2D([], [], ls="", marker=shape, ms=8, mfc=face, mec=color, mew=1.2, label=name))
    if len(entries) > _ENTRIES:
        handles.append(Line2D([], [], ls="", label=f"… and {len(entries) - _ENTRIES} more"))
    columns = 1 if any(len(name) > 30 for name in scene.legend) else 2
    figure.legend(
        handles=handles, loc="outside lower left", ncols=columns, fontsize=10, handlelength=1.4, columnspacing=1.2
    )
    return -(-len(handles) // columns)
