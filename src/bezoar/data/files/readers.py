"""Columns of CSV, TSV, Parquet and JSON-lines files, as Arrow tables; every fault is one line that names the file."""

from __future__ import annotations

import csv
import glob
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from bezoar.core.machine import expand
from bezoar.core.settings import nearest
from bezoar.data.files.table import LINES, SUFFIXES

T = TypeVar("T")

TEXT, TEXTS = pa.large_string(), pa.large_list(pa.large_string())
"""What text and lists of it are read as, however a file has them: large, so that no column is too long."""
_RECODE = "write it anew as UTF-8, as by iconv"
_PEEK = 1000
"""Objects of JSON lines whose keys are its columns."""
_BLOCK_BYTES = 1 << 26
"""Pictures of a table that are handed on together take about as much, if they are not fewer than usual."""


class Rows(NamedTuple):
    """The rows of a file."""

    table: pa.Table
    broken: list[int]
    """Numbers, from 1, of the rows that could not be read and are not in the table."""


def files_of(path: str) -> tuple[Path, ...]:
    """The files that ``path`` means: one, those of a glob, or the Parquet files of a folder.

    Raises ``ValueError`` when there is none, or one is no table.
    """
    whole = expand(path)
    if glob.has_magic(str(whole)) and not whole.exists():
        found = tuple(map(Path, sorted(glob.glob(str(whole), recursive=True))))
    else:
        found = tuple(sorted(whole.glob("*.parquet"))) if whole.is_dir() else (whole,)
    for file in found:
        if not file.is_file():
            raise ValueError(f"path: {file} {'is a folder' if file.is_dir() else 'does not exist'}")
        if file.suffix.lower() not in SUFFIXES:
            raise ValueError(f"path: {file} is not a table{nearest(file.suffix, SUFFIXES)}")
    if not found:
        raise ValueError(f"path: {whole} holds no .parquet file" if whole.is_dir() else f"path: nothing fits {whole}")
    if len({file.suffix.lower() for file in found}) > 1:
        raise ValueError(f"path: {whole} names tables of several kinds: {', '.join(f.name for f in found[:4])}")
    return found


def stamps(files: Sequence[Path]) -> list[tuple[str, int, int]]:
    """Path, size and time of change of each file: while they are the same, so is the content."""
    return [(str(file.absolute()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]


def columns_of(file: Path, delimiter: str = "") -> tuple[str, ...]:
    """The names of a file's columns; of JSON lines, the keys of its first thousand objects."""
    return _guarded(file, lambda: _columns(file, delimiter))


def _columns(file: Path, delimiter: str) -> tuple[str, ...]:
    suffix = file.suffix.lower()
    if delimiter and suffix not in (".csv", ".tsv"):
        raise ValueError("delimiter: is for CSV only")
    if suffix == ".parquet":
        return tuple(pq.read_schema(file).names)
    if suffix in LINES:
        return _keys(file)
    with file.open(encoding="utf-8-sig", newline="") as stream:
        names = next(csv.reader(stream, delimiter=_delimiter(file, delimiter)), [])
    if not names:
        raise ValueError("it is empty, or its first line is")
    return tuple(names)


def _keys(file: Path) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for number, value in enumerate(_objects(file)):
        if value is None and not found:
            raise ValueError("its first line is not a JSON object; it must hold one on each line")
        found.update(dict.fromkeys(value or ()))
        if number == _PEEK:
            break
    if not found:
        raise ValueError("it is empty")
    return tuple(found)


def rows(file: Path, columns: Sequence[str], delimiter: str = "") -> Rows:
    """The rows of ``file`` with ``columns``, in that order; a cell of CSV is text, whatever it looks like."""
    suffix = file.suffix.lower()
    if suffix == ".parquet":
        return _guarded(file, lambda: Rows(_parquet(file, columns), []))
    if suffix in LINES:
        return _guarded(file, lambda: _json_lines(file, columns))
    return _guarded(file, lambda: _csv(file, columns, _delimiter(file, delimiter)))


def is_text(kind: pa.DataType) -> bool:
    """Whether a column is of text, in any of the ways that Arrow has for it; bytes are read as UTF-8."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return is_bytes(kind) or any(test(kind) for test in tests)


def is_bytes(kind: pa.DataType) -> bool:
    """Whether a column is of bytes, in any of the ways that Arrow has for them."""
    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
    return any(test(kind) for test in tests)


def _is_list(kind: pa.DataType) -> bool:
    tests = (
        pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list, pa.types.is_list_view,
        pa.types.is_large_list_view,
    )  # fmt: skip
    return any(test(kind) for test in tests)


def _plain(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column in one of few types: text, lists of text, whole numbers, or what it is."""
    kind = cells.type
    if pa.types.is_dictionary(kind):
        return _plain(cells.cast(kind.value_type))
    if is_text(kind):
        return cells.cast(TEXT)
    if _is_list(kind) and is_text(kind.value_type):
        return cells.cast(TEXTS)
    return cells.cast(pa.int64()) if pa.types.is_integer(kind) else cells


def _parquet(file: Path, columns: Sequence[str]) -> pa.Table:
    names = pq.read_schema(file).names
    missing = next((name for name in columns if name not in names), None)
    if missing is not None:
        raise ValueError(f"it has no column '{missing}'{nearest(missing, names)}")
    _refuse_double(names, columns)
    table = pq.ParquetFile(file).read(columns=list(columns))
    return pa.table({name: _plain(table.column(name)) for name in columns})


class Pictures(NamedTuple):
    """What an image column holds."""

    inside: bool
    """The pictures themselves, rather than their paths."""
    paths: str
    """The column of paths; in the layout of Hugging Face datasets, a part of it."""


def pictures_of(file: Path, column: str) -> Pictures:
    """What the image column of ``file`` holds; raises ``ValueError`` where that is neither pictures nor paths."""
    if file.suffix.lower() != ".parquet":
        return Pictures(False, column)
    with _guarded(file, lambda: pq.ParquetFile(file)) as opened:
        names = opened.schema_arrow.names
        if column not in names:  # of several files, one may lack what the first has
            raise ValueError(f"image_key: {file} has no column '{column}'{nearest(column, names)}")
        kind = opened.schema_arrow.field(column).type
        if is_bytes(kind):
            return Pictures(True, column)
        if is_text(kind):
            return Pictures(False, column)
        if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            named = kind.get_field_index("path") >= 0 and _all_null(opened, f"{column}.bytes")
            return Pictures(not named, f"{column}.path")
    raise ValueError(f"image_key: column '{column}' of {file} holds {kind}, neither pictures nor paths")


def _all_null(opened: pq.ParquetFile, leaf: str) -> bool:
    """Whether the file says of itself that a column has nothing in it."""
    number = next(k for k in range(len(opened.schema)) if opened.schema.column(k).path == leaf)
    for group in range(opened.metadata.num_row_groups):
        column = opened.metadata.row_group(group).column(number)
        known = column.statistics is not None and column.statistics.has_null_count
        if not known or column.statistics.null_count < column.num_values:
            return False
    return True


def paths_in(file: Path, part: str) -> pa.ChunkedArray:
    """The paths in an image column whose pictures all lie elsewhere: ``part`` is column and field, with a dot."""
    cells = _guarded(file, lambda: pq.ParquetFile(file).read(columns=[part])).column(0)
    return _plain(pc.struct_field(cells, "path"))


def contents(
    files: Sequence[Path], column: str, wanted: Sequence[int], block: int
) -> Iterator[list[bytes | str | None]]:
    """Cells of ``column`` in the rows ``wanted`` (ascending, from 0 over all files), in lists of at most ``block``.

    A cell is an encoded picture, or the path of one that the table only names.
    """
    waiting: list[bytes | str | None] = []
    row, place, size = 0, 0, 0
    for file in files:
        with pq.ParquetFile(file) as opened:
            for batch in opened.iter_batches(batch_size=64, columns=[column]):
                while place < len(wanted) and wanted[place] < row + batch.num_rows:
                    waiting.append(_content(batch.column(0)[int(wanted[place] - row)].as_py(), file.parent))
                    size += len(waiting[-1] or b"")
                    place += 1
                    if len(waiting) == block or size > _BLOCK_BYTES:
                        yield waiting
                        waiting, size = [], 0
                row += batch.num_rows
    if waiting:
        yield waiting


def _content(cell: object, root: Path) -> bytes | str | None:
    if isinstance(cell, dict):  # the layout of Hugging Face datasets
        path = cell.get("path")
        cell = str(root / path) if cell["bytes"] is None and path else cell["bytes"]
    assert cell is None or isinstance(cell, (bytes, str)), type(cell)
    return cell


def _guarded(file: Path, read: Callable[[], T]) -> T:
    try:
        return read()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: is not UTF-8 text: {error.reason} at byte {error.start}; {_RECODE}") from None
    except (OSError, ValueError, OverflowError, csv.Error, pa.ArrowException) as error:
        reason = str(error).replace("\n", " ")
        if "straddling" in reason:
            reason = "a row goes on for more than a megabyte: is a quote never closed?"
        elif "invalid UTF8" in reason:
            reason = f"is not UTF-8 text: {reason}; {_RECODE}"
        raise ValueError(f"{file}: {reason}" if str(file) not in reason else reason) from None


def _delimiter(file: Path, given: str) -> str:
    """``given``, or what the suffix says; ``\\t`` written out is a tab too."""
    found = {"\\t": "\t", "": "\t" if file.suffix.lower() == ".tsv" else ","}.get(given, given)
    if len(found) != 1 or found in '"\r\n':
        raise ValueError(f"delimiter: must be one character, as ',' or '\\t', got {given!r}")
    return found


def _refuse_double(names: Sequence[str], columns: Sequence[str]) -> None:
    double = next((name for name in columns if names.count(name) > 1), None)
    if double is not None:
        raise ValueError(f"two columns are called '{double}'")


def _csv(file: Path, columns: Sequence[str], delimiter: str) -> Rows:
    broken: list[int] = []
    last = ""

    def pass_over(row: pyarrow.csv.InvalidRow) -> str:
        nonlocal last
        broken.append(row.number - 1)  # the head is row 1
        last = row.text
        return "skip"

    names = _columns(file, delimiter)
    _refuse_double(names, columns)
    # The last column too, where a quote that is never closed would hide the rest of the file.
    read = [*columns, *(name for name in names[-1:] if name not in columns and names.count(name) == 1)]
    table = pyarrow.csv.read_csv(
        file,
        # On one thread: with several, broken rows have no number.
        read_options=pyarrow.csv.ReadOptions(use_threads=False),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, invalid_row_handler=pass_over
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=read, column_types=dict.fromkeys(read, TEXT), strings_can_be_null=False
        ),
    )
    if last.count('"') % 2:
        _refuse_open_quote(file, last, broken[-1])
    for name in read if table.num_rows else ():
        _refuse_open_quote(file, table.column(name)[-1].as_py(), table.num_rows + len(broken))
    return Rows(table.select(list(columns)), broken)


def _refuse_open_quote(file: Path, text: str, row: int) -> None:
    """A quote that is never closed takes in the rest of the file, which would go unnoticed."""
    last = text.encode()
    if b"\n" in last:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - 64))
            if stream.read().rstrip(b"\r\n").endswith(last.rstrip(b"\r\n")[-64:]):
                shown = text.rpartition('"')[2][:40]
                raise ValueError(f"row {row}: the quote before '{shown}' is never closed")


def _objects(file: Path) -> Iterator[dict[str, object] | None]:
    """The objects of the lines that are not empty; ``None`` for a line that is none, as a torn one."""
    with file.open(encoding="utf-8-sig", newline="\n") as stream:
        for line in stream:
            if line.strip():
                try:
                    value = json.loads(line)
                except (ValueError, RecursionError):
                    value = None
                yield value if isinstance(value, dict) else None


def _json_lines(file: Path, columns: Sequence[str]) -> Rows:
    cells: dict[str, list[object]] = {name: [] for name in columns}
    broken = []
    for number, value in enumerate(_objects(file), 1):
        if value is None:
            broken.append(number)
            continue
        for name in columns:
            cells[name].append(value.get(name))
    return Rows(pa.table({name: _column(name, values) for name, values in cells.items()}), broken)


def _column(name: str, values: list[object]) -> pa.Array:
    """Text, lists of text, numbers or truth values; any other cell is as if it were not there."""
    kinds = {type(value) for value in values} - {type(None)}
    if kinds == {dict}:
        raise ValueError(f"column '{name}' holds objects; write what is wanted of them into a column of its own")
    if list in kinds:
        lists = [value if isinstance(value, list) else [value] for value in values]
        return pa.array([[one if isinstance(one, str) else None for one in found] for found in lists], TEXTS)
    for kind, found in (({int}, pa.int64()), ({int, float}, pa.float64()), ({bool}, pa.bool_())):
        if kinds and kinds <= kind:
            return pa.array(values, found)
    return pa.array([str(one) if type(one) in (str, int, float) else None for one in values], TEXT)
