"""What a poisoned copy may be: PNG files and a CSV, Parquet, or WebDataset tars; in parts that are whole or absent."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol

from bezoar.core.files import atomic, sync, unwritable, write_json

SAMPLES = 10_000
"""Of one part at most: a folder of pictures, a Parquet file, a tar."""
BYTES = 10**9
"""A file is closed with the picture that makes it this large."""
_GROUP = 256
"""Rows of a row group: about 25 MB of pictures of 224 pixels."""


class Sample(NamedTuple):
    """One row of a copy."""

    id: str
    picture: bytes
    """PNG."""
    fields: tuple[str, ...]
    """What stands beside the picture: the caption, or label and class name."""


class Form(Protocol):
    """How a copy lies on the disk."""

    @property
    def names(self) -> str:
        """Regular expression of what stands in its folder."""
        ...

    def finished(self, out: Path) -> tuple[int, int]:
        """How many parts are whole, and how many samples are in them; ``ValueError`` where one between is missing."""
        ...

    def write(self, out: Path, part: int, samples: Iterator[Sample]) -> int:
        """Write the next part from ``samples``, of which no more are taken than go in; returns how many."""
        ...

    def close(self, out: Path, rows: Iterable[tuple[str, tuple[str, ...]]]) -> None:
        """Write what comes after the last part; ``rows`` are id and fields of every sample."""
        ...


@dataclass(frozen=True)
class CsvForm:
    """``images/000/00000001.png`` … and a CSV with the columns ``id``, ``image`` and ``head``."""

    table: str
    head: tuple[str, ...]

    @property
    def names(self) -> str:
        return rf"images|{self.table}"

    def finished(self, out: Path) -> tuple[int, int]:
        parts = _parts(out / "images", "[0-9]*", "{:03d}")
        return len(parts), len(parts) * SAMPLES

    def write(self, out: Path, part: int, samples: Iterator[Sample]) -> int:
        folder = out / "images" / f"{part:03d}"
        partial = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            with _refusals(folder):
                partial.mkdir(parents=True)
            count = 0
            for sample in islice(samples, SAMPLES):
                with _refusals(folder):
                    (partial / f"{sample.id}.png").write_bytes(sample.picture)
                count += 1
            if hasattr(os, "sync"):  # once for all files: ten thousand times a sync of one takes minutes
                os.sync()
            with _refusals(folder):
                os.replace(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        sync(folder.parent)
        return count

    def close(self, out: Path, rows: Iterable[tuple[str, tuple[str, ...]]]) -> None:
        with atomic(out / self.table, "w") as stream:
            writer = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)  # any end of line in a caption too
            writer.writerow(("id", "image", *self.head))
            for number, (name, fields) in enumerate(rows):
                writer.writerow((name, f"images/{number // SAMPLES:03d}/{name}.png", *fields))


@dataclass(frozen=True)
class LabelsForm(CsvForm):
    """PNG files with ``labels.csv``, and the class names in the order of their numbers as ``classes.json``."""

    classes: tuple[str, ...]

    @property
    def names(self) -> str:
        return rf"{super().names}|classes\.json"

    def close(self, out: Path, rows: Iterable[tuple[str, tuple[str, ...]]]) -> None:
        super().close(out, rows)
        write_json(out / "classes.json", list(self.classes))


class ParquetForm:
    """``pairs-00000.parquet`` … with the columns ``id``, ``image`` (PNG) and ``caption``; a source reads the folder."""

    names = r"pairs-\d+\.parquet"

    def finished(self, out: Path) -> tuple[int, int]:
        import pyarrow.parquet as pq

        parts = _parts(out, "pairs-*.parquet", "pairs-{:05d}.parquet")
        return len(parts), sum(pq.read_metadata(part).num_rows for part in parts)

    def write(self, out: Path, part: int, samples: Iterator[Sample]) -> int:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pa.schema({"id": pa.string(), "image": pa.binary(), "caption": pa.string()})
        how = {"use_dictionary": False, "compression": {"id": "snappy", "image": "none", "caption": "snappy"}}
        count = 0
        with atomic(out / f"pairs-{part:05d}.parquet") as stream, pq.ParquetWriter(stream, schema, **how) as writer:
            ours = _one_file(samples)
            while group := list(islice(ours, _GROUP)):
                columns = zip(*((sample.id, sample.picture, *sample.fields) for sample in group), strict=True)
                writer.write_table(pa.table(list(map(list, columns)), schema=schema))
                count += len(group)
        return count

    def close(self, out: Path, rows: Iterable[tuple[str, tuple[str, ...]]]) -> None:
        pass


class TarForm:
    """``shard-00000.tar`` …, where ``00000001.png``, ``.txt`` (caption) and ``.json`` (id) are one sample."""

    names = r"shard-\d+\.tar"

    def finished(self, out: Path) -> tuple[int, int]:
        parts = _parts(out, "shard-*.tar", "shard-{:05d}.tar")
        if not parts:
            return 0, 0
        with tarfile.open(parts[-1]) as tar:  # samples are numbered through all shards
            return len(parts), max(int(Path(name).stem) for name in tar.getnames())

    def write(self, out: Path, part: int, samples: Iterator[Sample]) -> int:
        count = 0
        with (
            atomic(out / f"shard-{part:05d}.tar") as stream,
            tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar,
        ):
            for sample in _one_file(samples):
                (caption,) = sample.fields
                _add(tar, f"{sample.id}.png", sample.picture)
                _add(tar, f"{sample.id}.txt", caption.encode())
                _add(tar, f"{sample.id}.json", json.dumps({"id": sample.id}).encode())
                count += 1
        return count

    def close(self, out: Path, rows: Iterable[tuple[str, tuple[str, ...]]]) -> None:
        pass


def _one_file(samples: Iterator[Sample]) -> Iterator[Sample]:
    """The samples that go into one file."""
    size = 0
    for sample in islice(samples, SAMPLES):
        size += len(sample.picture)
        yield sample
        if size >= BYTES:
            return


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)  # of no time and nobody
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def _parts(folder: Path, pattern: str, name: str) -> list[Path]:
    """The whole parts in ``folder``, in order."""
    found = set(folder.glob(pattern))
    parts = [folder / name.format(number) for number in range(len(found))]
    missing = next((part for part in parts if part not in found), None)
    if missing is not None:
        raise ValueError(f"out: {missing} is missing among its like: name an empty folder")
    return parts


@contextmanager
def _refusals(folder: Path) -> Iterator[None]:
    """Says which folder could not be written."""
    try:
        yield
    except OSError as error:
        raise unwritable(folder, error) from error
