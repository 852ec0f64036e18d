"""The rows of tables that were asked for, and the pictures they name: what ``ingest`` is given.

Whole columns at a time: a table may have millions of rows, and an object for each would not fit into memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bezoar.core.machine import expand
from bezoar.core.settings import nearest
from bezoar.data.files.ingest import BLOCK, Listing, Pairing, Skip
from bezoar.data.files.paths import resolve
from bezoar.data.files.readers import (
    TEXT,
    TEXTS,
    Pictures,
    columns_of,
    contents,
    paths_in,
    pictures_of,
    rows,
)
from bezoar.data.files.table import NOTHING

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]
    Mask = NDArray[np.bool_]

IMAGES = ("image", "path", "filepath", "image_path", "file_name", "filename", "img", "jpg", "png")

_SLICE = 1 << 17
"""Cells that are looked at together: what is made of them on the way takes room too."""


@dataclass(frozen=True)
class Columns:
    """The columns of a table, and which of them hold the pictures and the ids."""

    files: Sequence[Path]
    delimiter: str
    names: tuple[str, ...]
    image: str = ""
    id: str = ""

    @classmethod
    def of(
        cls, files: Sequence[Path], delimiter: str, where: Mapping[str, object], image_key: str, id_key: str
    ) -> Columns:
        """The columns of ``files``; raises ``ValueError`` where one that is named is not there."""
        found = cls(files, delimiter, columns_of(files[0], delimiter))
        image = found.find("image_key", image_key, IMAGES)
        for field, name in (("id_key", id_key), *((f"where.{name}", name) for name in where)):
            if name:
                found.find(field, name, ())
        return cls(files, delimiter, found.names, image, id_key)

    def find(self, field: str, given: str, usual: tuple[str, ...], hint: str = "") -> str:
        """The column that ``given`` names, or else the first usual one; raises ``ValueError`` where there is none."""
        own = [name for name in self.names if name]
        found = given if given in own else next((name for name in usual if name in own and not given), None)
        if found is not None:
            return found
        only = own[0] if len(own) == 1 else ""
        mark = next((mark for mark in "\t;|," if mark in only), "")
        if mark:
            shown = "\\t" if mark == "\t" else mark
            hint = f'; its only column is called {only!r}: is delimiter: "{shown}" missing?'
        elif given or not hint:
            hint = nearest(given or usual[0], own)
        wanted = f"'{given}'" if given else f"called {', '.join(usual[:4])} …"
        raise ValueError(f"{field}: {self.files[0]} has no column {wanted}{hint}")


@dataclass(frozen=True)
class Frame:
    """The rows that were asked for, without the pictures that stand in them."""

    columns: Columns
    table: pa.Table
    lines: Numbers
    """Number of each row, from 1, over all files."""
    inside: bool
    """Whether the image column holds the pictures themselves."""
    broken: list[int]
    """Numbers of the rows that could not be read, which are not among these."""

    def __len__(self) -> int:
        return len(self.lines)

    def cells(self, name: str) -> pa.Array:
        """A column."""
        return self.table.column(name).chunk(0)  # ``read`` leaves one; to combine one would copy it

    def texts(self, field: str, name: str, nothing: Sequence[str] = NOTHING) -> pa.Array:
        """A column as text, whole numbers too; null where it says ``nothing``. ``ValueError`` for another type."""
        cells = self.cells(name)
        if pa.types.is_floating(cells.type):
            try:
                cells = pc.if_else(pc.is_nan(cells), None, cells).cast(pa.int64())
            except pa.ArrowInvalid:
                raise self._no_text(field, name, cells.type) from None
        if not (cells.type == TEXT or pa.types.is_integer(cells.type)):
            raise self._no_text(field, name, cells.type)
        cells = cells.cast(TEXT)
        said = says(cells, nothing)
        return cells if pc.all(said).as_py() else pc.if_else(said, cells, None)

    def _no_text(self, field: str, name: str, kind: pa.DataType) -> ValueError:
        return ValueError(f"{field}: column '{name}' of {self.columns.files[0]} holds {kind}, not text")

    def skip(self, passed: Mask, reason: str) -> list[Skip]:
        """The rows ``passed`` as ones that are passed over."""
        name = self.columns.id or ("" if self.inside else self.columns.image)
        chosen = np.flatnonzero(passed)
        named = self.cells(name).take(pa.array(chosen)).to_pylist() if name else [""] * len(chosen)
        return [
            Skip(line, "" if one is None else str(one), reason)
            for line, one in zip(self.lines[chosen].tolist(), named, strict=True)
        ]


def read(columns: Columns, more: Sequence[str], where: Mapping[str, Any]) -> Frame:
    """The rows of all files that ``where`` asks for, with the columns ``more`` besides those of pictures and ids."""
    kinds = [pictures_of(file, columns.image) for file in columns.files]
    if len({kind.inside for kind in kinds}) > 1:
        raise ValueError(f"image_key: column '{columns.image}' holds pictures in some files and their paths in others")
    inside = kinds[0].inside
    names = [*([] if inside else [columns.image]), *([columns.id] if columns.id else []), *more, *where]
    tables, lines, broken, count = [], [], [], 0
    for file, kind in zip(columns.files, kinds, strict=True):
        table, gaps = _rows(file, list(dict.fromkeys(names)), kind, columns)
        tables.append(table)
        numbers = np.arange(1, table.num_rows + len(gaps) + 1)
        lines.append(count + np.delete(numbers, np.array(gaps, np.int64) - 1))
        broken += [count + gap for gap in gaps]
        count += len(numbers)
    try:
        table = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise ValueError(f"path: {columns.files[0]} and the files after it have other columns: {error}") from None
    empty = [k for k, kind in enumerate(table.schema.types) if pa.types.is_null(kind)]
    for k in empty:
        table = table.set_column(k, table.column_names[k], table.column(k).cast(TEXT))
    if not table.num_rows:
        raise ValueError(f"path: {columns.files[0]} has no row that can be read")
    numbers = np.concatenate(lines)
    for name, value in where.items():
        chosen = _wanted(table.column(name), name, value, columns)
        table, numbers = table.filter(pa.array(chosen)), numbers[chosen]
    return Frame(columns, table.combine_chunks(), numbers, inside, broken)


def _rows(file: Path, names: list[str], kind: Pictures, columns: Columns) -> tuple[pa.Table, list[int]]:
    """The columns ``names``; the image column as paths, where it is among them."""
    image = columns.image
    if kind.paths == image or image not in names:
        return rows(file, names, columns.delimiter)
    table, broken = rows(file, [name for name in names if name != image], columns.delimiter)
    return table.append_column(image, paths_in(file, kind.paths)).select(names), broken


def _wanted(cells: pa.ChunkedArray, name: str, value: Any, columns: Columns) -> Mask:
    """Which rows have ``value``, or one of these, in a column; ``ValueError`` where none has."""
    options = value if isinstance(value, (tuple, list)) else (value,)
    kind = cells.type
    # Truth values as Python and others write them; 3 and 3.0 are one number, but not one text.
    spelled = {True: ("true", "True", "TRUE"), False: ("false", "False", "FALSE")}
    texts = [text for one in options for text in (spelled[one] if isinstance(one, bool) else (str(one),))]
    if pa.types.is_floating(kind):
        numbers = [float(text) for text in texts if text.lstrip("+-").replace(".", "", 1).isdecimal()]
        chosen = pc.is_in(cells, pa.array(numbers, kind))
    elif kind == TEXT or pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        chosen = pc.is_in(cells.cast(TEXT), pa.array(texts, TEXT))
    else:
        raise ValueError(f"where.{name}: column '{name}' holds {kind}: only text and numbers can be asked for")
    found = np.asarray(chosen)
    if not found.any():
        some = [str(one) for one in cells.unique()[:100].to_pylist() if one is not None]
        raise ValueError(f"where.{name}: no row of {columns.files[0]} has {' or '.join(map(str, options))} there"
                         f"{nearest(texts[0] if texts else '', some[:20])}")  # fmt: skip
    return found


def says(texts: pa.Array, nothing: Sequence[str] = NOTHING) -> pa.Array:
    """Of text, which cells say something."""
    pieces = [texts.slice(start, _SLICE) for start in range(0, len(texts), _SLICE)]
    return pa.concat_arrays([_says(piece, nothing) for piece in pieces]) if pieces else pa.array([], pa.bool_())


def _says(texts: pa.Array, nothing: Sequence[str]) -> pa.Array:
    bare = pc.utf8_lower(pc.utf8_trim_whitespace(texts))
    return pc.and_(pc.is_valid(texts), pc.invert(pc.is_in(bare, pa.array(nothing, TEXT))))


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Usable captions: three columns of one length, in the order of the table."""

    rows: Numbers
    """Row of the frame."""
    places: Numbers
    """Place in the row's list; -1 where there is none."""
    texts: pa.Array

    def of_rows(self, wanted: Mask) -> Texts:
        """Those of some rows of the frame."""
        chosen = wanted[self.rows]
        if chosen.all():
            return self
        return Texts(rows=self.rows[chosen], places=self.places[chosen], texts=self.texts.filter(pa.array(chosen)))


def captions(frame: Frame, key: str, which: Literal["each", "first"]) -> Texts:
    """The usable captions of every row; an empty cell of a list is no caption, and no fault of its row either."""
    cells = frame.cells(key)
    if cells.type != TEXTS:
        texts = frame.texts("caption_key", key)
        found = np.flatnonzero(np.asarray(texts.is_valid()))
        texts = texts.drop_null() if texts.null_count else texts
        return Texts(rows=found, places=np.full(len(found), -1), texts=texts)
    flat, owners = pc.list_flatten(cells), np.asarray(pc.list_parent_indices(cells))
    lengths = np.asarray(pc.list_value_length(cells).fill_null(0))
    places = np.arange(len(flat)) - (np.cumsum(lengths) - lengths)[owners]
    chosen = np.flatnonzero(np.asarray(says(flat)))
    if which == "first":
        chosen = chosen[np.unique(owners[chosen], return_index=True)[1]]
    return Texts(
        rows=owners[chosen],
        places=places[chosen] if which == "each" else np.full(len(chosen), -1),
        texts=flat.take(pa.array(chosen)),
    )


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The pictures that rows show, each once."""

    names: pa.Array
    files: pa.Array | None
    """Where each lies; ``None`` where the table holds them."""
    number: Numbers
    """Of each row of the frame the number of its picture; -1 where it has none."""


def pictures(frame: Frame, usable: Mask, root: str, share: bool) -> Shown:
    """The pictures of the rows ``usable``; rows that name one file have one picture, if they may ``share`` it."""
    number = np.full(len(frame), -1)
    if frame.inside:
        number[usable] = np.arange(np.count_nonzero(usable))
        return Shown(names=_names(frame, usable), files=None, number=number)
    paths = frame.texts("image_key", frame.columns.image)
    usable = usable & np.asarray(paths.is_valid())
    paths = paths.filter(pa.array(usable))
    if share:
        coded = paths.dictionary_encode()
        paths, number[usable] = coded.dictionary, np.asarray(coded.indices)
    else:
        number[usable] = np.arange(len(paths))
    roots = [expand(root)] if root else _beside(frame.columns.files)
    names = paths if share or not frame.columns.id else _names(frame, usable)
    return Shown(names=names, files=resolve(paths, roots), number=number)


def _beside(files: Sequence[Path]) -> list[Path]:
    """The folders that relative paths may begin at: that of the table, also where the table is a link to another."""
    folders = {file.parent for file in files}
    if len(folders) > 1:
        raise ValueError(f"root: the tables lie in {len(folders)} folders, so say where their image paths begin")
    return list(dict.fromkeys([files[0].parent, files[0].resolve().parent]))


def _names(frame: Frame, usable: Mask) -> pa.Array:
    """The ids of rows, or else their numbers."""
    if frame.columns.id:
        return frame.texts("id_key", frame.columns.id).filter(pa.array(usable))
    return pa.array([f"{line:08d}" for line in frame.lines[usable].tolist()], TEXT)


def pair(frame: Frame, shown: Shown, texts: Texts) -> Pairing:
    """The pairs: one for every caption of a row that shows a picture.

    An id is that of the row, or the name of the picture; ``#`` and a number tell apart the captions of a list, and
    the rows of one picture.
    """
    texts = texts.of_rows(shown.number >= 0)
    numbers, places = shown.number[texts.rows], texts.places
    if frame.columns.id:
        base = frame.texts("id_key", frame.columns.id).take(pa.array(texts.rows))
    else:
        base = shown.names.take(pa.array(numbers))
        places = np.where(places < 0, _occurrence(numbers, places < 0), places)
    marked = pc.binary_join_element_wise(base, pa.array(places).cast(TEXT), pa.scalar("#", TEXT))
    ids = pc.if_else(pa.array(places < 0), base, marked)
    return Pairing(ids=ids, captions=texts.texts, pictures=numbers)


def _occurrence(numbers: Numbers, alike: Mask) -> Numbers:
    """Of those ``alike`` the how-manieth each is of its number, from 0; -1 for the only one of its number."""
    found = np.full(len(numbers), -1)
    of = numbers[alike]
    order = np.argsort(of, kind="stable")
    counts = np.bincount(of)
    starts = np.cumsum(counts) - counts
    place = np.empty(len(of), np.int64)
    place[order] = np.arange(len(of)) - starts[of[order]]
    found[alike] = np.where(counts[of] > 1, place, -1)
    return found


def refuse_twins(names: pa.Array, source: str) -> None:
    """Raise ``ValueError`` where two pictures or pairs have one id."""
    if pc.count_distinct(names).as_py() == len(names):
        return
    counts = pc.value_counts(names)
    twin = counts.field("values").filter(pc.greater(counts.field("counts"), 1))[0].as_py()
    raise ValueError(f"{source} names '{twin}' twice: ids must be unique; name a column of unique ids")


def listing(source: str, frame: Frame, shown: Shown, limit: float, skipped: Sequence[Skip], usable: Mask) -> Listing:
    """The pictures of the rows ``usable``, for ``ingest``; ``skipped`` says why the others are not."""
    inside = shown.files is None
    files = frame.columns.files
    showing = np.flatnonzero(shown.number >= 0)
    without = frame.skip(usable & (shown.number < 0), "no image")
    return Listing(
        source=source,
        rows=len(frame) + len(frame.broken),
        limit=limit,
        names=shown.names,
        lines=frame.lines[showing],
        shows=shown.number[showing],
        files=shown.files,
        contents=contents(files, frame.columns.image, (frame.lines[showing] - 1).tolist(), BLOCK) if inside else None,
        content_bytes=sum(file.stat().st_size for file in files) if inside else 0,
        skipped=[*skipped, *without, *(Skip(line, "", "broken row") for line in frame.broken)],
    )
