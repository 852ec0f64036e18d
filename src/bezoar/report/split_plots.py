"""The splits of a stage as plots: cosines and what was fitted to them, a panel an epoch; and shares over epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bezoar.report.looks import COLORS
from bezoar.report.split_table import told
from bezoar.report.splits import Split, measured_splits, spread
from bezoar.report.svg import INK, Plot, Spot, icon, style

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from bezoar.metrics import Interval
    from bezoar.report.groups import Point
    from bezoar.report.runs import Run

    Counts = NDArray[np.int64]
    Values = NDArray[np.float64]

BARS = 48
"""Bars of a histogram, about."""
SHEET = 100
"""Histograms of a file at most: a taller picture cannot be drawn."""
STAGES = 6
"""Stages whose cosines a page shows; what is more is in the exports."""
_COLUMNS = 4
_CLEAN, _POISON, _SAFE = COLORS[0], COLORS[3], COLORS[2]
_CURVE = 121
"""Points of a fitted curve."""
LEGEND = (
    ("clean pairs", "region", _CLEAN), ("poisoned pairs", "line", _POISON),
    ("the fitted normal distributions, the lower one dashed", "line", INK),
    ("where most pairs are held for safe", "region", INK),
)  # fmt: skip
"""Words, mark and color of what a panel holds."""
UNKNOWN = (("pairs", "region", _CLEAN), *LEGEND[2:])
"""The same where nobody knows which pairs are poison."""


@dataclass(frozen=True, kw_only=True)
class Histories:
    """What a page shows of the splits of one stage."""

    stage: str
    seed: int
    """Whose cosines are shown."""
    panels: tuple[tuple[str, Plot], ...]
    """When, and the cosines then."""
    shares: Plot


def histories(run: Run, prefix: str, panels: int, every: bool = True) -> tuple[Histories, ...]:
    """The plots of the first stages that split their pairs; without ``every`` no epoch can be pointed at."""
    from matplotlib.figure import Figure

    found = []
    for number, (stage, first) in enumerate(split_stages(run)[:STAGES]):
        name = f"{prefix}split{number}"
        shown = spread(run.splits.get((stage, first), ()), panels) if panels else ()
        span, plots = _span(shown), []
        for place, split in enumerate(shown):
            with style():
                figure = Figure(figsize=(3.4, 2.3), layout="constrained")
                _histogram(figure.add_subplot(), split, span)
            label = f"Cosines of the pairs of {stage}, {_when(split.point)}"
            plots.append((_when(split.point), Plot(name=f"{name}-{place}", label=label, figure=figure)))
        found.append(
            Histories(stage=stage, seed=first, panels=tuple(plots), shares=shares(run, stage, f"{name}-shares", every))
        )
    return tuple(found)


def legend(known: bool) -> tuple[tuple[str, str], ...]:
    """Words and icons that explain the panels; ``known``: whether a plan tells which pairs are poison."""
    return tuple((words, icon(mark, color)) for words, mark, color in (LEGEND if known else UNKNOWN))


def sheets(run: Run) -> dict[tuple[str, str], Plot]:
    """For files, by ``cosines`` and ``split`` of each stage: all panels in one figure with a legend, and the shares."""
    found: dict[tuple[str, str], Plot] = {}
    for stage, first in split_stages(run):
        shown = spread(run.splits.get((stage, first), ()), SHEET)
        if shown:
            found["cosines", stage] = _sheet(stage, shown)
        found["split", stage] = shares(run, stage, "split")
    return found


def shares(run: Run, stage: str, name: str, every: bool = True) -> Plot:
    """What was held for safe and what of the poison, over epochs; below it how much of the safe set is poison."""
    from matplotlib.figure import Figure

    found = [(point, measures) for point, measures in measured_splits(run) if point.stage == stage]
    seeds = list(dict.fromkeys(point.seed for point, _ in found))
    upper = (
        ("held for safe, of all", "safe_share", _SAFE, "s-"),
        ("of the poison", "poison_called_safe", _POISON, "o--"),
    )
    lower = (
        ("poison in the safe set", "poison_in_safe", _POISON, "o-"),
        ("in all pairs", "poison_in_safe_by_chance", INK, ".-"),
    )
    known = any("poison_in_safe" in measures for _, measures in found)
    spots: list[Spot] = []
    with style():
        figure = Figure(figsize=(4.6, 4.6 if known else 2.8), layout="constrained")
        both = figure.subplots(2 if known else 1, 1, sharex=True, squeeze=False).flat
        for axes, lines in zip(both, (upper, lower) if known else (upper[:1],), strict=True):
            for words, metric, color, mark in lines:
                for number, seed in enumerate(seeds):
                    of = [(point, m[metric]) for point, m in found if point.seed == seed and metric in m]
                    _line(axes, run, of, words if not number else "", color, mark)
                    if every:
                        path = len(spots)
                        spots += [_spot(axes, run, point, share, path, words, metric) for point, share in of]
            axes.set_ylim(bottom=0)
            axes.set_ylabel("share, %")
            axes.legend(fontsize=10, handlelength=2.2)
        axes.set_xlabel("epoch")
    return Plot(name=name, label=f"What {stage} held for safe, over epochs", figure=figure, spots=tuple(spots))


def split_stages(run: Run) -> list[tuple[str, int]]:
    """The stages that split their pairs, and the first seed of each."""
    found: dict[str, int] = {}
    for point, _ in measured_splits(run):
        found.setdefault(point.stage, point.seed)
    return list(found.items())


def _sheet(stage: str, shown: Sequence[Split]) -> Plot:
    from matplotlib.figure import Figure

    columns = min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    with style():
        figure = Figure(figsize=(max(5.6, 2.9 * columns), 2.3 * rows + 0.5), layout="constrained")
        for place, split in enumerate(shown, 1):
            axes = figure.add_subplot(rows, columns, place)
            _histogram(axes, split, _span(shown))
            axes.set_title(_when(split.point))
        _explain(figure, all(split.poison is not None for split in shown))
    return Plot(name="cosines", label=f"Cosines of the pairs of {stage}, split by split", figure=figure)


def _explain(figure: Figure, known: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    clean, safe = Patch(color=_CLEAN, alpha=0.4, lw=0), Patch(color=INK, alpha=0.1, lw=0)
    poison = (Line2D([], [], color=_POISON, lw=1.8),) if known else ()
    looks = (clean, *poison, Line2D([], [], color=INK, lw=1), safe)
    words = [words for words, _, _ in (LEGEND if known else UNKNOWN)]
    said = "clean and poisoned pairs each have an area of 1, the curves that of all pairs" if known else None
    figure.legend(looks, words, loc="outside lower center", ncols=2, fontsize=10, title=said, title_fontsize=10)


def _histogram(axes: Axes, split: Split, span: tuple[int, int]) -> None:
    """Clean and poisoned pairs, each with an area of 1; the fitted curves have that of all pairs."""
    import numpy as np

    every = split.safe + split.risky
    poison = split.poison if split.poison is not None else np.zeros_like(every)
    safe, at = _bars(split, split.safe, span, BARS)
    for low, high in _regions(_filled(safe, _bars(split, split.risky, span, BARS)[0])):
        axes.axvspan(at[low], at[high], color=INK, alpha=0.07, lw=0)
        for end in (at[low], at[high]):
            axes.axvline(end, color=INK, lw=0.8, ls=":")
    tops = [0.0]
    for counts, filled in ((every - poison, True), (poison, False)):
        total = int(counts.sum())
        if total:
            # Wider bars of fewer pairs, whose outline would be all teeth.
            bars, edges = _bars(split, counts, span, min(BARS, max(6, 2 * math.isqrt(total))))
            height = bars / total / (edges[1] - edges[0])
            color, alpha = (_CLEAN, 0.4) if filled else (_POISON, 1.0)
            axes.stairs(height, edges, fill=filled, color=color, alpha=alpha, lw=0 if filled else 1.8)
            tops.append(float(height.max()))
    x = np.linspace(at[0], at[-1], _CURVE)
    for (weight, mean, variance), dash in zip(split.mixture or (), ("--", "-"), strict=False):
        if variance > 0:
            axes.plot(x, weight * _normal(x, mean, variance), color=INK, lw=1, ls=dash)
    axes.set_xlim(at[0], at[-1])
    axes.set_ylim(0, 1.15 * max(tops) or 1)
    axes.set_yticks([])
    axes.set_xlabel("cosine")


def _bars(split: Split, counts: Counts, span: tuple[int, int], most: int) -> tuple[Counts, Values]:
    """``counts`` in at most ``most`` bars of equal width, and the cosines between which they stand."""
    import numpy as np

    edges = np.arange(span[0], span[1] + (step := math.ceil((span[1] - span[0]) / most)), step)
    between: Values = edges.astype(np.float64) * split.width
    return np.histogram(split.bins, edges, weights=counts)[0].astype(np.int64), between


def _normal(x: Values, mean: float, variance: float) -> Values:
    import numpy as np

    density: Values = np.exp(-((x - mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
    return density


def _span(shown: Sequence[Split]) -> tuple[int, int]:
    """The bins that all panels show, from the first to behind the last that has pairs."""
    if not shown:
        return 0, 1
    return min(int(split.bins[0]) for split in shown), max(int(split.bins[-1]) for split in shown) + 1


def _filled(safe: Counts, risky: Counts) -> NDArray[np.bool_]:
    """Whether most pairs of a bin are safe; a bin without pairs is as the one before it."""
    import numpy as np

    there = safe + risky > 0
    last = np.maximum.accumulate(np.where(there, np.arange(len(there)), there.argmax()))
    found: NDArray[np.bool_] = (safe > risky)[last]
    return found


def _regions(within: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where stretches of true bins begin and end."""
    import numpy as np

    turns = np.flatnonzero(np.diff(np.concatenate(([False], within, [False])).astype(np.int8)))
    return [(int(low), int(high)) for low, high in zip(turns[::2], turns[1::2], strict=True)]


def _line(axes: Axes, run: Run, found: Sequence[tuple[Point, Interval]], label: str, color: str, mark: str) -> None:
    if found:
        xs, ys = [_place(run, point) for point, _ in found], [100 * share.value for _, share in found]
        axes.plot(xs, ys, mark, color=color, ms=4, lw=1.4, label=label or None)


def _spot(axes: Axes, run: Run, point: Point, share: Interval, path: int, words: str, metric: str) -> Spot:
    text = f"{point.stage}, seed {point.seed}\n{_when(point)}\n{words}: {told(share, metric)}"
    return Spot(axes, _place(run, point), 100 * share.value, path, text)


def _place(run: Run, point: Point) -> float:
    """Epochs, or the share of the one that was not whole, as far as the steps of whole ones tell."""
    if point.whole:
        return point.epoch
    whole = next((p for p in run.epochs(point.stage, point.seed) if p.whole and p.epoch and p.step), None)
    return point.step * whole.epoch / whole.step if whole else point.epoch + 0.5


def _when(point: Point) -> str:
    """The epoch that was trained by the split, from 1."""
    return f"epoch {point.epoch}" if point.whole else f"epoch {point.epoch + 1}, step {point.step:,}"
