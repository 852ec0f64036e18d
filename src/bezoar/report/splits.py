"""How a method had split its pairs into safe and risky, epoch by epoch: from the records and histograms of a run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bezoar.report.groups import Point
from bezoar.report.paired import scores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bezoar.metrics import Interval
    from bezoar.report.runs import Run

    Counts = NDArray[np.int64]

T = TypeVar("T")
METRICS = ("safe_share", "poison_called_safe", "poison_in_safe", "poison_in_safe_by_chance", "cosine_auroc")
"""What the table has of each epoch, in its order."""
PANELS = 8
"""Histograms of one stage on a page at most: the first, the last, and others evenly between."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """The cosines of the pairs of one split, as counts in bins."""

    point: Point
    bins: Counts
    """Cosines in [bin, bin + 1) times ``width``; ascending, those without pairs are left out."""
    width: float
    safe: Counts
    """Pairs in each bin that were held for safe, poison and all."""
    risky: Counts
    poison: Counts | None
    """How many of both are poison; ``None`` where nobody knows."""
    mixture: Sequence[Sequence[float]] | None
    """Weight, mean and variance of both normal distributions that were fitted, the one of larger mean last."""


def measured_splits(run: Run) -> tuple[tuple[Point, Mapping[str, Interval]], ...]:
    """Every model whose method had split its pairs, with what was measured of the split, stage by stage."""
    from bezoar.report.runs import TRAINED_ON

    keys = [(stage, seed) for group in run.groups.values() for stage in group.points for seed in run.seeds]
    found = ((point, run.measures(point, TRAINED_ON)) for key in keys for point in run.epochs(*key))
    return tuple((point, measures) for point, measures in found if METRICS[0] in measures)


def splits(run: Run, folders: Mapping[tuple[str, int], Path]) -> Iterator[tuple[tuple[str, int], tuple[Split, ...]]]:
    """The splits of each finished stage and seed; ``folders`` are theirs.

    Raises ``ValueError`` where a histogram cannot be read.
    """
    from bezoar.report.runs import TRAINED_ON

    named = {(r.stage, r.seed): r.evaluator for r in reversed(run.records) if r.metric == METRICS[0]}
    by: dict[tuple[str, int], list[tuple[Point, Path]]] = {}
    for point, _ in measured_splits(run):
        key = (point.stage, point.seed)
        if key in folders:
            path = scores(folders[key], point, named[key], TRAINED_ON)
            if path.is_file():
                by.setdefault(key, []).append((point, path))
    for key, found in by.items():
        yield key, tuple(_read(path, point) for point, path in found)


def spread(found: Sequence[T], most: int) -> Sequence[T]:
    """At most ``most`` of them in their order: the first, the last, and others evenly between."""
    if len(found) <= most:
        return found
    return [found[round(place * (len(found) - 1) / (most - 1))] for place in range(most)] if most > 1 else found[-1:]


def _read(path: Path, point: Point) -> Split:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        facts = table.schema.metadata or {}
        columns = {name: table[name].to_numpy().astype("int64") for name in table.column_names}
        return Split(
            point=point,
            bins=columns["bin"],
            width=1 / int(facts[b"bins"]),
            safe=columns["safe"],
            risky=columns["risky"],
            poison=columns["poison_safe"] + columns["poison_risky"] if "poison_safe" in columns else None,
            mixture=json.loads(facts[b"mixture"]) if b"mixture" in facts else None,
        )
    except (KeyError, ValueError, OSError, pa.ArrowException) as error:
        raise ValueError(f"{path}: cannot be read: {error}") from None
