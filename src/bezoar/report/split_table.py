"""The splits of a run as tables: a line an epoch for people, a number a line for CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from bezoar.metrics import student_t
from bezoar.report.grid import Grid
from bezoar.report.splits import METRICS, measured_splits
from bezoar.report.text import DASH, count
from bezoar.report.values import safe

if TYPE_CHECKING:
    from bezoar.metrics import Interval
    from bezoar.report.groups import Point
    from bezoar.report.runs import Run

HEAD = ("Safe", "Poison called safe", "Poison in the safe set", "By chance", "AUROC of the cosine")
"""Of ``METRICS``."""
ALL = -1
"""The seed of a mean over seeds."""
_SMALL = 0.05
"""Shares below it are told to a thousandth of a percent: poison may be a pair in ten thousand."""


def split_grid(run: Run) -> Grid | None:
    """A line for each model whose method had split its pairs; ``None`` where there is none.

    Of several seeds their means, with Student's t-interval over seeds, come first.
    """
    found = measured_splits(run)
    if not found:
        return None
    lines = tuple(
        (*_where(point), *(told(measures.get(metric), metric) for metric in METRICS))
        for point, measures in (*_means(found), *found)
    )
    return Grid(("Stage", "Seed", "Epoch", *HEAD), lines, (False, False, False, *(True for _ in METRICS)))


def _means(found: Sequence[tuple[Point, Mapping[str, Interval]]]) -> Iterator[tuple[Point, Mapping[str, Interval]]]:
    """Over the seeds that have split their pairs at the same place of a stage, where there are several."""
    by: dict[Point, list[Mapping[str, Interval]]] = {}
    for point, measures in found:
        by.setdefault(point._replace(seed=ALL), []).append(measures)
    for point, several in by.items():
        if len(several) > 1:
            yield (
                point,
                {
                    metric: student_t([measures[metric].value for measures in several])
                    for metric in METRICS
                    if all(metric in measures for measures in several)
                },
            )


def _where(point: Point) -> tuple[str, str, str]:
    seed = "mean" if point.seed == ALL else str(point.seed)
    return point.stage, seed, str(point.epoch) if point.whole else f"{point.epoch}, step {count(point.step)}"


def joined(grids: Sequence[tuple[str, Grid]]) -> Grid | None:
    """The tables of several runs by their titles as one, with the run before each line; ``None`` of none."""
    if len(grids) < 2:
        return grids[0][1] if grids else None
    first = grids[0][1]
    lines = tuple((title, *line) for title, found in grids for line in found.lines)
    return Grid(("Run", *first.head), lines, (False, *first.numbers))


def split_values(runs: Sequence[Run]) -> str:
    """The same as CSV: ``value``, ``low``, ``high`` and ``n`` of a metric a line."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("run", "stage", "seed", "epoch", "step", "metric", "value", "low", "high", "n"))
    for run in runs:
        for point, measures in measured_splits(run):
            for metric in METRICS:
                if metric in measures:
                    where = (safe(run.title), safe(point.stage), point.seed, point.epoch, point.step or "")
                    writer.writerow((*where, metric, *measures[metric]))
    return stream.getvalue()


def told(interval: Interval | None, of: str) -> str:
    """``61.2 % (59.1–63.3, n 2,048)``, with more digits of small shares; an area as ``0.973 (0.95–0.99)``."""
    if interval is None:
        return DASH
    if of == "cosine_auroc":
        return f"{interval.value:.3f} ({interval.low:.2f}{DASH}{interval.high:.2f})"
    digits = 3 if interval.high < _SMALL else 1
    value, low, high = (f"{100 * end:.{digits}f}" for end in (interval.value, interval.low, interval.high))
    return f"{value}\u00a0% ({low}{DASH}{high}, n\u00a0{count(interval.n)})"
