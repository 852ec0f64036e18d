"""The figure of a sweep: clean accuracy against attack success of every epoch of every training, a panel a victim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bezoar.report.fronts import CRITERIA, AtMost
from bezoar.report.svg import INK, Plot, Spot, style
from bezoar.report.sweep_choice import Arm, Candidate, Pick, across, before, pareto
from bezoar.report.sweep_effect import NOTHING_TO_CLEAN, clean_already
from bezoar.report.sweep_panels import (
    LIMIT,
    MARGIN,
    Panel,
    Place,
    Style,
    cleaning,
    inside,
    mean,
    panels,
    place,
    singles,
    told,
)
from bezoar.report.sweep_remarks import Choose, short
from bezoar.report.sweep_sheet import FRONT, GREEN, LEAST, MOST, REGION, STAR, Sheet, entries, explained, sheet_of
from bezoar.report.text import measured, setting

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bezoar.report.sweeps import Swept

PANELS = 24
"""Panels of one figure; what is more is only counted."""
_RINGS = 24
"""Rings of a panel above which they are smaller."""
_COLUMNS = 3


@dataclass(frozen=True, kw_only=True)
class Apart:
    """Panels each in a plot of its own."""

    plots: tuple[Plot, ...]
    names: tuple[str, ...]
    legend: tuple[tuple[str, str, str], ...]
    """Words, mark, color."""
    left_out: int
    """Panels that are not drawn."""


def plots(sweep: Swept, choose: Choose = across, by: str | None = None, name: str = "plane") -> Apart:
    """A plot for each panel, for a page, whose ids begin with ``name``."""
    from matplotlib.figure import Figure

    every = panels(sweep, by)[0]
    shown = every[:PANELS]
    sheet, found = sheet_of(sweep, shown, choose, alone=True), []
    for number, panel in enumerate(shown):
        sheet.spots = []
        with style():
            figure = Figure(figsize=(4.6, 3.9) if len(shown) <= 2 else (3.7, 3.3), layout="constrained")
            axes = figure.add_subplot()
            draw(axes, sheet, panel)
        words = " ".join(filter(None, (panel.victim, told(by, panel.value))))
        label = f"Clean accuracy against attack success of the cleanings of {words} on {sweep.report_on}"
        found.append(Plot(name=f"{name}-{number}", label=label, figure=figure, spots=tuple(sheet.spots)))
    names = tuple(" ".join(filter(None, (panel.victim, told(by, panel.value)))) for panel in shown)
    return Apart(plots=tuple(found), names=names, legend=tuple(entries(sheet)), left_out=len(every) - len(shown))


def figure(sweep: Swept, choose: Choose = across, by: str | None = None) -> Plot | None:
    """All panels in one figure with a legend, for a file; ``None`` where there is nothing to draw.

    A row a victim where it is split by an axis and there are several, else as many panels in a row as fit.
    """
    from matplotlib.figure import Figure

    every = panels(sweep, by)[0]
    shown = every[:PANELS]
    if not shown:
        return None
    sheet = sheet_of(sweep, shown, choose, alone=False)
    places, rows, columns = _grid(shown, by)
    wide, high = (4.4, 3.7) if columns <= 2 else (3.5, 3.1)
    with style():
        drawn = Figure(layout="constrained")
        for panel, at in zip(shown, places, strict=True):
            axes = drawn.add_subplot(rows, columns, at)
            draw(axes, sheet, panel)
            axes.set_title("\n".join(filter(None, (panel.victim, told(by, panel.value)))))
        lines = explained(drawn, sheet, 3 if columns > 2 else min(2, columns), len(every) - len(shown))
        high += 0.2 * (by is not None)
        drawn.set_size_inches(max(5.2, wide * columns), high * rows + 0.24 * lines)
    named = "plane" if by is None else f"plane-by-{by}"
    return Plot(name=named, label=f"Clean accuracy against attack success on {sweep.report_on}", figure=drawn)


def _grid(shown: Sequence[Panel], by: str | None) -> tuple[list[int], int, int]:
    """The place of each panel, rows and columns."""
    victims = list(dict.fromkeys(panel.victim for panel in shown))
    values = list(dict.fromkeys(panel.value for panel in shown))
    if by is not None and len(victims) > 1 and len(values) <= 6:
        at = [victims.index(panel.victim) * len(values) + values.index(panel.value) + 1 for panel in shown]
        return at, len(victims), len(values)
    columns = min(2 if len(shown) == 4 else _COLUMNS, len(shown))
    return [*range(1, len(shown) + 1)], -(-len(shown) // columns), columns


def draw(axes: Axes, sheet: Sheet, panel: Panel) -> None:
    """One panel: points of every seed, pale; their means; front, chosen, victim, and where a remedy should end."""
    sweep = sheet.sweep
    means = {id(arm): [(point, mean(sweep, arm, point)) for point in arm.points] for arm in panel.arms}
    count = max(len(panel.arms), sum(map(len, means.values())))
    size = 5.5 if count <= 60 else 4.0 if count <= 600 else 2.6
    for name in dict.fromkeys(cleaning(arm) for arm in panel.arms):
        own = [arm for arm in panel.arms if cleaning(arm) == name]
        look = sheet.looks[name]
        sheet.drawn.setdefault(name)
        whole = [at for arm in own for _, at in means[id(arm)]]
        pale = [at for arm in own for at in singles(sweep, arm)]
        if any(len(arm.seeds) > 1 for arm in own) or len(whole) < len(pale):
            _marks(axes, pale, look, 0.6 * size, 0.22, sheet.dense)
        _marks(axes, whole, look, size, 0.75, sheet.dense)
        line = [place(pick.reported) for pick in pareto(sweep, *own) if pick.reported]
        if line:
            axes.plot(*zip(*line, strict=True), color=look.color, lw=1.5, zorder=3)
            sheet.drawn.setdefault(FRONT)
    _region(axes, sheet, panel, [at for arm in panel.arms for _, at in means[id(arm)]])
    _chosen(axes, sheet, panel, means)
    _victim(axes, sheet, panel)
    axes.set_xlim(*sheet.limits)
    axes.set_ylim(-3, 103)
    axes.set_xlabel("clean accuracy, top-1, %")
    axes.set_ylabel("attack success, top-1, %")


def _marks(axes: Axes, points: Sequence[Place], look: Style, size: float, alpha: float, dense: bool) -> None:
    if points:
        xs, ys = zip(*points, strict=True)
        axes.plot(
            xs,
            ys,
            ls="",
            marker=look.mark,
            ms=size,
            mfc=look.color,
            mec="none",
            alpha=alpha,
            rasterized=dense,
            zorder=2,
        )


def _region(axes: Axes, sheet: Sheet, panel: Panel, points: Sequence[Place]) -> None:
    """Where a remedy should end: near the best accuracy of any cleaning of this victim, at a low ASR."""
    from matplotlib.patches import Rectangle

    if panel.victim not in sheet.best or not points:
        return
    if clean_already(sheet.sweep, before(sheet.sweep, panel.arms[0])) == NOTHING_TO_CLEAN:
        axes.text(
            0.5, 0.9, "does not take the attack:\nnothing to clean", transform=axes.transAxes, ha="center", va="top"
        )
        return
    left = sheet.best[panel.victim] - 100 * MARGIN
    count = inside(points, left)
    sheet.drawn.setdefault(REGION)
    frame = Rectangle(
        (left, -2.5), sheet.limits[1] - left - 0.1, 2.5 + 100 * LIMIT, fc=f"{GREEN}22", ec=GREEN, lw=1.3, zorder=1
    )
    axes.add_patch(frame)
    text = f"{count} of {len(points):,}"
    axes.text(sheet.limits[1], 101 * LIMIT + 1.5, text, ha="right", va="bottom", fontsize=9.5, zorder=7)


def _chosen(axes: Axes, sheet: Sheet, panel: Panel, means: Mapping[int, Sequence[tuple[Candidate, Place]]]) -> None:
    """Rings around what the rules choose, and what is said of points."""
    sweep = sheet.sweep
    kinds = {rule.name: MOST if isinstance(rule, AtMost) else LEAST for rule in CRITERIA}
    rings: dict[tuple[str, Place], None] = {}
    for arm in panel.arms:
        picks = sheet.choose(sweep, arm)
        for pick in picks:
            same = len(set(pick.chosen.values())) == 1
            numbers = [pick.reported] if same and pick.reported else list(pick.by_seed.values())
            rings |= {(kinds[pick.rule], place(each)): None for each in numbers}
        _spots(axes, sheet, arm, picks, means[id(arm)])
    size = 10.5 if len(rings) <= _RINGS else 7
    for kind, at in rings:
        sheet.drawn.setdefault(kind)
        axes.plot(*at, "o" if kind == MOST else "s", ms=size, mfc="none", mec=INK, mew=1.1, ls="", zorder=5)


def _spots(axes: Axes, sheet: Sheet, arm: Arm, picks: Sequence[Pick], means: Sequence[tuple[Candidate, Place]]) -> None:
    """What a reader is told who points at a point of an arm."""
    sweep, front = sheet.sweep, {at for pick in pareto(sheet.sweep, arm) for at in pick.chosen.values()}
    several, last = len(arm.seeds) > 1, None
    for point, at in means:
        rules = [pick.rule for pick in picks if point in pick.chosen.values()]
        if not sheet.every and not rules and point not in front:
            continue
        sheet.lines += point.training != last
        last, training = point.training, sweep.trainings[point.training]
        found = [numbers for seed in arm.seeds if (numbers := sweep.numbers(point.of(seed), sweep.report_on))]
        said = [
            f"{arm.group}{f', mean of {len(found)} seeds' if several else ''}",
            setting({short(sweep, k): v for k, v in training.settings.items()}, point.epoch, _step(point)),
            *([f"accuracy {at.accuracy:.1f} %, ASR {at.asr:.1f} %"] if several else [
                f"clean accuracy {measured(found[0].accuracy)}", f"attack success {measured(found[0].asr)}",
            ]),
            *(["on the Pareto front"] if point in front else []), *(f"chosen: {rule}" for rule in rules),
        ]  # fmt: skip
        sheet.spots.append(Spot(axes, *at, sheet.lines, "\n".join(said)))


def _step(point: Candidate) -> int | None:
    return None if point.whole else point.step


def _victim(axes: Axes, sheet: Sheet, panel: Panel) -> None:
    """A star for the model that is cleaned: one in the middle, and where there are several seeds a pale one each."""
    start = before(sheet.sweep, panel.arms[0])
    if start.reported is None:
        return
    sheet.drawn.setdefault(STAR)
    several = len(start.by_seed) > 1
    for numbers in start.by_seed.values() if several else ():
        axes.plot(*place(numbers), "*", ms=8, mfc=INK, mec="none", alpha=0.35, ls="", zorder=5)
    axes.plot(*place(start.reported), "*", ms=15, mfc=INK, mec="none", ls="", zorder=6)
    said = [panel.victim, "before cleaning", f"clean accuracy {measured(start.reported.accuracy, several)}",
            f"attack success {measured(start.reported.asr, several)}"]  # fmt: skip
    sheet.lines += 1
    sheet.spots.append(Spot(axes, *place(start.reported), sheet.lines, "\n".join(said)))
