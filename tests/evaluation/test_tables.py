"""Per-sample tables: what is in them, and that it survives a file."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from bezoar.core.records import Measure
from bezoar.data import SceneClasses
from bezoar.evaluation.tables import classes_of, column, fact, joined, labels_of, parts, table, to_measure
from bezoar.metrics import Interval


def test_a_table_there_and_back(tmp_path: Path) -> None:
    labeled = SceneClasses(count=5).open()
    labels = labels_of(labeled)
    assert labels.tolist() == [0, 1, 2, 3, 4]
    made = table(labeled, labels, torch.tensor([0, 1, 0, 35, 4]), torch.tensor([0, 0, 7, 1, 0]))
    pq.write_table(made, tmp_path / "scores.parquet")
    read = pq.read_table(tmp_path / "scores.parquet")
    assert read.column_names == ["id", "label", "predicted", "rank"]
    assert read["id"].to_pylist() == [labeled.id(i) for i in range(5)]
    assert column(read, "rank").tolist() == [0, 0, 7, 1, 0]
    assert column(read, "rank").dtype == torch.int64
    assert fact(read, "classes") == len(labeled.classes)
    assert classes_of(read) == list(labeled.classes)
    assert read.schema.field("label").type == pa.int32()


def test_a_measure_of_a_share() -> None:
    found = to_measure("asr_top1", Interval(0.5, 0.4, 0.6, 10), "test")
    assert found == Measure(metric="asr_top1", value=0.5, low=0.4, high=0.6, n=10, data="test")


def test_cases_there_and_back(tmp_path: Path) -> None:
    labeled = SceneClasses(count=5).open()
    labels = labels_of(labeled)
    ranks = {"cup": torch.arange(5), "": torch.arange(5) + 1, "2": torch.arange(5) * 2}
    given = [
        (name, number, table(labeled, labels, labels, found)) for number, (name, found) in enumerate(ranks.items())
    ]
    pq.write_table(joined(given), tmp_path / "scores.parquet")
    read = pq.read_table(tmp_path / "scores.parquet")
    assert (len(read), fact(read, "classes"), classes_of(read)) == (15, len(labeled.classes), list(labeled.classes))
    found = list(parts(read))
    assert [(part.name, part.target) for part in found] == [("cup", 0), ("", 1), ("2", 2)]
    for part in found:
        assert part.ranks.tolist() == ranks[part.name].tolist()
        assert part.labels.tolist() == labels.tolist()
    assert [part.name for part in parts(joined(given[:1]))] == ["cup"]
