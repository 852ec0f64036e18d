"""How well an attack works on the model of a stage, from what the stage has written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from bezoar.core.files import read_json
from bezoar.core.records import Measure, Record
from bezoar.experiment.keeping import BEST

if TYPE_CHECKING:
    import pyarrow as pa

    from bezoar.experiment.stages import Job

SUCCESS = ("asr_top1", "targeted_top1", "caption_asr_top1")
"""What the success of an attack is measured by; the first that was measured is told."""


def left(job: Job, data: str) -> dict[str, Record]:
    """What was measured on set ``data`` of the model that a stage left, its best or its last, by metric."""
    records = job.records()
    if job.stage.keep == "best":
        best = read_json(job.folder / BEST)
        return _by_metric(records, (best["epoch"], best["step"]), data)
    return _by_metric(records, max(((r.epoch, r.step) for r in records), default=(0, 0)), data)


def given(job: Job, data: str) -> dict[str, Record]:
    """The same of the model from elsewhere that a stage began with."""
    return _by_metric(job.records(), (0, 0), data)


def _by_metric(records: Sequence[Record], at: tuple[int, int], data: str) -> dict[str, Record]:
    """Of several evaluators that measure the same the first has it."""
    found: dict[str, Record] = {}
    for record in records:
        if (record.epoch, record.step) == at and record.data == data:
            found.setdefault(record.metric, record)
    return found


def as_measure(record: Record | None) -> Measure | None:
    """The measure that a record was made of."""
    return Measure(**{field.name: getattr(record, field.name) for field in fields(Measure)}) if record else None


def works(
    accuracy: Measure | None, success: Measure | None, without: Measure | None, classes: int | None
) -> bool | None:
    """Whether an attack works, among ``classes``; ``None`` where that cannot be said."""
    from bezoar.metrics import Interval, destroyed, takes

    if accuracy is None or success is None or classes is None:
        return None
    if destroyed(Interval(accuracy.value, accuracy.low, accuracy.high, accuracy.n), classes):
        return None
    return takes(success.low, classes, without.high if without else 0.0)


def without(job: Job, records: Mapping[str, Record], success: Record) -> Measure | None:
    """The share that ``success`` is of, of the same model without the attack."""
    if success.metric == "caption_asr_top1":
        return as_measure(records.get("caption_rate_top1"))
    if success.metric != "asr_top1" or "accuracy_top1" not in records:
        return None
    return _untouched(_scores(job, records["accuracy_top1"]), _scores(job, success), success.data)


def _scores(job: Job, record: Record) -> pa.Table:
    """The table of single pictures that a number rests on."""
    import pyarrow.parquet as pq

    at = f"epoch-{record.epoch:03d}" if record.whole else f"epoch-{record.epoch:03d}-step-{record.step:06d}"
    return pq.read_table(job.folder / "scores" / f"{at}.{record.evaluator}.{record.data}.parquet")


def _untouched(clean: pa.Table, triggered: pa.Table, data: str) -> Measure:
    """How often untouched pictures of other classes are taken for a target; of several targets, over all of them."""
    from bezoar.evaluation.tables import column, parts, to_measure
    from bezoar.metrics import attack_success, pooled

    predicted, labels = column(clean, "predicted"), column(clean, "label")
    targets = sorted({part.target for part in parts(triggered)})
    shares = [attack_success((predicted != target).long(), labels, target, 1) for target in targets]
    return to_measure("untouched_top1", pooled(shares) if len(shares) > 1 else shares[0], data)
