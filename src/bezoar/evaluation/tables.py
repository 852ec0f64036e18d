"""Per-sample tables: one row an image, the number of classes in the schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import torch

from bezoar.core.records import Measure

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.data.pairs import LabeledSet
    from bezoar.metrics import Interval


def table(labeled: LabeledSet, labels: Tensor, predicted: Tensor, ranks: Tensor, **facts: int) -> pa.Table:
    """Columns ``id``, ``label``, ``predicted`` and ``rank``; ``facts`` go into the metadata of the schema."""
    columns = {
        "id": pa.array([labeled.id(i) for i in range(len(labeled))]),
        "label": pa.array(labels.numpy(), pa.int32()),
        "predicted": pa.array(predicted.numpy(), pa.int32()),
        "rank": pa.array(ranks.numpy(), pa.int32()),
    }
    metadata = {"classes": str(len(labeled.classes)), **{name: str(value) for name, value in facts.items()}}
    return pa.table(columns).replace_schema_metadata(metadata)


def fact(scores: pa.Table, name: str) -> int:
    """One number of the schema's metadata."""
    return int(scores.schema.metadata[name.encode()])


def column(scores: pa.Table, name: str) -> Tensor:
    """A column of whole numbers as a tensor."""
    return torch.from_numpy(scores[name].to_numpy().astype("int64"))


def labels_of(labeled: LabeledSet) -> Tensor:
    """The labels of a set, ``int64 [n]``."""
    return torch.tensor([labeled.label(i) for i in range(len(labeled))])


def to_measure(metric: str, interval: Interval, data: str) -> Measure:
    """A measure from a share with its interval."""
    return Measure(metric=metric, value=interval.value, low=interval.low, high=interval.high, n=interval.n, data=data)
