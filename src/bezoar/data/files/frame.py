"""The rows of tables that were asked for, and the pictures they name: what ``ingest`` is given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bezoar.core.machine import expand
from bezoar.core.settings import nearest
from bezoar.data.files.ingest import BLOCK, Listing, Pairing, Skip
from bezoar.data.files.readers import columns_of, contents, holds_pictures, rows

if TYPE_CHECKING:
    Texts = Sequence[Sequence[tuple[int, str]]]

IMAGES = ("image", "path", "filepath", "image_path", "file_name", "filename", "img", "jpg", "png")


@dataclass(frozen=True)
class Columns:
    """The columns of a table, and which of them hold the pictures and the ids."""

    files: Sequence[Path]
    delimiter: str | None
    names: tuple[str, ...]
    image: str = ""
    id: str = ""

    @classmethod
    def of(
        cls, files: Sequence[Path], delimiter: str, where: Mapping[str, object], image_key: str, id_key: str
    ) -> Columns:
        """The columns of ``files``; raises ``ValueError`` where one that is named is not there."""
        found = cls(files, delimiter or None, columns_of(files[0], delimiter or None))
        image = found.find("image_key", image_key, IMAGES)
        for field, name in (("id_key", id_key), *((f"where.{name}", name) for name in where)):
            if name:
                found.find(field, name, ())
        return cls(files, found.delimiter, found.names, image, id_key)

    def find(self, field: str, given: str, usual: tuple[str, ...]) -> str:
        """The column that ``given`` names, or else the first usual one; raises ``ValueError`` where there is none."""
        own = [name for name in self.names if name]
        if given:
            if given not in own:
                raise ValueError(f"{field}: {self.files[0]} has no column '{given}'{nearest(given, own)}")
            return given
        found = next((name for name in usual if name in own), None)
        if found is None:
            raise ValueError(
                f"{field}: {self.files[0]} has no column called {', '.join(usual[:4])} …{nearest(usual[0], own)}"
            )
        return found


@dataclass(frozen=True)
class Frame:
    """The rows that were asked for, without the pictures that stand in them."""

    columns: Columns
    table: pa.Table
    lines: list[int]
    """Number of each row, from 1, over all files."""
    inside: bool
    """Whether the image column holds the pictures themselves."""
    broken: int
    """Rows with another number of cells, which are not among these."""

    def __len__(self) -> int:
        return len(self.lines)

    def cells(self, name: str) -> list[Any]:
        """A column as plain values."""
        found: list[Any] = self.table.column(name).to_pylist()
        return found

    def skip(self, row: int, reason: str) -> Skip:
        """Row ``row`` as one that is passed over."""
        name = self.columns.id or ("" if self.inside else self.columns.image)
        return Skip(self.lines[row], str(self.table.column(name)[row].as_py()) if name else "", reason)


def read(columns: Columns, more: Sequence[str], where: Mapping[str, Any]) -> Frame:
    """The rows of all files that ``where`` asks for, with the columns ``more`` besides those of pictures and ids."""
    first = columns.files[0]
    inside = holds_pictures(first, columns.image)
    names = [*([] if inside else [columns.image]), *([columns.id] if columns.id else []), *more, *where]
    wanted = list(dict.fromkeys(names))
    found = [rows(file, wanted, columns.delimiter) for file in columns.files]
    try:
        table = pa.concat_tables([one for one, _ in found])
    except pa.ArrowException as error:
        raise ValueError(f"path: {first} and the files after it have other columns: {error}") from None
    lines = np.arange(1, table.num_rows + 1)
    for name, value in where.items():
        options = [str(one) for one in (value if isinstance(value, (tuple, list)) else (value,))]
        chosen = np.asarray(pc.is_in(pc.cast(table.column(name), pa.string()), pa.array(options)))
        table, lines = table.filter(pa.array(chosen)), lines[chosen]
        if not len(lines):
            raise ValueError(f"where.{name}: no row of {first} has {' or '.join(options)} there")
    return Frame(columns, table, lines.tolist(), inside, sum(broken for _, broken in found))


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The pictures that rows show, each once."""

    names: list[str]
    files: list[str] | None
    """Where each lies; ``None`` where the table holds them."""
    first_row: list[int]
    """The first row of the frame that shows each."""
    number: dict[int, int]
    """Row of the frame to its picture; rows without one are not in it."""


def pictures(frame: Frame, usable: Sequence[int], root: str, share: bool) -> Shown:
    """The pictures of the rows ``usable``; rows that name one file have one picture, if they may ``share`` it."""
    ids = frame.cells(frame.columns.id) if frame.columns.id else None
    if frame.inside:
        names = [str(ids[row]) if ids else f"{frame.lines[row]:08d}" for row in usable]
        return Shown(names=names, files=None, first_row=list(usable), number={row: k for k, row in enumerate(usable)})
    cells = frame.cells(frame.columns.image)
    numbers: dict[object, int] = {}
    number: dict[int, int] = {}
    first_row: list[int] = []
    for row in usable:
        cell = cells[row]
        if isinstance(cell, str) and cell.strip() and cell.lower() != "nan":
            number[row] = numbers.setdefault(cell if share else row, len(numbers))
            if number[row] == len(first_row):
                first_row.append(row)
    named = [cells[row] for row in first_row]
    files = resolve(named, expand(root) if root else frame.columns.files[0].parent)
    names = [str(ids[row]) for row in first_row] if ids and not share else named
    return Shown(names=names, files=files, first_row=first_row, number=number)


def resolve(names: Sequence[str], root: Path) -> list[str]:
    """Where the pictures lie.

    Relative paths begin at ``root``. Absolute ones that do not exist are those of another machine: their longest end
    that exists under ``root`` is taken, the same number of folders dropped from all of them.
    """
    drop: int | None = None
    found = []
    for name in names:
        path = PurePath(name)
        if "://" in name:
            raise ValueError(f"image_key: '{name}' is an address: download the pictures first, as with img2dataset")
        if not path.is_absolute():
            found.append(str(root / path))
            continue
        if drop is None:
            parts = path.parts
            ends = (k for k in range(1, len(parts)) if root.joinpath(*parts[k:]).exists())
            drop = 0 if Path(name).exists() else next(ends, 0)
        found.append(str(root.joinpath(*path.parts[drop:])) if drop else name)
    return found


def captions(cells: Sequence[Any], which: Literal["each", "first"]) -> Texts:
    """Of every row its usable captions, each with its place in the row's list; the place is -1 where there is none."""
    found = []
    for cell in cells:
        listed = [(k, text) for k, text in enumerate(cell) if _says(text)] if isinstance(cell, list) else None
        if listed is None:
            found.append([(-1, cell)] if _says(cell) else [])
        else:
            found.append([(-1, listed[0][1])] if listed and which == "first" else listed)
    return found


def _says(text: object) -> bool:
    """Whether a cell is a caption; tables that went through pandas say ``nan`` where there is none."""
    return isinstance(text, str) and bool(text.strip()) and text.strip().lower() != "nan"


def pair(frame: Frame, shown: Shown, texts: Texts) -> Pairing:
    """The pairs: one for every caption of a row that shows a picture."""
    ids = frame.cells(frame.columns.id) if frame.columns.id else None
    rows = [(row, place, text) for row, found in enumerate(texts) if row in shown.number for place, text in found]
    bases = [str(ids[row]) if ids else shown.names[shown.number[row]] for row, _, _ in rows]
    often = Counter(base for base, (_, place, _) in zip(bases, rows, strict=True) if place < 0)
    seen: Counter[str] = Counter()
    names = []
    for base, (_, place, _) in zip(bases, rows, strict=True):
        if place < 0 and often[base] > 1 and not ids:
            place = seen[base]
            seen[base] += 1
        names.append(base if place < 0 else f"{base}#{place}")
    return Pairing(
        ids=names, captions=[text for _, _, text in rows], pictures=[shown.number[row] for row, _, _ in rows]
    )


def refuse_twins(names: Iterable[str], source: str) -> None:
    """Raise ``ValueError`` where two pictures or pairs have one id."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{source} names '{name}' twice: ids must be unique; name a column of unique ids")
        seen.add(name)


def listing(source: str, frame: Frame, shown: Shown, limit: float, skipped: Sequence[Skip]) -> Listing:
    """The pictures of a table, for ``ingest``."""
    lines = [frame.lines[row] for row in shown.first_row]
    passed = {skip.row for skip in skipped}
    without = [row for row in range(len(frame)) if row not in shown.number and frame.lines[row] not in passed]
    inside = shown.files is None
    files, image = frame.columns.files, frame.columns.image
    return Listing(
        source=source,
        rows=len(frame) + frame.broken,
        limit=limit,
        names=shown.names,
        row_of=lines,
        files=shown.files,
        contents=contents(files, image, [line - 1 for line in lines], BLOCK) if inside else None,
        content_bytes=sum(file.stat().st_size for file in files) if inside else 0,
        skipped=[
            *skipped,
            *(frame.skip(row, "no image") for row in without),
            *[Skip(0, "", "broken row")] * frame.broken,
        ],
    )
