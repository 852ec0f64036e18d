"""Synonyms from WordNet's own dictionary files, read in place.

The files are described in WordNet's manual pages: wndb(5WN) for index and data, morphy(7WN) for inflected words. An
index is sorted by bytes and is searched by bisection; nothing but the exception lists is held in memory.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import re
import sys
import zipfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

PARTS = ("noun", "verb", "adj", "adv")
FILES = tuple(f"{file}.{part}" for part in PARTS for file in ("index", "data"))

Contents = bytes | mmap.mmap

# Endings and what takes their place: the rules of detachment of morphy(7WN). Nouns have one more, ves to f, as in NLTK,
# through which the systems read WordNet.
_ENDINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "noun": (
        ("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z"),
        ("ches", "ch"), ("shes", "sh"), ("men", "man"), ("ies", "y"),
    ),
    "verb": (
        ("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", ""),
    ),
    "adj": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "adv": (),
}  # fmt: skip

_MARKER = re.compile(r"\((?:a|p|ip)\)$")
"""Where an adjective may stand, noted behind it in ``data.adj``."""


def places() -> Iterator[Path]:
    """Where WordNet may lie on this machine, most explicit first; a folder, or a zip file as NLTK downloads it."""
    if "WNSEARCHDIR" in os.environ:
        yield Path(os.environ["WNSEARCHDIR"])
    if "WNHOME" in os.environ:
        yield Path(os.environ["WNHOME"], "dict")
    yield Path("/usr/share/wordnet")
    yield Path("/usr/local/WordNet-3.0/dict")
    roots = [Path(root) for root in os.environ.get("NLTK_DATA", "").split(os.pathsep) if root]
    roots += [Path(os.path.expanduser("~"), "nltk_data")]
    roots += [Path(sys.prefix, "nltk_data"), Path(sys.prefix, "share/nltk_data"), Path(sys.prefix, "lib/nltk_data")]
    roots += [Path(under, "nltk_data") for under in ("/usr/share", "/usr/local/share", "/usr/lib", "/usr/local/lib")]
    for root in roots:
        yield root / "corpora/wordnet"
        yield root / "corpora/wordnet.zip"


def holds_wordnet(place: Path) -> bool:
    """Whether all index and data files are there."""
    if place.suffix != ".zip":
        return all((place / name).is_file() for name in FILES)
    try:
        with zipfile.ZipFile(place) as archive:
            return {f"wordnet/{name}" for name in FILES} <= set(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def find() -> Path | None:
    """The first of the known places that holds WordNet."""
    return next((place for place in places() if holds_wordnet(place)), None)


def _read(place: Path, name: str) -> Contents:
    if place.suffix == ".zip":
        with zipfile.ZipFile(place) as archive:
            member = f"wordnet/{name}"
            return archive.read(member) if member in archive.namelist() else b""
    path = place / name
    if not path.is_file() or path.stat().st_size == 0:
        return b""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


class WordNet:
    """WordNet as it lies in ``place``: a folder with its files, or a zip file with the folder ``wordnet``."""

    def __init__(self, place: Path) -> None:
        if not holds_wordnet(place):
            raise ValueError(f"wordnet: '{place}' must hold WordNet's files {', '.join(FILES)}")
        self.place = place
        self._index = {part: _read(place, f"index.{part}") for part in PARTS}
        self._data = {part: _read(place, f"data.{part}") for part in PARTS}
        self._exceptions = {part: _read(place, f"{part}.exc") for part in PARTS}
        self._irregular = {part: self._parse_exceptions(part) for part in PARTS}

    def _parse_exceptions(self, part: str) -> dict[str, tuple[str, ...]]:
        rows = (line.decode().split() for line in self._exceptions[part][:].splitlines())
        return {row[0]: tuple(row[1:]) for row in rows if row}

    @cached_property
    def digest(self) -> str:
        """Sixteen hexadecimal digits of all that is read; the same for equal files in another place."""
        total = hashlib.blake2b(digest_size=8)
        for contents in (self._index, self._data, self._exceptions):
            for part in PARTS:
                total.update(len(contents[part]).to_bytes(8, "big"))
                total.update(contents[part])
        return total.hexdigest()

    def synonyms(self, word: str) -> tuple[str, ...]:
        """All words that share a sense with ``word`` or with a base form of it, sorted, without ``word`` itself.

        They are spelled as WordNet does, with capitals and hyphens; its underscores are spaces.
        """
        lemma = word.lower().replace(" ", "_")
        found = {
            synonym.replace("_", " ")
            for part in PARTS
            for base in self._bases(lemma, part)
            for offset in self._offsets(base, part)
            for synonym in self._members(offset, part)
        }
        return tuple(sorted(synonym for synonym in found if synonym.lower().replace(" ", "_") != lemma))

    def _bases(self, lemma: str, part: str) -> tuple[str, ...]:
        """``lemma`` and the words it may be an inflection of; an exception list leaves no room for the rules."""
        if lemma in self._irregular[part]:
            return (lemma, *self._irregular[part][lemma])
        endings = [(old, new) for old, new in _ENDINGS[part] if lemma.endswith(old)]
        return (lemma, *(lemma[: -len(old)] + new for old, new in endings))

    def _offsets(self, lemma: str, part: str) -> list[bytes]:
        """Where the senses of ``lemma`` stand in the data file; empty for a word that is not in the index."""
        index, wanted = self._index[part], lemma.encode()
        low, high = 0, len(index) if lemma else 0
        while low < high:
            middle = (low + high) // 2
            start = index.rfind(b"\n", low, middle) + 1 or low
            stop = index.find(b"\n", middle)
            stop = len(index) if stop < 0 else stop
            # The license at the head of each file is indented, so that its lines sort first, as an empty word.
            found, _, rest = index[start:stop].partition(b" ")
            if found == wanted:
                fields = rest.split()
                return fields[-int(fields[1]) :]
            low, high = (stop + 1, high) if found < wanted else (low, start)
        return []

    def _members(self, offset: bytes, part: str) -> list[str]:
        """The words of the sense that stands at ``offset`` of the data file."""
        data, start = self._data[part], int(offset)
        stop = data.find(b"\n", start)
        fields = data[start : len(data) if stop < 0 else stop].split(b" ")
        if fields[0] != offset:
            raise ValueError(f"wordnet: {self.place}: index.{part} and data.{part} do not fit at byte {start}")
        count = int(fields[3], 16)
        return [_MARKER.sub("", field.decode()) for field in fields[4 : 4 + 2 * count : 2]]
