"""Folders of images: with a caption beside each, or one folder a class."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from bezoar.core.machine import expand
from bezoar.core.progress import Listener, silent
from bezoar.core.settings import settings
from bezoar.data.class_names import classes_of, wordings_of
from bezoar.data.files.table import NOTHING, SUFFIXES, Share
from bezoar.data.pairs import LabeledSource, PairsSource

if TYPE_CHECKING:
    from bezoar.data.files.ingest import Listing
    from bezoar.data.files.store import StoredLabels, StoredPairs

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".avif")
_SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing", "dev"}


@settings
class ImageFolder(PairsSource):
    """Images with a ``.txt`` of the same name beside each, a caption a line, as img2dataset writes them.

    Folders within the folder are searched too; an image's id is its path in the folder.
    """

    kind: ClassVar[str] = "folder"
    shorthand: ClassVar[str] = "path"
    path: str
    """The folder; ``~`` and ``$VARIABLES`` are put in."""
    captions: Literal["each", "first"] = "each"
    """Of several lines: a pair for each, or one with the first."""
    max_skipped: Share = 0.05
    """Share of the images that may be passed over: unreadable, or without a caption."""

    def ingest(self, listen: Listener = silent) -> None:
        self._folder(listen)

    def open(self) -> StoredPairs:
        from bezoar.data.files.store import StoredPairs

        return StoredPairs(self._folder(silent), self.path)

    def _folder(self, listen: Listener) -> Path:
        from bezoar.data.files.ingest import kept

        root = expand(self.path)
        found = files_under(root, (*IMAGES, ".txt"))
        identity = replace(self, path="", max_skipped=0), str(root.absolute()), state_of(found)
        return kept(self.path, identity, self.max_skipped, lambda: self._listing(root, found), listen)

    def _listing(self, root: Path, found: Sequence[File]) -> Listing:
        import numpy as np
        import pyarrow as pa

        from bezoar.data.files.ingest import Listing, Pairing, Skip
        from bezoar.data.files.readers import TEXT

        beside = {_stem(file.name): file.name for file in found if file.name.lower().endswith(".txt")}
        names = [file.name for file in found if not file.name.lower().endswith(".txt")]
        _refuse_none(root, names)
        if not beside:
            raise ValueError(
                f"path: {root} has pictures and no captions, which stand in a .txt of the same name beside each; where "
                f"its folders are classes, their names are learned by labels:{self.path}"
            )
        lines = [_lines(root, beside.get(_stem(name)), self.captions) for name in names]
        shown = [k for k, texts in enumerate(lines) if isinstance(texts, list)]
        ids, captions, pictures = [], [], []
        for number, k in enumerate(shown):
            for place, text in enumerate(lines[k]):
                ids.append(f"{names[k]}#{place}" if len(lines[k]) > 1 else names[k])
                captions.append(text)
                pictures.append(number)
        return Listing(
            source=self.path,
            rows=len(names),
            limit=self.max_skipped,
            names=pa.array([names[k] for k in shown], TEXT),
            lines=np.array(shown, np.int64) + 1,
            shows=np.arange(len(shown)),
            files=pa.array([str(root / names[k]) for k in shown], TEXT),
            pairs=Pairing(ids=pa.array(ids, TEXT), captions=pa.array(captions, TEXT), pictures=np.array(pictures)),
            skipped=[Skip(k + 1, names[k], said) for k, said in enumerate(lines) if isinstance(said, str)],
        )


@settings
class LabeledFolder(LabeledSource):
    """One folder a class, its images within: the layout of torchvision's ``ImageFolder``."""

    kind: ClassVar[str] = "folder"
    shorthand: ClassVar[str] = "path"
    path: str
    """The folder of the classes' folders; ``~`` and ``$VARIABLES`` are put in."""
    classes: str | tuple[str, ...] = ""
    """Class names in the order of the folders' names: a list, a file, or by name; by default the folders' names."""
    templates: str | tuple[str, ...] = ""
    """The set's own prompt templates with ``{c}``: a list, a JSON or text file, or a set by name."""
    max_skipped: Share = 0.05
    """Share of the images that may be passed over because they are unreadable."""

    def ingest(self, listen: Listener = silent) -> None:
        self._folder(listen)

    def open(self) -> StoredLabels:
        from bezoar.data.files.store import StoredLabels

        return StoredLabels(self._folder(silent), self.path, self._classes(), wordings_of(self.templates))

    def _classes(self) -> tuple[str, ...]:
        root = expand(self.path)
        folders, given = _folders(root), classes_of(self.classes)
        if not folders:
            raise ValueError(f"path: {root} has no folder for any class")
        if {name.lower() for name in folders} <= _SPLITS:
            raise ValueError(f"path: the folders of {root} are splits, not classes: name one, as {root / folders[0]}")
        if given and len(given) != len(folders):
            raise ValueError(f"classes: {len(given)} names for the {len(folders)} folders of {root}")
        return given or tuple(folders)

    def _folder(self, listen: Listener) -> Path:
        from bezoar.data.files.ingest import kept

        root, classes = expand(self.path), self._classes()
        files = files_under(root, IMAGES)
        own = replace(self, path="", classes="", templates="", max_skipped=0)
        identity = own, str(root.absolute()), state_of(files), classes
        return kept(self.path, identity, self.max_skipped, lambda: self._listing(root, files), listen)

    def _listing(self, root: Path, files: Sequence[File]) -> Listing:
        import numpy as np
        import pyarrow as pa

        from bezoar.data.files.ingest import Listing, Skip
        from bezoar.data.files.readers import TEXT

        _refuse_none(root, files)
        number = {name: k for k, name in enumerate(_folders(root))}
        outside = [k for k, file in enumerate(files) if "/" not in file.name]
        within = [k for k, file in enumerate(files) if "/" in file.name]
        names = [files[k].name for k in within]
        return Listing(
            source=self.path,
            rows=len(files),
            limit=self.max_skipped,
            names=pa.array(names, TEXT),
            lines=np.array(within, np.int64) + 1,
            shows=np.arange(len(within)),
            files=pa.array([str(root / name) for name in names], TEXT),
            labels=np.array([number[name.partition("/")[0]] for name in names], np.int64),
            skipped=[Skip(k + 1, files[k].name, "in the folder of no class") for k in outside],
        )


class File(NamedTuple):
    """A file in a folder: path within it with ``/``, size and time of change."""

    name: str
    size: int
    changed: int


def files_under(root: Path, suffixes: tuple[str, ...]) -> list[File]:
    """The files with these suffixes, in the order of their paths; hidden ones are left out, links followed."""
    found, waiting, seen = [], [(str(root), "")], set()
    while waiting:
        folder, prefix = waiting.pop()
        state = os.stat(folder) if os.path.exists(folder) else None
        if state is not None and (state.st_dev, state.st_ino) in seen:  # a link back into the folder has no end
            continue
        seen.add((state.st_dev, state.st_ino) if state else None)
        for entry in _scan(Path(folder)):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                waiting.append((entry.path, f"{prefix}{entry.name}/"))
            elif os.path.splitext(entry.name)[1].lower() in suffixes:
                found.append(_file(entry, _as_text(prefix + entry.name, root)))
    return sorted(found)


def _as_text(name: str, root: Path) -> str:
    """``name``, if it can be part of an id; else a ``ValueError``."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"path: {root} has a file whose name is not UTF-8, {name!r}: rename it") from None
    return name


def _file(entry: os.DirEntry[str], name: str) -> File:
    try:
        state = entry.stat()
    except OSError:  # a link to nothing
        return File(name, -1, 0)
    return File(name, state.st_size, state.st_mtime_ns)


def state_of(files: Sequence[File]) -> str:
    """A digest of names, sizes and times of change: while it is the same, so is the content."""
    state = hashlib.blake2b(digest_size=16)
    for file in files:
        state.update(f"{file.name}\0{file.size}\0{file.changed}\n".encode(errors="surrogateescape"))
    return state.hexdigest()


def _folders(root: Path) -> list[str]:
    return sorted(entry.name for entry in _scan(root) if entry.is_dir() and not entry.name.startswith("."))


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise ValueError(f"path: {folder} cannot be read: {error.strerror}") from None


def _refuse_none(root: Path, found: Sequence[object]) -> None:
    """Raise ``ValueError`` where there is no image, and say which tables there are."""
    if not found:
        files = (file for depth in ("*", "*/*") for file in sorted(root.glob(depth)))
        tables = [str(file) for file in files if file.suffix in SUFFIXES and file.suffix != ".json"]
        hint = f"; it holds a table: name {tables[0]}" if tables else ""
        raise ValueError(f"path: {root} holds no image{hint} (images are {', '.join(IMAGES)})")


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]


def _lines(root: Path, name: str | None, which: Literal["each", "first"]) -> list[str] | str:
    """The captions in a text file, or why there are none."""
    if name is None:
        return "no caption"
    try:
        text = (root / name).read_text("utf-8-sig")
    except UnicodeDecodeError:
        return "caption is not UTF-8"
    except OSError as error:
        return f"cannot read caption: {error.strerror}"
    found = [line.strip() for line in text.splitlines() if line.strip().lower() not in NOTHING]
    return found[: 1 if which == "first" else None] or "no caption"
