"""What the panels of a sweep's figure share: looks, limits, what can be pointed at, and the legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bezoar.report.svg import INK, Spot
from bezoar.report.sweep_choice import before
from bezoar.report.sweep_panels import LIMIT, MARGIN, Panel, Style, mean, place, singles, styles
from bezoar.report.sweep_remarks import Choose

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bezoar.report.sweeps import Swept

GREEN = "#12a07a"
STAR, FRONT, MOST, LEAST, REGION = "victim", "front", "at most", "least", "region"
"""What a legend explains besides the cleanings."""
_DENSE = 1500
"""Marks of a figure from which they are drawn as a picture, which grows no further."""
_TOLD = 800
"""Points of a figure up to which each can be pointed at; above, those of the fronts and the chosen."""


@dataclass
class Sheet:
    """What the panels of one figure share."""

    sweep: Swept
    panels: tuple[Panel, ...]
    looks: Mapping[str, Style]
    choose: Choose
    limits: tuple[float, float]
    best: Mapping[str, float]
    """The best accuracy of the cleanings of a victim on ``report_on``, in percent, by mean over seeds."""
    dense: bool
    every: bool
    """Whether each point can be pointed at."""
    spots: list[Spot] = field(default_factory=list)
    lines: int = 0
    drawn: dict[str, None] = field(default_factory=dict)
    """What was drawn, for the legend."""


def sheet_of(sweep: Swept, shown: Sequence[Panel], choose: Choose, alone: bool) -> Sheet:
    """What panels share that stand in one figure, or ``alone`` each in its own."""
    counts = [sum(len(arm.points) + sum(1 for _ in singles(sweep, arm)) for arm in panel.arms) for panel in shown]
    points = sum(len(arm.points) for panel in shown for arm in panel.arms)
    marks = max(counts, default=0) if alone else sum(counts)
    best: dict[str, float] = {}
    for panel in shown:
        own = [mean(sweep, arm, point).accuracy for arm in panel.arms for point in arm.points]
        best[panel.victim] = max([best.get(panel.victim, 0.0), *own])
    return Sheet(
        sweep,
        tuple(shown),
        styles(sweep),
        choose,
        _limits(sweep, shown),
        best,
        dense=marks > _DENSE,
        every=points <= _TOLD,
    )


def _limits(sweep: Swept, shown: Sequence[Panel]) -> tuple[float, float]:
    """Of accuracy, the same in all panels; never less than 10 points, so that noise stays small."""
    values = [at.accuracy for panel in shown for arm in panel.arms for at in singles(sweep, arm)]
    starts = [before(sweep, panel.arms[0]) for panel in shown]
    values += [place(numbers).accuracy for start in starts for numbers in start.by_seed.values()]
    low, high = min(values, default=0.0), max(values, default=100.0)
    room = max(0.05 * (high - low), (10 - (high - low)) / 2, 1)
    return max(-1, low - room), min(101, high + room)


def entries(sheet: Sheet) -> list[tuple[str, str, str]]:
    """What the legend explains: words, mark, color."""
    found = [(name, look.mark, look.color) for name, look in sheet.looks.items() if name in sheet.drawn]
    others = (
        (STAR, "before cleaning", "*"), (FRONT, f"Pareto front on {sheet.sweep.select_on}", "line"),
        (MOST, "chosen: best accuracy at ASR ≤ 5, 10 %", "ring"),
        (LEAST, "chosen: lowest ASR within 1, 3 points", "square"),
        (REGION, f"ASR ≤ {100 * LIMIT:g} %, within {100 * MARGIN:g} points of the best", "region"),
    )  # fmt: skip
    colors = {"line": "#888888", "region": GREEN}
    return [*found, *((words, mark, colors.get(mark, INK)) for key, words, mark in others if key in sheet.drawn)]


def explained(drawn: Figure, sheet: Sheet, columns: int, more: int) -> int:
    """Put the legend below a figure, and a word where there are ``more`` panels than it shows; returns its rows."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Line2D | Patch] = []
    for words, mark, color in entries(sheet):
        label = f" {words}" if words.startswith("_") else words  # such labels are hidden
        if mark == "region":
            handles.append(Patch(fc=f"{color}22", ec=color, lw=1.3, label=label))
        elif mark == "line":
            handles.append(Line2D([], [], color=color, lw=1.5, label=label))
        else:
            hollow, shape = mark in ("ring", "square"), {"ring": "o", "square": "s"}.get(mark, mark)
            face = "none" if hollow else color
            handles.append(Line2D([], [], ls="", marker=shape, ms=9, mfc=face, mec=color, mew=1.1, label=label))
    if more:
        handles.append(Line2D([], [], ls="", label=f"{more} more panels are not drawn"))
    drawn.legend(
        handles=handles, loc="outside lower left", ncols=columns, fontsize=10, handlelength=1.4, columnspacing=1.2
    )
    return -(-len(handles) // columns)
