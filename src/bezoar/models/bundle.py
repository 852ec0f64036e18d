"""The files of one model: its weights, in one file or several, and the small files beside them."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bezoar.models.layouts.base import Tree
from bezoar.models.reading import Beside, read, skim


@dataclass(frozen=True)
class Bundle:
    """The files of one model."""

    files: tuple[Path, ...]
    """Of weights; several only where a folder's index says so."""
    beside: Beside

    @staticmethod
    def at(path: Path) -> Bundle:
        """Those of a file, or of a folder; raises ``ValueError`` where there is none, or more than one model."""
        if not path.is_dir():
            return Bundle((path,), Beside())
        beside = Beside(path)
        return Bundle(beside.weights(), beside)

    def skim(self) -> Tree:
        """What the files hold, with tensors on the meta device; raises ``ValueError`` for what is not read."""
        with _about_a_model():
            found = [skim(path) for path in self.files]
            for one in found:
                one.refuse()
            return _merged([one.tree for one in found])

    def read(self) -> Tree:
        """What the files hold; raises ``ValueError`` for what is not read."""
        with _about_a_model():
            return _merged([read(path) for path in self.files])

    def sha256(self) -> str:
        """Of the weights: of the file, or of the files' own in their order."""
        each = [sha256_of(path) for path in self.files]
        return each[0] if len(each) == 1 else hashlib.sha256("".join(each).encode()).hexdigest()


@contextlib.contextmanager
def _about_a_model() -> Iterator[None]:
    """Faults of files are those of the field ``model``."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"model: {error}") from error


def _merged(trees: list[Tree]) -> Tree:
    merged: Tree = {}
    for tree in trees:
        twice = merged.keys() & tree.keys()
        if twice:
            raise ValueError(f"two of its files hold {sorted(twice)[0]}")
        merged |= tree
    return merged


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, computed once while the file stays as it is."""
    facts = path.stat()
    return _sha256(path.resolve(), facts.st_size, facts.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _sha256(path: Path, size: int, changed: int) -> str:
    """Once for a file as it is now: checkpoints have gigabytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
