"""Read a source once: look at every picture, pass over what cannot be used, count and list it, keep the rest.

A picture is decoded here so that a run never meets one that cannot be: what a source holds is settled before the first
plan is made. What was looked at survives a kill.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np
import pyarrow as pa

from bezoar.core.files import exclusive, free_bytes, read_json, sweep, writable_folder, write_json, write_text
from bezoar.core.machine import cache_folder, cores
from bezoar.core.progress import Event, Listener
from bezoar.core.records import append_line, read_lines
from bezoar.core.settings import digest
from bezoar.data.files.store import FACTS, FIRSTS, PAIRS, PICTURES, SKIPPED, write_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]

REVISION = 2
"""Counts changes of what is kept of a source."""
LOOKED = "looked.jsonl"
BLOCK = 1024
"""Pictures that are looked at between two notes of progress."""
_SHARE = 32
"""Pictures that one thread looks at at a time."""
_TEXTS = 1 << 16
"""Pairs that are written at a time."""
PATIENCE = 24 * 3600.0
"""Seconds to wait for another process that reads the same source."""


class Skip(NamedTuple):
    """One row that was passed over."""

    row: int
    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """Pairs of a source: three columns of one length."""

    ids: pa.Array
    captions: pa.Array
    pictures: Numbers
    """Number of the picture of each pair; its first pairs are in the order of the pictures."""


@dataclass(kw_only=True)
class Listing:
    """What a source says it holds, before any picture is looked at."""

    source: str
    """How the source is called in messages."""
    rows: int
    """How many rows it has; those that were not asked for do not count."""
    limit: float
    """Share of the rows that may be passed over."""
    names: pa.Array
    """Id of every picture; unique in labeled sets."""
    lines: Numbers
    """The number in the source of every row that shows a picture."""
    shows: Numbers
    """Which picture it shows."""
    files: pa.Array | None
    """Where the pictures lie; ``None`` where the source holds them."""
    contents: Iterable[Sequence[bytes | str | None]] | None = None
    """The encoded pictures that the source holds, in order, in blocks that are the same every time."""
    content_bytes: int = 0
    """About how much disk the contents take."""
    labels: Numbers | None = None
    """Class of every picture, for labeled sets."""
    pairs: Pairing | None = None
    """Captions, for pairs."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What else is to be kept of the source."""
    skipped: list[Skip] = field(default_factory=list)
    """Rows that are passed over before any picture is looked at."""


def kept(source: str, identity: object, limit: float, make: Callable[[], Listing], listen: Listener) -> Path:
    """The folder of the cache that holds a source, filled if it is not there yet.

    ``identity`` is all that what is kept depends on: settings, and the state of the files. Raises ``ValueError`` when
    a greater share than ``limit`` was passed over.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(source).stem)[:40]
    folder = cache_folder() / "sources" / f"{name}-{digest(REVISION, identity)}"
    if not (folder / FACTS).exists():
        with exclusive(writable_folder(folder, "BEZOAR_CACHE"), patience=PATIENCE):
            if not (folder / FACTS).exists():
                sweep(folder)
                ingest(folder, make(), listen)
    facts = read_json(folder / FACTS)
    passed = sum(facts["reasons"].values())
    if passed > limit * facts["rows"]:
        raise ValueError(_too_many(source, f"{passed:,}", facts["rows"], limit) + f"; listed in {folder / SKIPPED}")
    return folder


def ingest(folder: Path, listing: Listing, listen: Listener) -> None:
    """Fill ``folder`` from ``listing``; raises ``ValueError`` when too much of it cannot be used."""
    if listing.content_bytes > free_bytes(folder):
        raise ValueError(
            f"{listing.source}: its pictures are kept in {folder.parent} to be read fast, which takes about "
            f"{listing.content_bytes / 1e9:.1f} GB, and {free_bytes(folder) / 1e9:.1f} GB are free; "
            "set BEZOAR_CACHE to a folder with more room"
        )
    if len(listing.skipped) > listing.limit * listing.rows:
        _refuse(listing, listing.skipped, folder)
    state = hashlib.blake2b(digest_size=8)
    numbers = _keep_pictures(folder, listing, state, listen)
    good = numbers >= 0
    if not good.any():
        raise ValueError(f"{listing.source}: holds no picture that can be used")
    state.update(b"[")
    _take_in(state, listing.names.filter(pa.array(good)))
    state.update(b", ")
    _take_in(state, listing.labels[good] if listing.labels is not None else np.empty(0, np.int64))
    state.update(b"]")
    if listing.pairs is not None:
        _keep_pairs(folder, listing.pairs, numbers, state)
    if listing.skipped:
        write_skipped(folder, listing.skipped)
    write_json(
        folder / FACTS,
        {
            "schema": 1, "source": listing.source, "rows": listing.rows,
            "reasons": dict(Counter(skip.reason for skip in sorted(listing.skipped))),
            "fingerprint": state.hexdigest(), **listing.facts,
        },
    )  # fmt: skip
    (folder / LOOKED).unlink(missing_ok=True)


def _take_in(state: hashlib.blake2b, values: pa.Array | Numbers) -> None:
    """A column as one list of JSON, which is the same on every machine and with every version of any library."""
    state.update(b"[")
    for start in range(0, len(values), _TEXTS):
        text = json.dumps(values[start : start + _TEXTS].tolist())
        state.update(f"{', ' if start else ''}{text[1:-1]}".encode())
    state.update(b"]")


def _keep_pictures(folder: Path, listing: Listing, state: hashlib.blake2b, listen: Listener) -> Numbers:
    """Look at every picture and write those that can be used; returns the new number of each, -1 for the others."""
    inside = listing.contents is not None
    columns = {"id": pa.string(), "image": pa.binary() if inside else pa.string()}
    schema = pa.schema(columns | ({"label": pa.int32()} if listing.labels is not None else {}))
    numbers = np.full(len(listing.names), -1)
    rows = np.bincount(listing.shows, minlength=len(numbers))
    bad: dict[int, str] = {}
    count, passed = 0, len(listing.skipped)

    def blocks() -> Iterator[pa.Table]:
        nonlocal count, passed
        for start, block, found in _looked_at(folder, listing, listen):
            good = []
            for k, one in enumerate(found):
                if isinstance(one, bytes):
                    good.append(k)
                    state.update(one)
                else:
                    bad[start + k] = one
                    passed += int(rows[start + k])
            if passed > listing.limit * listing.rows:
                _refuse(listing, [*listing.skipped, *_rows_of(listing, bad)], folder)
            places = np.array(good, np.int64) + start
            numbers[places] = np.arange(count, count + len(good))
            count += len(good)
            images = [_bytes_of(block[k]) if inside else block[k] for k in good]
            values: dict[str, Any] = {"id": listing.names.take(pa.array(places)).cast(pa.string()), "image": images}
            if listing.labels is not None:
                values["label"] = listing.labels[places]
            yield pa.table(values, schema=schema)

    write_rows(folder / PICTURES, schema, blocks(), few=inside)
    listing.skipped += _rows_of(listing, bad)
    return numbers


def _bytes_of(content: bytes | str | None) -> bytes:
    assert content is not None
    return Path(content).read_bytes() if isinstance(content, str) else content


def _looked_at(
    folder: Path, listing: Listing, listen: Listener
) -> Iterator[tuple[int, Sequence[bytes | str | None], list[bytes | str]]]:
    """Block by block: its first number, its pictures or files, and of each the digest, or why it cannot be used."""
    before = read_lines(folder / LOOKED)
    start = 0
    with ThreadPoolExecutor(cores()) as pool:
        for block in _blocks(listing):
            noted: list[str] = next(before, {"found": []})["found"]
            again = len(noted) == len(block)
            # What could be read before can be still; what could not may have been put right.
            found: list[bytes | str] = [bytes.fromhex(one) for one in noted] if again else [b""] * len(block)
            todo = [k for k, one in enumerate(found) if not one]
            shares = [todo[k : k + _SHARE] for k in range(0, len(todo), _SHARE)]
            looks = pool.map(_look_at, [[block[k] for k in share] for share in shares])
            for k, look in zip(todo, (one for share in looks for one in share), strict=True):
                found[k] = look
            if not again:
                noted = [one.hex() if isinstance(one, bytes) else "" for one in found]
                append_line(folder / LOOKED, {"found": noted})
            yield start, block, found
            start += len(block)
            listen(Event(f"look at {listing.source}", start, len(listing.names), unit="pictures"))


def _look_at(pictures: Sequence[bytes | str | None]) -> list[bytes | str]:
    return [_look(picture) for picture in pictures]


def _blocks(listing: Listing) -> Iterator[Sequence[bytes | str | None]]:
    if listing.contents is not None:
        yield from listing.contents
        return
    assert listing.files is not None
    for start in range(0, len(listing.files), BLOCK):
        yield listing.files[start : start + BLOCK].to_pylist()


def _look(picture: bytes | str | None) -> bytes | str:
    """The digest of a picture that can be decoded, or why it cannot."""
    from bezoar.data.decode import decode

    try:
        content = _bytes_of(picture) if picture is not None else None
    except FileNotFoundError:
        return "missing file"
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte in it
        return f"cannot read file: {error.strerror if isinstance(error, OSError) else error}"
    if content is None:
        return "no image"
    try:
        decode(content)
    except ValueError as error:
        return f"not an image: {error}"
    return hashlib.blake2b(content, digest_size=16).digest()


def _keep_pairs(folder: Path, pairing: Pairing, numbers: Numbers, state: hashlib.blake2b) -> None:
    """Write the pairs whose picture can be used, and the first pair of each picture."""
    pictures = numbers[pairing.pictures]
    kept = np.flatnonzero(pictures >= 0)
    pictures = pictures[kept]
    schema = pa.schema({"id": pa.string(), "caption": pa.string(), "picture": pa.int64()})

    def blocks() -> Iterator[pa.Table]:
        for start in range(0, len(kept), _TEXTS):
            span = pa.array(kept[start : start + _TEXTS])
            columns = [
                pairing.ids.take(span), pairing.captions.take(span), pa.array(pictures[start : start + _TEXTS]),
            ]  # fmt: skip
            state.update(json.dumps([column.to_pylist() for column in columns]).encode())
            yield pa.table(columns, names=schema.names).cast(schema)

    write_rows(folder / PAIRS, schema, blocks())
    first = pa.schema({"first": pa.int64()})
    write_rows(folder / FIRSTS, first, [pa.table([np.unique(pictures, return_index=True)[1]], schema=first)])


def _rows_of(listing: Listing, bad: dict[int, str]) -> list[Skip]:
    """Every row that shows one of the pictures ``bad``, which are given with the reason."""
    rows = np.flatnonzero(np.isin(listing.shows, list(bad)))
    shows = listing.shows[rows]
    names = listing.names.take(pa.array(shows)).to_pylist()
    return [
        Skip(line, name, bad[picture])
        for line, name, picture in zip(listing.lines[rows].tolist(), names, shows.tolist(), strict=True)
    ]


def _refuse(listing: Listing, skipped: Sequence[Skip], folder: Path) -> NoReturn:
    """Write down what was passed over, and raise ``ValueError`` because it is too much."""
    write_skipped(folder, skipped)
    first = min(skipped)
    passed = f"{len(skipped):,}{' or more' if len(skipped) < listing.rows else ''}"
    raise ValueError(
        f"{_too_many(listing.source, passed, listing.rows, listing.limit)}; the first is row "
        f"{first.row}, '{first.name}': {first.reason}; listed in {folder / SKIPPED}"
    )


def _too_many(source: str, passed: str, rows: int, limit: float) -> str:
    return f"{source}: {passed} of {rows:,} rows cannot be used, more than max_skipped: {limit:g} of them"


def write_skipped(folder: Path, skipped: Sequence[Skip]) -> None:
    """The list of what was passed over, in the order of the source."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(Skip._fields)
    writer.writerows(sorted(skipped))
    write_text(folder / SKIPPED, stream.getvalue())
