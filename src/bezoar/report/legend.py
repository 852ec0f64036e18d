"""The frame of a plane: its axes, and the legend below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bezoar.report.looks import ENDS
from bezoar.report.scene import Scene, both

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ENTRIES = 24
"""Legend entries; what is more goes by its color and mark alone."""
_ORDER = {"": 0, ENDS["victim"]: 2, ENDS["control"]: 3, "ring": 4, "mean": 5, "goal": 6}
"""Of legend entries by their mark; stages stand between the runs and these."""


def framed(axes: Axes, scene: Scene) -> None:
    """Axes in percent; the accuracy axis never shows less than 10 points, so that noise stays small."""
    values = [100 * end for row in scene.drawn for end in (both(row)[0].low, both(row)[0].high)]
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
    entries = sorted(scene.legend.items(), key=lambda entry: (_ORDER.get(entry[0][1], 1), first.get(entry[0][0], 0)))
    handles: list[Line2D | Patch] = []
    for (text, mark), color in entries[:_ENTRIES]:
        name = f" {text}" if text.startswith("_") else text  # such labels are hidden
        if mark in ("", "goal"):
            handles.append(Patch(color=color, alpha=0.2 if mark else 1, lw=0, label=name))
            continue
        face = {"ring": "none", "mean": "#888888", ENDS["control"]: "none"}.get(mark, color)
        shape = "o" if mark in ("ring", "mean") else mark
        handles.append(Line2D([], [], ls="", marker=shape, ms=8, mfc=face, mec=color, mew=1.2, label=name))
    if len(entries) > _ENTRIES:
        handles.append(Line2D([], [], ls="", label=f"… and {len(entries) - _ENTRIES} more"))
    columns = 1 if any(len(name) > 30 for name, _ in scene.legend) else 2
    figure.legend(
        handles=handles, loc="outside lower left", ncols=columns, fontsize=10, handlelength=1.4, columnspacing=1.2
    )
    return -(-len(handles) // columns)
