"""Tables of pairs and of labeled images: CSV, TSV, Parquet and JSON lines with named columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from bezoar.core.machine import expand
from bezoar.core.progress import Listener, silent
from bezoar.core.settings import settings
from bezoar.data.class_names import classes_of, wordings_of
from bezoar.data.pairs import LabeledSource, PairsSource

if TYPE_CHECKING:
    from bezoar.data.files.frame import Frame, Mask
    from bezoar.data.files.ingest import Listing, Skip
    from bezoar.data.files.store import StoredLabels, StoredPairs

LINES = (".jsonl", ".ndjson", ".json")
"""A JSON object on each line; lists of YFCC15M that DeCLIP has are called ``.json``."""
SUFFIXES = (".csv", ".tsv", ".parquet", *LINES)
NOTHING = ("", "nan", "none", "null", "<na>")
"""How files say that there is no text, in any case: programs write these words where they mean nothing."""
CAPTIONS = ("caption", "captions", "text", "title", "txt", "sentences", "raw")
LABELS = ("label", "labels", "class", "fine_label", "category")
NAMES = ("label_name", "class_name")

Cell = str | int | bool
_LABELED = (
    "; it has labels, in '{}': to read it as a labeled set, say --labeled to data inspect; to learn its labels, "
    "labels:PATH; to make captions of its classes, {{kind: captioned, of: …}}"
)
_PAIRS = "; it has captions, in '{}': to find classes in them, say {{kind: mined, of: …, classes: […]}}"
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
        identity = replace(self, path="", root="", max_skipped=0), stamps(files), _absolute(self.root)
        return kept(self.path, identity, self.max_skipped, lambda: self._listing(files), listen)

    def _listing(self, files: Sequence[Path]) -> Listing:
        import numpy as np

        from bezoar.data.files.frame import Columns, captions, listing, pair, pictures, read, refuse_twins

        columns = Columns.of(files, self.delimiter, self.where, self.image_key, self.id_key)
        hint = next((_LABELED.format(name) for name in LABELS if name in columns.names), "")
        caption_key = columns.find("caption_key", self.caption_key, CAPTIONS, hint)
        frame = read(columns, [caption_key], self.where)
        texts = captions(frame, caption_key, self.captions)
        usable = np.zeros(len(frame), bool)
        usable[texts.rows] = True
        skipped = frame.skip(~usable, "no caption")
        usable, more = _with_id(frame, usable)
        shown = pictures(frame, usable, self.root, share=True)
        pairing = pair(frame, shown, texts)
        refuse_twins(pairing.ids, f"id_key: {self.path}")
        return replace(listing(self.path, frame, shown, self.max_skipped, skipped + more, usable), pairs=pairing)


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
        own = replace(self, path="", root="", classes="", templates="", max_skipped=0)
        identity = own, stamps(files), _absolute(self.root), classes
        return kept(self.path, identity, self.max_skipped, lambda: self._listing(files, classes), listen)

    def _listing(self, files: Sequence[Path], classes: tuple[str, ...]) -> Listing:
        import numpy as np

        from bezoar.data.files.frame import Columns, listing, pictures, read, refuse_twins
        from bezoar.data.files.labels import Labels

        columns = Columns.of(files, self.delimiter, self.where, self.image_key, self.id_key)
        hint = next((_PAIRS.format(name) for name in CAPTIONS if name in columns.names), "")
        label_key = columns.find("label_key", self.label_key, LABELS, hint)
        beside = next((name for name in NAMES if name in columns.names and name != label_key), "")
        frame = read(columns, [label_key, *([beside] if beside else [])], self.where)
        labels = Labels.of(frame, label_key, beside)
        classes = classes or labels.named()
        usable = labels.numbers(classes) >= 0
        skipped = frame.skip(~usable, "no label")
        usable, more = _with_id(frame, usable)
        shown = pictures(frame, usable, self.root, share=False)
        refuse_twins(shown.names, f"id_key: {self.path}")
        found = listing(self.path, frame, shown, self.max_skipped, skipped + more, usable)
        numbers = labels.numbers(classes)[np.flatnonzero(shown.number >= 0)]
        return replace(found, labels=numbers, facts={"classes": list(classes)})


def _with_id(frame: Frame, usable: Mask) -> tuple[Mask, list[Skip]]:
    """The rows of ``usable`` that have an id, where ids stand in a column, and those that lack one."""
    import numpy as np

    if not frame.columns.id:
        return usable, []
    named = np.asarray(frame.texts("id_key", frame.columns.id).is_valid())
    return usable & named, frame.skip(usable & ~named, "no id")


def _absolute(root: str) -> str:
    return str(expand(root).absolute()) if root else ""
