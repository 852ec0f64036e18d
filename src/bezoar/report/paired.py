"""How a model has changed since it was given, sample by sample: from the per-sample tables of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bezoar.metrics import Interval, paired_difference, student_t
from bezoar.report.groups import Point

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from bezoar.report.runs import Run

Changes = Mapping[tuple[str, str], Interval]
"""By data and metric: the value after less the value before, over the same samples."""
METRICS = ("accuracy_top1", "asr_top1", "text_recall_top1", "image_recall_top1", "contrastive_loss")
"""What is compared, in the order in which it is told."""


def changes(run: Run, folders: Mapping[tuple[str, int], Path]) -> Iterator[tuple[tuple[str, int], Changes]]:
    """For each stage that began with a model which was measured: what changed until the model that it leaves.

    ``folders`` are those of finished stages. What has no per-sample tables is left out; raises ``ValueError`` where one
    cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    by: dict[tuple[str, int], dict[tuple[str, str], str]] = {}
    for record in run.records:
        if (record.epoch, record.step) == (0, 0) and record.metric in METRICS:
            by.setdefault((record.stage, record.seed), {}).setdefault((record.data, record.metric), record.evaluator)
    for (stage, seed), wanted in by.items():
        last = run.kept(stage, seed)
        if last is None or (stage, seed) not in folders:
            continue
        found: dict[tuple[str, str], Interval] = {}
        for (data, metric), evaluator in wanted.items():
            paths = [scores(folders[stage, seed], at, evaluator, data) for at in (Point(stage, seed, 0), last)]
            if not all(path.is_file() for path in paths):
                continue
            try:
                change = difference(metric, *map(pq.read_table, paths))
            except (KeyError, OSError, pa.ArrowException) as error:
                raise ValueError(f"{paths[0].parent}: the scores of '{evaluator}' cannot be read: {error}") from None
            if change is not None:
                found[data, metric] = change
        yield (stage, seed), found


def scores(folder: Path, point: Point, evaluator: str, data: str) -> Path:
    """The per-sample table of one model in the folder of its stage."""
    step = "" if point.whole else f"-step-{point.step:06d}"
    return folder / "scores" / f"epoch-{point.epoch:03d}{step}.{evaluator}.{data}.parquet"


def difference(metric: str, before: pa.Table, after: pa.Table) -> Interval | None:
    """How ``metric`` has changed, with the interval of a paired difference; ``None`` where samples are not the same.

    Of shares it is Newcombe's, of losses Student's t over batches. Several triggers, and captions that share a picture,
    are no independent samples: ``None``.
    """
    (ids, old), (others, new) = _judged(metric, before), _judged(metric, after)
    if not len(ids) or ids != others or len(old) != len(new):
        return None
    if metric == "contrastive_loss":
        return student_t((new - old).tolist()) if len(new) > 1 else None
    kinds = ((old & new), (old & ~new), (~old & new), (~old & ~new))
    return paired_difference(*(int(kind.sum()) for kind in kinds))


def _judged(metric: str, table: pa.Table) -> tuple[list[str], NDArray[Any]]:
    """The ids of the samples and whether each was found, or the loss of each batch."""
    import pyarrow.compute as pc

    if metric == "contrastive_loss":
        losses: NDArray[np.float64] = table["loss"].to_numpy().astype("float64")
        count = table["batch"][-1].as_py() + 1
        return table["id"].to_pylist(), losses.reshape(count, -1).mean(1) if count > 1 else losses
    if metric == "asr_top1":
        if len(pc.unique(table["case"])) > 1:
            return [], table["rank"].to_numpy()
        table = table.filter(pc.not_equal(table["label"], table["target"]))
    elif metric != "accuracy_top1":
        asks = "image" if metric == "text_recall_top1" else "text"
        table = table.filter(pc.equal(table["query"], asks))
        if len(table) != int((table.schema.metadata or {}).get(b"images", -1)):
            return [], table["rank"].to_numpy()
    return table["id"].to_pylist(), table["rank"].to_numpy() == 0
