"""Pairs and labeled images as they are kept after their source was read and checked once: memory-mapped Arrow files."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bezoar.core.files import atomic, read_json
from bezoar.core.settings import digest
from bezoar.data.pairs import Skips

if TYPE_CHECKING:
    from bezoar.data.pairs import Pixels

PICTURES, PAIRS, FIRSTS = "pictures.arrow", "pairs.arrow", "firsts.arrow"
FACTS, SKIPPED = "facts.json", "skipped.csv"
CHUNK, FEW = 1024, 64
"""Rows of every chunk but the last: a row is found by arithmetic, without a search. ``FEW`` where rows are large."""


def write_rows(path: Path, schema: pa.Schema, tables: Iterable[pa.Table], few: bool = False) -> None:
    """Write ``tables`` one after another, cut into chunks of ``CHUNK`` rows or ``FEW``, atomically."""
    chunk = FEW if few else CHUNK
    with atomic(path) as stream, pa.ipc.new_file(stream, schema) as writer:
        waiting = schema.empty_table()
        for table in tables:
            waiting = pa.concat_tables([waiting, table])
            whole = waiting.num_rows // chunk * chunk
            if whole:
                writer.write_table(waiting.slice(0, whole).combine_chunks(), max_chunksize=chunk)
                waiting = waiting.slice(whole)
        if waiting.num_rows:
            writer.write_table(waiting.combine_chunks(), max_chunksize=chunk)


class Rows:
    """A file that ``write_rows`` wrote, by row and column; nothing is read before it is asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        except (OSError, pa.ArrowInvalid) as error:
            raise ValueError(f"{path} cannot be read, delete its folder: {error}") from None
        self._count: int = table.num_rows
        self._chunks = {name: table.column(name).chunks for name in table.column_names}
        self._size = len(table.column(0).chunk(0)) if table.num_rows else CHUNK

    def __len__(self) -> int:
        return self._count

    def __call__(self, column: str, row: int) -> Any:
        return self._chunks[column][row // self._size][row % self._size].as_py()

    def find(self, column: str, values: Collection[str]) -> dict[str, int]:
        """In which row each of ``values`` stands, of those that do; the column is read through once."""
        cells = pa.chunked_array(self._chunks[column], pa.string())
        wanted = list(values)
        which = pc.index_in(cells, pa.array(wanted, pa.string())).combine_chunks()
        rows = np.flatnonzero(np.asarray(which.is_valid()))
        return {wanted[number]: row for row, number in zip(rows.tolist(), which.drop_null().to_pylist(), strict=True)}

    def __reduce__(self) -> tuple[type[Rows], tuple[Path]]:
        # Pickled, the map would carry the whole file to another process.
        return Rows, (self.path,)


class Stored:
    """Images of one source: their bytes, or the files that hold them."""

    def __init__(self, folder: Path, source: str) -> None:
        facts = read_json(folder / FACTS)
        self.source = source
        self.fingerprint: str = facts["fingerprint"]
        self.skips = Skips(
            rows=facts["rows"], reasons=facts["reasons"], listed=str(folder / SKIPPED) if facts["reasons"] else None
        )
        self._pictures = Rows(folder / PICTURES)

    def __len__(self) -> int:
        return len(self._pictures)

    def id(self, index: int) -> str:
        return str(self._pictures("id", index))

    def find(self, ids: Collection[str]) -> dict[str, int]:
        """Where each of ``ids`` stands, of those that are here."""
        return self._pictures.find("id", ids)

    def image(self, index: int) -> Pixels:
        from bezoar.data.decode import decode

        try:
            return decode(self.content(index))
        except ValueError as error:
            raise self._changed(index, error) from None

    def content(self, index: int) -> bytes:
        """The encoded picture; raises ``ValueError`` where its file is gone."""
        found = self._pictures("image", self.picture(index))
        if isinstance(found, bytes):
            return found
        try:
            return Path(found).read_bytes()
        except OSError as error:
            raise self._changed(index, error) from None

    def picture(self, index: int) -> int:
        """The row of the pictures that holds image ``index``."""
        return index

    def _changed(self, index: int, error: Exception) -> ValueError:
        return ValueError(
            f"{self.source}: image of '{self.id(index)}' could be read before, now it cannot: {error}; put it back, or "
            "have the source read anew by bezoar data cache --clear"
        )


class StoredPairs(Stored):
    """Pairs of one source; those with one picture share it."""

    def __init__(self, folder: Path, source: str) -> None:
        super().__init__(folder, source)
        self._pairs = Rows(folder / PAIRS)
        self._firsts = Rows(folder / FIRSTS)

    @property
    def pictures(self) -> int:
        return len(self._pictures)

    def __len__(self) -> int:
        return len(self._pairs)

    def id(self, index: int) -> str:
        return str(self._pairs("id", index))

    def find(self, ids: Collection[str]) -> dict[str, int]:
        return self._pairs.find("id", ids)

    def caption(self, index: int) -> str:
        return str(self._pairs("caption", index))

    def picture(self, index: int) -> int:
        return int(self._pairs("picture", index))

    def first(self, picture: int) -> int:
        return int(self._firsts("first", picture))

    def shrunk(self, index: int, least: int) -> Pixels:
        from bezoar.data.decode import shrunk

        try:
            return shrunk(self.content(index), least)
        except ValueError as error:
            raise self._changed(index, error) from None


class StoredLabels(Stored):
    """Labeled images of one source."""

    def __init__(self, folder: Path, source: str, classes: tuple[str, ...], templates: tuple[str, ...]) -> None:
        super().__init__(folder, source)
        self.fingerprint = digest(self.fingerprint, classes, templates)
        self.classes = classes
        self.templates = templates

    def label(self, index: int) -> int:
        return int(self._pictures("label", index))
