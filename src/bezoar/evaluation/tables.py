"""Per-sample tables: one row an image, the classes in the schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import torch

from bezoar.core.records import Measure

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.data.pairs import LabeledSet
    from bezoar.metrics import Interval


def table(labeled: LabeledSet, labels: Tensor, predicted: Tensor, ranks: Tensor) -> pa.Table:
    """Columns ``id``, ``label``, ``predicted`` and ``rank``."""
    columns = {
        "id": pa.array([labeled.id(i) for i in range(len(labeled))]),
        "label": pa.array(labels.numpy(), pa.int32()),
        "predicted": pa.array(predicted.numpy(), pa.int32()),
        "rank": pa.array(ranks.numpy(), pa.int32()),
    }
    metadata = {"classes": str(len(labeled.classes)), "names": json.dumps(labeled.classes)}
    return pa.table(columns).replace_schema_metadata(metadata)


class Part(NamedTuple):
    """The rows of one case of a joined table."""

    name: str
    target: int
    ranks: Tensor
    labels: Tensor


def joined(parts: Sequence[tuple[str, int, pa.Table]]) -> pa.Table:
    """Tables of the same images in several cases as one, with the ``case`` and the ``target`` of each row."""
    rows = [
        found.append_column("case", pa.array([name] * len(found)).dictionary_encode()).append_column(
            "target", pa.array([target] * len(found), pa.int32())
        )
        for name, target, found in parts
    ]
    return pa.concat_tables(rows, promote_options="permissive").unify_dictionaries()


def parts(scores: pa.Table) -> Iterator[Part]:
    """The cases of a joined table, in their order."""
    import pyarrow.compute as pc

    for name in pc.unique(scores["case"]).to_pylist():
        rows = scores.filter(pc.equal(scores["case"], name))
        yield Part(name, int(rows["target"][0].as_py()), column(rows, "rank"), column(rows, "label"))


def classes_of(scores: pa.Table) -> list[str]:
    """The names of the classes, in the order of the labels."""
    names: list[str] = json.loads(scores.schema.metadata[b"names"])
    return names


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
