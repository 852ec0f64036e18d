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
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bezoar.core.files import exclusive, free_bytes, write_json, write_text
from bezoar.core.machine import cache_folder, cores
from bezoar.core.progress import Event, Listener
from bezoar.core.records import append_line, read_lines
from bezoar.core.settings import digest
from bezoar.data.files.store import FACTS, FIRSTS, PAIRS, PICTURES, SKIPPED, write_rows

if TYPE_CHECKING:
    import pyarrow as pa

REVISION = 1
"""Counts changes of what is kept of a source."""
LOOKED = "looked.jsonl"
BLOCK = 1024
"""Pictures that are looked at between two notes of progress."""
PATIENCE = 24 * 3600.0
"""Seconds to wait for another process that reads the same source."""


class Skip(NamedTuple):
    """One row that was passed over."""

    row: int
    name: str
    reason: str


@dataclass(kw_only=True)
class Listing:
    """What a source says it holds, before any picture is looked at."""

    source: str
    """How the source is called in messages."""
    rows: int
    """How many rows it has; those that were not asked for do not count."""
    limit: float
    """Share of the rows that may be passed over."""
    names: Sequence[str]
    """Id of every picture; unique in labeled sets."""
    row_of: Sequence[int]
    """The first row of every picture in the source."""
    files: Sequence[str] | None
    """Where the pictures lie; ``None`` where the source holds them."""
    contents: Iterable[list[bytes | None]] | None = None
    """The encoded pictures that the source holds, in order, in blocks of ``BLOCK``."""
    content_bytes: int = 0
    """About how much disk the contents take."""
    labels: Sequence[int] | None = None
    """Class of every picture, for labeled sets."""
    pairs: Pairing | None = None
    """Captions, for pairs."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What else is to be kept of the source."""
    skipped: list[Skip] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """Pairs of a source: three columns of one length."""

    ids: Sequence[str]
    captions: Sequence[str]
    pictures: Sequence[int]
    """Number of the picture of each pair."""


def kept(source: str, identity: object, make: Callable[[], Listing], listen: Listener) -> Path:
    """The folder of the cache that holds a source, filled if it is not there yet.

    ``identity`` is all that what is kept depends on: settings, and the state of the files.
    """
    folder = (
        cache_folder()
        / "sources"
        / f"{re.sub(r'[^A-Za-z0-9._-]+', '_', Path(source).stem)[:40]}-{digest(REVISION, identity)}"
    )
    if not (folder / FACTS).exists():
        ingest(folder, make(), listen)
    return folder


def ingest(folder: Path, listing: Listing, listen: Listener) -> None:
    """Fill ``folder`` from ``listing``; raises ``ValueError`` when too much of it cannot be used."""
    with exclusive(folder, patience=PATIENCE):
        if (folder / FACTS).exists():
            return
        if listing.content_bytes > free_bytes(folder):
            raise ValueError(
                f"{listing.source}: its pictures are kept in {folder.parent} to be read fast, which takes about "
                f"{listing.content_bytes / 1e9:.1f} GB, and {free_bytes(folder) / 1e9:.1f} GB are free; "
                "set BEZOAR_CACHE to a folder with more room"
            )
        refuse_many(listing, folder)
        digests = _keep_pictures(folder, listing, listen)
        fingerprint = hashlib.blake2b(digest_size=8)
        numbers = {old: new for new, old in enumerate(digests)}
        for digest in digests.values():
            fingerprint.update(digest)
        kept = [listing.names[old] for old in digests]
        labels = [listing.labels[old] for old in digests] if listing.labels is not None else []
        fingerprint.update(json.dumps([kept, labels]).encode())
        if listing.pairs is not None:
            _keep_pairs(folder, listing, listing.pairs, numbers, fingerprint)
        refuse_many(listing, folder)
        if listing.skipped:
            write_skipped(folder, listing.skipped)
        if not kept:
            raise ValueError(f"{listing.source}: holds no picture that can be used")
        reasons: dict[str, int] = {}
        for skip in listing.skipped:
            reasons[skip.reason] = reasons.get(skip.reason, 0) + 1
        write_json(
            folder / FACTS,
            {
                "schema": 1, "source": listing.source, "rows": listing.rows, "reasons": reasons,
                "fingerprint": fingerprint.hexdigest(), **listing.facts,
            },
        )  # fmt: skip
        (folder / LOOKED).unlink(missing_ok=True)


def _keep_pictures(folder: Path, listing: Listing, listen: Listener) -> dict[int, bytes]:
    """Look at every picture and write those that can be used; returns their digests by their number in the source."""
    import pyarrow as pa

    digests: dict[int, bytes] = {}
    inside = listing.contents is not None
    labeled = listing.labels is not None
    columns = {"id": pa.string(), "image": pa.binary() if inside else pa.string()}
    schema = pa.schema(columns | ({"label": pa.int32()} if labeled else {}))

    def blocks() -> Iterator[pa.Table]:
        for start, block, found in _looked_at(folder, listing, listen):
            good = [k for k, one in enumerate(found) if isinstance(one, bytes)]
            for k, one in enumerate(found):
                number = start + k
                if isinstance(one, bytes):
                    digests[number] = one
                else:
                    listing.skipped.append(Skip(listing.row_of[number], listing.names[number], one))
            refuse_many(listing, folder)
            values: dict[str, list[Any]] = {
                "id": [listing.names[start + k] for k in good], "image": [block[k] for k in good],
            }  # fmt: skip
            if listing.labels is not None:
                values["label"] = [listing.labels[start + k] for k in good]
            yield pa.table(values, schema=schema)

    write_rows(folder / PICTURES, schema, blocks())
    return digests


def _looked_at(
    folder: Path, listing: Listing, listen: Listener
) -> Iterator[tuple[int, Sequence[bytes | str | None], list[bytes | str]]]:
    """Block by block: its first number, its pictures or files, and of each the digest, or why it cannot be used."""
    before = [line["found"] for line in read_lines(folder / LOOKED)]
    with ThreadPoolExecutor(cores()) as pool:
        for number, block in enumerate(_blocks(listing)):
            start = number * BLOCK
            if number < len(before) and len(before[number]) == len(block):
                found = [bytes.fromhex(one) if isinstance(one, str) else one[0] for one in before[number]]
            else:
                found = list(pool.map(_look, block))
                noted = [one.hex() if isinstance(one, bytes) else [one] for one in found]
                append_line(folder / LOOKED, {"found": noted})
            yield start, block, found
            listen(Event(f"look at {listing.source}", start + len(block), len(listing.names), unit="pictures"))


def _blocks(listing: Listing) -> Iterator[Sequence[bytes | str | None]]:
    if listing.contents is not None:
        yield from listing.contents
        return
    assert listing.files is not None
    for start in range(0, len(listing.files), BLOCK):
        yield listing.files[start : start + BLOCK]


def _look(picture: bytes | str | None) -> bytes | str:
    """The digest of a picture that can be decoded, or why it cannot."""
    from bezoar.data.decode import decode

    try:
        content = Path(picture).read_bytes() if isinstance(picture, str) else picture
    except FileNotFoundError:
        return "missing file"
    except OSError as error:
        return f"cannot read file: {error.strerror}"
    if content is None:
        return "no image"
    try:
        decode(content)
    except ValueError as error:
        return f"not an image: {error}"
    return hashlib.blake2b(content, digest_size=16).digest()


def _keep_pairs(
    folder: Path, listing: Listing, pairing: Pairing, numbers: dict[int, int], fingerprint: hashlib.blake2b
) -> None:
    """Write the pairs whose picture can be used, and the first pair of each picture."""
    import pyarrow as pa

    kept = [k for k, picture in enumerate(pairing.pictures) if picture in numbers]
    schema = pa.schema({"id": pa.string(), "caption": pa.string(), "picture": pa.int64()})
    firsts: dict[int, int] = {}

    def blocks() -> Iterator[pa.Table]:
        for start in range(0, len(kept), 1 << 16):
            span = kept[start : start + (1 << 16)]
            pictures = [numbers[pairing.pictures[k]] for k in span]
            for place, picture in enumerate(pictures, start):
                firsts.setdefault(picture, place)
            columns: list[Sequence[Any]] = [
                [pairing.ids[k] for k in span], [pairing.captions[k] for k in span], pictures,
            ]  # fmt: skip
            fingerprint.update(json.dumps(columns).encode())
            yield pa.table(columns, schema=schema)

    write_rows(folder / PAIRS, schema, blocks())
    first = pa.schema({"first": pa.int64()})
    write_rows(folder / FIRSTS, first, [pa.table([[firsts[n] for n in range(len(numbers))]], schema=first)])


def refuse_many(listing: Listing, folder: Path) -> None:
    """Raise ``ValueError`` when more was passed over than the limit, and write down what it was."""
    if len(listing.skipped) > listing.limit * listing.rows:
        write_skipped(folder, listing.skipped)
        first = listing.skipped[0]
        raise ValueError(
            f"{listing.source}: {len(listing.skipped)} or more of {listing.rows:,} rows cannot be used, more than "
            f"max_skipped: {listing.limit:g} of them; the first is row {first.row}, '{first.name}': {first.reason}; "
            f"listed in {folder / SKIPPED}"
        )


def write_skipped(folder: Path, skipped: Sequence[Skip]) -> None:
    """The list of what was passed over, in the order of the source."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(Skip._fields)
    writer.writerows(sorted(skipped))
    write_text(folder / SKIPPED, stream.getvalue())
