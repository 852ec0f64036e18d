"""The losses of each stage while it trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from bezoar.report.looks import COLORS
from bezoar.report.svg import Plot, style

if TYPE_CHECKING:
    from bezoar.report.groups import Group
    from bezoar.report.runs import Run

_DASHES = ("-", "--", ":", "-.")
BINS = 160
"""Points of one loss curve; longer logs are averaged down to them."""


def losses(run: Run, group: Group, name: str, bins: int = BINS) -> Plot | None:
    """The loss terms of one stage over its steps: a color a term, a line a point of the grid and seed."""
    from matplotlib.figure import Figure

    curves = loss_curves([line for line in run.steps if line.get("stage") in group.points], bins)
    if not curves:
        return None
    terms = list(dict.fromkeys(term for *_, term in curves))
    with style():
        figure = Figure(figsize=(4.6, 3.0), layout="constrained")
        axes = figure.add_subplot()
        for (_, _, term), (steps, values) in curves.items():
            number = terms.index(term)
            label = "" if term in axes.get_legend_handles_labels()[1] else term
            color, dash = COLORS[number % len(COLORS)], _DASHES[number // len(COLORS) % len(_DASHES)]
            mark = "." if len(steps) == 1 else ""
            axes.plot(steps, values, lw=1.4, marker=mark, alpha=0.85, label=label, color=color, ls=dash)
        shown = [value for _, values in curves.values() for value in values]
        if min(shown) > 0 and max(shown) > 50 * min(shown):
            axes.set_yscale("log")
        elif min(shown) > 0:
            axes.set_ylim(bottom=0)
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        figure.legend(loc="outside lower center", ncols=2, fontsize=11, handlelength=1.6, columnspacing=1.2)
    return Plot(name=name, label=f"Loss of {group.name} over its steps", figure=figure)


def loss_curves(
    lines: Sequence[Mapping[str, Any]], bins: int = BINS
) -> dict[tuple[str, int, str], tuple[list[float], list[float]]]:
    """Steps and values of each stage, seed and loss term; a term is named with its pass where there are several."""
    passes = {line["pass"] for line in lines}
    curves: dict[tuple[str, int, str], tuple[list[float], list[float]]] = {}
    for line in lines:
        for term, value in line["terms"].items():
            name = f"{line['pass']}: {term}" if len(passes) > 1 else term
            steps, values = curves.setdefault((line["stage"], line["seed"], name), ([], []))
            steps.append(line["step"])
            values.append(value)
    return {key: (_thinned(steps, bins), _thinned(values, bins)) for key, (steps, values) in curves.items()}


def _thinned(values: list[float], bins: int) -> list[float]:
    """At most ``bins`` means of as many neighbors each, but for the last."""
    width = -(-len(values) // bins)
    return [fmean(values[start : start + width]) for start in range(0, len(values), width)]
