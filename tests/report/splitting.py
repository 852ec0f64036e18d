"""Run folders whose method has split its pairs: records and histograms as ``safe_set`` leaves them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from bezoar.core.records import read_records, write_records
from bezoar.evaluation import Evaluation, SafeSet
from bezoar.evaluation.safe_set import _histogram
from bezoar.report.groups import Point
from bezoar.report.paired import scores

PAIRS, POISON = 2000, 40


def told(epoch: int, known: bool = True) -> Evaluation:
    """What is measured of a split after ``epoch``: poison a little lower each time, half of the pairs safe."""
    rng = np.random.default_rng(epoch)
    poison = np.arange(PAIRS) < POISON
    cosine = np.clip(rng.normal(np.where(poison, 0.28 - 0.01 * epoch, 0.3), 0.05), -1, 1)
    safe = cosine > np.median(cosine)
    rows = _histogram(safe, cosine, poison if known else None, POISON, [[0.1, 0.1, 0.003], [0.9, 0.3, 0.0025]])
    return Evaluation(SafeSet().measure(rows, "pairs"), {"pairs": rows})


def add_splits(
    folder: Path, stage: str, epochs: range, seed: int = 0, at: Path | None = None, known: bool = True
) -> list[Evaluation]:
    """Splits of a stage after each of ``epochs``; histograms where ``at``, the folder of a finished stage, is given."""
    before = read_records(folder / "records.jsonl")
    like = before[0]
    found = [told(epoch, known) for epoch in epochs]
    more = [
        dataclasses.replace(
            like, stage=stage, seed=seed, epoch=epoch, step=10 * epoch, evaluator="safe_set",
            **dataclasses.asdict(measure),
        )
        for epoch, (measures, _) in zip(epochs, found, strict=True)
        for measure in measures
    ]  # fmt: skip
    write_records(folder / "records.jsonl", [*before, *more])
    for epoch, (_, tables) in zip(epochs, found, strict=True):
        if at is not None:
            pq.write_table(tables["pairs"], scores(at, Point(stage, seed, epoch), "safe_set", "pairs"))
    return found
