"""Folders of images: with a caption beside each, or one folder a class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from bezoar.core.machine import expand
from bezoar.core.progress import Listener, silent
from bezoar.core.settings import settings
from bezoar.data.class_names import classes_of, wordings_of
from bezoar.data.files.table import Share
from bezoar.data.pairs import LabeledSource, PairsSource

if TYPE_CHECKING:
    from bezoar.data.files.ingest import Listing
    from bezoar.data.files.store import StoredLabels, StoredPairs

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".avif")


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
        texts = files_under(root, (".txt",))
        files = files_under(root, IMAGES)
        return kept(self.path, (self, files, texts), lambda: self._listing(root, files, texts), listen)

    def _listing(self, root: Path, files: Sequence[File], texts: Sequence[File]) -> Listing:
        from bezoar.data.files.ingest import Listing, Pairing, Skip

        beside = {os.path.splitext(file.name)[0]: file.name for file in texts}
        found = [_lines(root, beside.get(os.path.splitext(file.name)[0])) for file in files]
        shown = [k for k, lines in enumerate(found) if lines]
        pairs = [
            (
                number,
                f"{files[k].name}#{place}" if self.captions == "each" and len(found[k]) > 1 else files[k].name,
                text,
            )
            for number, k in enumerate(shown)
            for place, text in enumerate(found[k][: 1 if self.captions == "first" else None])
        ]
        return Listing(
            source=self.path,
            rows=len(files),
            limit=self.max_skipped,
            names=[files[k].name for k in shown],
            row_of=[k + 1 for k in shown],
            files=[str(root / files[k].name) for k in shown],
            pairs=Pairing(
                ids=[name for _, name, _ in pairs],
                captions=[text for _, _, text in pairs],
                pictures=[number for number, _, _ in pairs],
            ),
            skipped=[Skip(k + 1, files[k].name, "no caption") for k, lines in enumerate(found) if not lines],
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
        folders = sorted(entry.name for entry in _scan(root) if entry.is_dir() and not entry.name.startswith("."))
        if not folders:
            raise ValueError(f"path: {root} has no folder for any class")
        given = classes_of(self.classes)
        if given and len(given) != len(folders):
            raise ValueError(f"classes: {len(given)} names for the {len(folders)} folders of {root}")
        return given or tuple(folders)

    def _folder(self, listen: Listener) -> Path:
        from bezoar.data.files.ingest import kept

        root, classes = expand(self.path), self._classes()
        files = [file for file in files_under(root, IMAGES) if "/" in file.name]
        return kept(self.path, (self, files, classes), lambda: self._listing(root, files), listen)

    def _listing(self, root: Path, files: Sequence[File]) -> Listing:
        from bezoar.data.files.ingest import Listing

        folders = sorted(entry.name for entry in _scan(root) if entry.is_dir() and not entry.name.startswith("."))
        number = {name: k for k, name in enumerate(folders)}
        return Listing(
            source=self.path,
            rows=len(files),
            limit=self.max_skipped,
            names=[file.name for file in files],
            row_of=range(1, len(files) + 1),
            files=[str(root / file.name) for file in files],
            labels=[number[file.name.partition("/")[0]] for file in files],
        )


@dataclass(frozen=True)
class File:
    """A file in a folder: path within it with ``/``, size and time of change."""

    name: str
    size: int
    changed: int


def files_under(root: Path, suffixes: tuple[str, ...]) -> list[File]:
    """The files with these suffixes, in the order of their paths; hidden ones are left out."""
    found = []
    for entry in _walk(root):
        if os.path.splitext(entry.name)[1].lower() in suffixes:
            stat = entry.stat()
            found.append(File(Path(entry.path).relative_to(root).as_posix(), stat.st_size, stat.st_mtime_ns))
    return sorted(found, key=lambda file: file.name)


def _walk(root: Path) -> list[os.DirEntry[str]]:
    found, waiting = [], [root]
    while waiting:
        for entry in _scan(waiting.pop()):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                waiting.append(Path(entry.path))
            else:
                found.append(entry)
    return found


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise ValueError(f"path: {folder} cannot be read: {error.strerror}") from None


def _lines(root: Path, name: str | None) -> list[str]:
    """The captions of a text file."""
    if name is None:
        return []
    try:
        text = (root / name).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{root / name}: cannot be read: {error}") from None
    return [line.strip() for line in text.splitlines() if line.strip()]
