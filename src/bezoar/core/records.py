"""Records: the facts a run leaves behind, one JSON object a line. Tables, plots and pages are functions of them."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from bezoar.core.files import write_text

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One number with its interval and the count it rests on. Shares are in [0, 1]."""

    metric: str
    """``accuracy_top1``, ``asr_top1``, …"""
    value: float
    low: float
    """Lower end of the 95 % interval."""
    high: float
    n: int
    """How many images the number rests on."""
    data: str
    """Name of the set it was measured on."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One measure and all that is needed to say where it comes from."""

    run: str
    stage: str
    after: str
    """Method of the stage, as ``clip`` or ``cleanclip``."""
    epoch: int
    """Epochs trained in the stage; 0 is the model it started from."""
    evaluator: str
    data: str
    metric: str
    value: float
    low: float
    high: float
    n: int
    seed: int
    git: str
    at: str
    """UTC time of the measurement."""
    schema: int = SCHEMA


def now() -> str:
    """UTC time to the second, ISO 8601."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def append_line(path: Path, value: dict[str, Any]) -> None:
    """Append one JSON line with a single write, so that a kill tears at most the last line."""
    line = json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON-lines file; a torn last line is passed over, any other fault is a ``ValueError``."""
    text = path.read_text("utf-8") if path.exists() else ""
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        try:
            value = json.loads(line)
        except json.JSONDecodeError:
            if number == len(lines) and not text.endswith("\n"):
                return
            raise ValueError(f"{path}, line {number}: not a JSON object") from None
        yield value


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write a whole records file, atomically."""
    write_text(path, "".join(json.dumps(asdict(record), allow_nan=False) + "\n" for record in records))


def read_records(path: Path) -> list[Record]:
    """The records of a file; a newer schema, a missing or an unknown field is a ``ValueError`` with the line."""
    names = {field.name for field in fields(Record)}
    found = []
    for number, line in enumerate(read_lines(path), 1):
        if line.get("schema") != SCHEMA:
            raise ValueError(f"{path}, line {number}: schema {line.get('schema')}, this version reads {SCHEMA}")
        if set(line) != names:
            odd = ", ".join(sorted(set(line) ^ names))
            raise ValueError(f"{path}, line {number}: not a record: missing or unknown field {odd}")
        found.append(Record(**line))
    return found
