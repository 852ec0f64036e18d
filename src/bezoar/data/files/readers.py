"""Columns of CSV, TSV, Parquet and JSON-lines files, as Arrow tables; every fault is one line that names the file."""

from __future__ import annotations

import csv
import glob
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from bezoar.core.machine import expand
from bezoar.core.settings import nearest

T = TypeVar("T")

LINE = "_line"
"""Column that ``rows`` adds: the row's number in its file, from 1, the head of a CSV file not counted."""
SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson")


def files_of(path: str) -> tuple[Path, ...]:
    """The files that ``path`` means: one, those of a glob, or the Parquet files of a folder.

    Raises ``ValueError`` when there is none, or one is no table.
    """
    whole = expand(path)
    if glob.has_magic(str(whole)):
        found = tuple(map(Path, sorted(glob.glob(str(whole), recursive=True))))
    else:
        found = tuple(sorted(whole.glob("*.parquet"))) if whole.is_dir() else (whole,)
    for file in found:
        if not file.is_file():
            raise ValueError(f"path: {file} does not exist")
        if file.suffix.lower() not in SUFFIXES:
            raise ValueError(f"path: {file} is not a table{nearest(file.suffix, SUFFIXES)}")
    if not found:
        raise ValueError(f"path: nothing is called {whole}")
    if len({file.suffix.lower() for file in found}) > 1:
        raise ValueError(f"path: {whole} names tables of several kinds: {', '.join(f.name for f in found[:4])}")
    return found


def stamps(files: Sequence[Path]) -> list[tuple[str, int, int]]:
    """Path, size and time of change of each file: while they are the same, so is the content."""
    return [(str(file.absolute()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]


def holds_pictures(file: Path, column: str) -> bool:
    """Whether ``column`` holds encoded pictures rather than their paths."""
    if file.suffix.lower() != ".parquet":
        return False
    found = _guarded(file, lambda: pq.read_schema(file)).field(column).type
    if not any(test(found) for test in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_struct)):
        return False
    if pa.types.is_struct(found) and "bytes" not in {found.field(k).name for k in range(found.num_fields)}:
        raise ValueError(f"image_key: column '{column}' of {file} holds neither paths nor pictures: {found}")
    return True


def columns_of(file: Path, delimiter: str | None = None) -> tuple[str, ...]:
    """The names of a file's columns; of JSON lines, those of its first object."""
    return _guarded(file, lambda: _columns(file, delimiter))


def _columns(file: Path, delimiter: str | None) -> tuple[str, ...]:
    suffix = file.suffix.lower()
    if suffix == ".parquet":
        return tuple(pq.read_schema(file).names)
    if suffix in (".jsonl", ".ndjson"):
        return tuple(next(_objects(file), (0, {}))[1])
    with file.open(encoding="utf-8-sig", newline="") as stream:
        names = next(csv.reader(stream, delimiter=delimiter or _delimiter(file)), [])
    if not names:
        raise ValueError("it is empty")
    return tuple(names)


def rows(file: Path, columns: Sequence[str], delimiter: str | None = None) -> tuple[pa.Table, int]:
    """The rows of ``file`` with ``columns``, as text where the file has no types, and ``LINE``.

    Returns them with the number of rows that are broken (of another number of cells) and not among them.
    """
    suffix = file.suffix.lower()
    if suffix == ".parquet":
        table, broken = _guarded(file, lambda: pq.read_table(file, columns=list(columns))), 0
    elif suffix in (".jsonl", ".ndjson"):
        table, broken = _guarded(file, lambda: _json_lines(file, columns)), 0
    else:
        return _guarded(file, lambda: _csv(file, columns, delimiter or _delimiter(file)))
    return table.append_column(LINE, pa.array(range(1, table.num_rows + 1), pa.int64())), broken


def contents(files: Sequence[Path], column: str, wanted: Sequence[int], block: int) -> Iterator[list[bytes | None]]:
    """Binary cells of ``column`` in the rows ``wanted`` (ascending, counted over all files), in lists of ``block``."""
    waiting: list[bytes | None] = []
    row, place = 0, 0
    for file in files:
        with pq.ParquetFile(file) as opened:
            for batch in opened.iter_batches(batch_size=block, columns=[column]):
                cells = batch.column(0)
                if pa.types.is_struct(cells.type):  # the layout of Hugging Face datasets
                    cells = cells.field("bytes")
                while place < len(wanted) and wanted[place] < row + len(cells):
                    waiting.append(cells[wanted[place] - row].as_py())
                    place += 1
                    if len(waiting) == block:
                        yield waiting
                        waiting = []
                row += len(cells)
    if waiting:
        yield waiting


def _guarded(file: Path, read: Callable[[], T]) -> T:
    try:
        return read()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: is not UTF-8 text: {error.reason} at byte {error.start}") from None
    except (OSError, ValueError, csv.Error, pa.ArrowException) as error:
        reason = str(error).replace("\n", " ")
        raise ValueError(f"{file}: {reason}" if str(file) not in reason else reason) from None


def _delimiter(file: Path) -> str:
    return "\t" if file.suffix.lower() == ".tsv" else ","


def _csv(file: Path, columns: Sequence[str], delimiter: str) -> tuple[pa.Table, int]:
    broken = 0

    def pass_over(row: object) -> str:
        nonlocal broken
        broken += 1
        return "skip"

    names = _columns(file, delimiter)
    double = next((name for name in columns if names.count(name) > 1), None)
    if double is not None:
        raise ValueError(f"two columns are called '{double}'")
    table = pyarrow.csv.read_csv(
        file,
        read_options=pyarrow.csv.ReadOptions(use_threads=False),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, invalid_row_handler=pass_over
        ),
        # As text: a caption may be a number, and nothing is to be taken for one.
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=list(columns),
            column_types={name: pa.string() for name in columns},
            strings_can_be_null=False,
        ),
    )
    # Where rows are broken, the lines after them are counted without them.
    return table.append_column(LINE, pa.array(range(1, table.num_rows + 1), pa.int64())), broken


def _objects(file: Path) -> Iterator[tuple[int, dict[str, object]]]:
    with file.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                try:
                    value = json.loads(line)
                except ValueError as error:
                    raise ValueError(f"line {number} is not JSON: {error}") from None
                if not isinstance(value, dict):
                    raise ValueError(f"line {number} is not a JSON object")
                yield number, value


def _json_lines(file: Path, columns: Sequence[str]) -> pa.Table:
    cells: dict[str, list[object]] = {name: [] for name in columns}
    for _, value in _objects(file):
        for name in columns:
            cells[name].append(value.get(name))
    return pa.table({name: _column(name, values) for name, values in cells.items()})


def _column(name: str, values: list[object]) -> pa.Array:
    """Text or lists of text or whole numbers; anything else in a cell is as if it were not there."""
    if any(isinstance(value, list) for value in values):
        lists = [value if isinstance(value, list) else [value] for value in values]
        return pa.array(
            [[one if isinstance(one, str) else None for one in found] for found in lists], pa.list_(pa.string())
        )
    if all(value is None or (isinstance(value, int) and not isinstance(value, bool)) for value in values):
        return pa.array(values, pa.int64())
    return pa.array([str(v) if isinstance(v, (str, int)) and not isinstance(v, bool) else None for v in values])
