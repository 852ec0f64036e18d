"""Labels of images on disk, by id: what one model has said of a set, for another to learn."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bezoar.core.files import atomic
from bezoar.core.settings import nearest
from bezoar.data.files.readers import columns_of, files_of, rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bezoar.data.pairs import Images

ID, LABEL, PROBABILITY = "id", "label", "probability"
FACTS = b"bezoar"
"""The key of the schema under which a Parquet file says what it was made of and by whom."""


@dataclass(frozen=True)
class LabelFile:
    """The labels that a file holds."""

    path: str
    ids: pa.Array
    """Each once."""
    numbers: NDArray[np.int64]
    """The class of each, by its place in ``classes``."""
    classes: tuple[str, ...]
    source: str = ""
    """Fingerprint of the set that was labeled; empty where the file does not tell."""

    def of(self, images: Images) -> NDArray[np.int64]:
        """The class of each of ``images``, found by its id; raises ``ValueError`` where the file lacks one."""
        ids = pa.array((images.id(index) for index in range(len(images))), pa.large_string())
        places = pc.index_in(ids, value_set=self.ids)
        if places.null_count:
            first = ids[pc.index(places.is_null(), True).as_py()]
            raise ValueError(
                f"labels: {self.path} has none for {places.null_count:,} of the {len(ids):,} pairs, as for '{first}'; "
                "label these very pairs with 'bezoar data label'"
            )
        found: NDArray[np.int64] = self.numbers[places.to_numpy()]
        return found


def file_of(path: str) -> Path:
    """The one table that ``path`` names; raises ``ValueError``."""
    try:
        found = files_of(path)
    except ValueError as error:
        raise ValueError(f"labels: {str(error).removeprefix('path: ')}") from None
    if len(found) != 1:
        raise ValueError(f"labels: {path} are {len(found)} files; name one")
    return found[0]


def read(path: str, classes: tuple[str, ...] = ()) -> LabelFile:
    """The labels in a table with the columns ``id`` and ``label``, which holds names.

    ``classes`` by default: those that the file was made with, or the names that stand in it, in alphabetical order.
    Raises ``ValueError`` for a file that cannot be read, an id that stands twice, and labels outside the classes.
    """
    file = file_of(path)
    try:
        for column in (ID, LABEL):
            if column not in columns_of(file):
                raise ValueError(f"{path} has no column '{column}'{nearest(column, columns_of(file))}")
        found = rows(file, [ID, LABEL])
        facts = facts_of(file)
    except ValueError as error:
        raise ValueError(f"labels: {error}") from None
    if found.broken:
        raise ValueError(f"labels: {path}: row {found.broken[0]} cannot be read")
    ids, names = (found.table[column].cast(pa.large_string()).combine_chunks() for column in (ID, LABEL))
    _refuse_double(path, ids)
    classes = tuple(dict.fromkeys(classes or facts.get("classes") or sorted(set(names.to_pylist()) - {None, ""})))
    if len(classes) < 2:
        raise ValueError(f"labels: {path}: two classes are needed at least, there is {list(classes)}")
    numbers = pc.index_in(names, value_set=pa.array(classes, pa.large_string()))
    if numbers.null_count:
        at = pc.index(numbers.is_null(), True).as_py()
        raise ValueError(
            f"labels: {path}: {numbers.null_count:,} of {len(names):,} are outside the {len(classes):,} classes, as "
            f"'{names[at]}' of '{ids[at]}'{nearest(str(names[at]), classes[:40])}"
        )
    return LabelFile(path, ids, numbers.to_numpy().astype("int64"), classes, str(facts.get("source", "")))


def _refuse_double(path: str, ids: pa.Array) -> None:
    if ids.null_count:
        raise ValueError(f"labels: {path}: row {pc.index(ids.is_null(), True).as_py() + 1} has no id")
    if pc.count_distinct(ids).as_py() < len(ids):
        counts = pc.value_counts(ids)
        first = counts.field("values")[pc.index(pc.greater(counts.field("counts"), 1), True).as_py()]
        raise ValueError(f"labels: {path}: id '{first}' stands twice")


def facts_of(file: Path) -> dict[str, Any]:
    """What a file of labels says of itself, empty where it says nothing; raises ``ValueError`` where it is damaged."""
    if file.suffix.lower() != ".parquet":
        return {}
    try:
        found = json.loads((pq.read_schema(file).metadata or {}).get(FACTS, b"{}"))
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{file}: cannot be read as Parquet: {error}") from None
    except ValueError as error:
        raise ValueError(f"{file}: what it says of itself is damaged: {error}") from None
    return found if isinstance(found, dict) else {}


def write(
    path: Path, ids: Sequence[str], labels: Sequence[str], probabilities: Sequence[float], facts: Mapping[str, Any]
) -> None:
    """Write labels as Parquet, atomically; ``facts`` hold ``classes`` and ``source``, and what else is to be told."""
    columns = {
        ID: pa.array(ids, pa.string()),
        LABEL: pa.array(labels, pa.string()).dictionary_encode(),
        PROBABILITY: pa.array(probabilities, pa.float32()),
    }
    with atomic(path) as stream:
        pq.write_table(pa.table(columns).replace_schema_metadata({FACTS: json.dumps(facts)}), stream)
