"""Per-sample tables: what is in them, and that it survives a file."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from bezoar.core.records import Measure
from bezoar.data import SceneClasses
from bezoar.evaluation.tables import column, fact, labels_of, table, to_measure
from bezoar.metrics import Interval


def test_a_table_there_and_back(tmp_path: Path) -> None:
    labeled = SceneClasses(count=5).open()
    labels = labels_of(labeled)
    assert labels.tolist() == [0, 1, 2, 3, 4]
    made = table(labeled, labels, torch.tensor([0, 1, 0, 35, 4]), torch.tensor([0, 0, 7, 1, 0]), target=3)
    pq.write_table(made, tmp_path / "scores.parquet")
    read = pq.read_table(tmp_path / "scores.parquet")
    assert read.column_names == ["id", "label", "predicted", "rank"]
    assert read["id"].to_pylist() == [labeled.id(i) for i in range(5)]
    assert column(read, "rank").tolist() == [0, 0, 7, 1, 0]
    assert column(read, "rank").dtype == torch.int64
    assert (fact(read, "classes"), fact(read, "target")) == (len(labeled.classes), 3)
    assert read.schema.field("label").type == pa.int32()


def test_a_measure_of_a_share() -> None:
    found = to_measure("asr_top1", Interval(0.5, 0.4, 0.6, 10), "test")
    assert found == Measure(metric="asr_top1", value=0.5, low=0.4, high=0.6, n=10, data="test")
