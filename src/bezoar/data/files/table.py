"""Tables of pairs and of labeled images: CSV, TSV, Parquet and JSON lines with named columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from bezoar.core.progress import Listener, silent
from bezoar.core.settings import settings
from bezoar.data.class_names import classes_of, wordings_of
from bezoar.data.pairs import LabeledSource, PairsSource, class_index

if TYPE_CHECKING:
    from bezoar.data.files.frame import Frame
    from bezoar.data.files.ingest import Listing
    from bezoar.data.files.store import StoredLabels, StoredPairs

CAPTIONS = ("caption", "captions", "text", "title", "txt", "sentences", "raw")
LABELS = ("label", "labels", "class", "fine_label", "category")
NAMES = ("label_name", "class_name")

Cell = str | int | bool
Share = Annotated[float, Field(ge=0, le=1)]
_WHERE = dict[str, Cell | tuple[Cell, ...]]


@settings
class Table(PairsSource):
    """Pairs in a ``.csv``, ``.tsv``, ``.parquet`` or ``.jsonl`` file; several are read one after another.

    The image column holds paths, or in Parquet encoded pictures; the caption column holds text, or lists of it. The
    table is read and every picture looked at once; what is kept of it lies in the cache and is made anew when the table
    changes (a picture that changes under its old name goes unnoticed).
    """

    kind: ClassVar[str] = "table"
    shorthand: ClassVar[str] = "path"
    path: str
    """A file, a glob, or a folder of Parquet files; ``~`` and ``$VARIABLES`` are put in."""
    image_key: str = ""
    """Image column; by default the first of ``image``, ``path``, ``filepath``, … that there is."""
    caption_key: str = ""
    """Caption column; by default the first of ``caption``, ``captions``, ``text``, ``title``, … that there is."""
    id_key: str = ""
    """Column of unique ids; by default the path of the image, or the number of the row."""
    captions: Literal["each", "first"] = "each"
    """Of a list of captions: a pair for each, or one with the first."""
    where: _WHERE = Field(default_factory=dict)
    """Only rows whose column has this value, or one of these."""
    root: str = ""
    """Folder of relative image paths; by default that of the table."""
    delimiter: str = ""
    """Of CSV; by default a comma, in ``.tsv`` a tab."""
    max_skipped: Share = 0.05
    """Share of the rows that may be passed over: missing or broken pictures, empty captions."""

    def ingest(self, listen: Listener = silent) -> None:
        self._folder(listen)

    def open(self) -> StoredPairs:
        from bezoar.data.files.store import StoredPairs

        return StoredPairs(self._folder(silent), self.path)

    def _folder(self, listen: Listener) -> Path:
        from bezoar.data.files.ingest import kept
        from bezoar.data.files.readers import files_of, stamps

        files = files_of(self.path)
        return kept(self.path, (self, stamps(files)), lambda: self._listing(files), listen)

    def _listing(self, files: Sequence[Path]) -> Listing:
        from bezoar.data.files.frame import Columns, captions, listing, pair, pictures, read, refuse_twins

        columns = Columns.of(files, self.delimiter, self.where, self.image_key, self.id_key)
        caption_key = columns.find("caption_key", self.caption_key, CAPTIONS)
        frame = read(columns, [caption_key], self.where)
        texts = captions(frame.cells(caption_key), self.captions)
        skipped = [frame.skip(row, "no caption") for row, found in enumerate(texts) if not found]
        usable = [row for row, found in enumerate(texts) if found]
        shown = pictures(frame, usable, self.root, share=True)
        pairing = pair(frame, shown, texts)
        refuse_twins(pairing.ids, f"id_key: {self.path}")
        return replace(listing(self.path, frame, shown, self.max_skipped, skipped), pairs=pairing)


@settings
class LabeledTable(LabeledSource):
    """Labeled images in a ``.csv``, ``.tsv``, ``.parquet`` or ``.jsonl`` file, as CleanCLIP's ``labels.csv``.

    Labels are numbers in the order of ``classes``, or class names.
    """

    kind: ClassVar[str] = "table"
    shorthand: ClassVar[str] = "path"
    path: str
    """A file, a glob, or a folder of Parquet files; ``~`` and ``$VARIABLES`` are put in."""
    image_key: str = ""
    """Image column; by default the first of ``image``, ``path``, ``filepath``, … that there is."""
    label_key: str = ""
    """Label column; by default the first of ``label``, ``labels``, ``class``, … that there is."""
    id_key: str = ""
    """Column of unique ids; by default the path of the image, or the number of the row."""
    classes: str | tuple[str, ...] = ""
    """Class names: a list, a JSON or text file, or ``imagenet``, ``coco``, …; by default from the table."""
    templates: str | tuple[str, ...] = ""
    """The set's own prompt templates with ``{c}``: a list, a JSON or text file, or a set by name."""
    where: _WHERE = Field(default_factory=dict)
    """Only rows whose column has this value, or one of these."""
    root: str = ""
    """Folder of relative image paths; by default that of the table."""
    delimiter: str = ""
    """Of CSV; by default a comma, in ``.tsv`` a tab."""
    max_skipped: Share = 0.05
    """Share of the rows that may be passed over: missing or broken pictures, empty labels."""

    def ingest(self, listen: Listener = silent) -> None:
        self._folder(listen)

    def open(self) -> StoredLabels:
        from bezoar.core.files import read_json
        from bezoar.data.files.store import FACTS, StoredLabels

        folder = self._folder(silent)
        classes = tuple(read_json(folder / FACTS)["classes"])
        return StoredLabels(folder, self.path, classes, wordings_of(self.templates))

    def _folder(self, listen: Listener) -> Path:
        from bezoar.data.files.ingest import kept
        from bezoar.data.files.readers import files_of, stamps

        files, classes = files_of(self.path), classes_of(self.classes)
        return kept(self.path, (self, stamps(files), classes), lambda: self._listing(files, classes), listen)

    def _listing(self, files: Sequence[Path], classes: tuple[str, ...]) -> Listing:
        from bezoar.data.files.frame import Columns, listing, pictures, read, refuse_twins

        columns = Columns.of(files, self.delimiter, self.where, self.image_key, self.id_key)
        label_key = columns.find("label_key", self.label_key, LABELS)
        beside = [name for name in NAMES if name in columns.names][:1]
        frame = read(columns, [label_key, *beside], self.where)
        cells = [None if cell == "" else cell for cell in frame.cells(label_key)]
        usable = [row for row, cell in enumerate(cells) if cell is not None]
        skipped = [frame.skip(row, "no label") for row, cell in enumerate(cells) if cell is None]
        classes = classes or self._classes(frame, cells, label_key, beside)
        shown = pictures(frame, usable, self.root, share=False)
        refuse_twins(shown.names, f"id_key: {self.path}")
        labels = [self._label(cells[row], classes, frame, row) for row in shown.first_row]
        found = listing(self.path, frame, shown, self.max_skipped, skipped)
        return replace(found, labels=labels, facts={"classes": list(classes)})

    def _classes(self, frame: Frame, cells: list[Any], key: str, beside: list[str]) -> tuple[str, ...]:
        """Class names from the table itself; raises ``ValueError`` where labels are numbers without names."""
        numbers = all(cell is None or isinstance(cell, int) or str(cell).isdecimal() for cell in cells)
        if not numbers:
            return tuple(sorted({str(cell) for cell in cells if cell is not None}))
        if not beside:
            raise ValueError(
                f"classes: the labels of {self.path} are numbers: say the class names as a list, a JSON or text file, "
                "or by name (imagenet, …)"
            )
        named: dict[int, str] = {}
        for cell, name in zip(cells, frame.cells(beside[0]), strict=True):
            if cell is not None and named.setdefault(int(cell), str(name)) != str(name):
                raise ValueError(
                    f"{self.path}: label {cell} is called '{named[int(cell)]}' and '{name}' in {beside[0]}"
                )
        missing = next((number for number in range(len(named)) if number not in named), None)
        if missing is not None:
            raise ValueError(
                f"classes: no row of {self.path} has label {missing}, so its name is unknown: say them all"
            )
        return tuple(named[number] for number in range(len(named)))

    def _label(self, cell: Any, classes: tuple[str, ...], frame: Frame, row: int) -> int:
        where = f"{self.path}, row {frame.lines[row]}: label"
        if isinstance(cell, int) or (str(cell).isdecimal() and str(cell) not in classes):
            if not 0 <= int(cell) < len(classes):
                raise ValueError(f"{where}: {cell} is not the number of a class (0 to {len(classes) - 1})")
            return int(cell)
        return class_index(str(cell), classes, where)
