"""Records: the facts a run leaves behind, one JSON object a line. Tables, plots and pages are functions of them."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from bezoar.core.files import unwritable, write_text

SCHEMA = 1
_TYPES: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (float, int), "bool": (bool,)}


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One number with its interval and the count it rests on."""

    metric: str
    """``accuracy_top1``, ``asr_top1``, …: a share in [0, 1], unless ``is_share`` says otherwise."""
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
    """Method of the stage, as ``clip`` or ``cleanclip``; ``unlearn (oracle)`` of one that was told who is poisoned."""
    epoch: int
    """Epochs finished in the stage."""
    step: int = 0
    """Steps taken in the stage, over all epochs; 0 at its start, and where an older version has not said it."""
    whole: bool = True
    """Whether an epoch had just ended, or none begun: it was not measured in the middle of one."""
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
    axes: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    """In a sweep: the axes that the stage depends on, and where it stands on each; not written where it is empty."""
    schema: int = SCHEMA


def is_share(metric: str) -> bool:
    """Whether the numbers of ``metric`` are shares in [0, 1]: all but losses and ``cider``.

    What is said after the name, as ``/PART``, `` of CLASS`` or `` on SET``, does not matter.
    """
    return not is_loss(metric) and not re.match(r"cider(?!\w)", metric)


def is_loss(metric: str) -> bool:
    """Whether ``metric`` is called a loss, of which less is better: its name ends so, whatever is said after it."""
    return re.match(r"\w*loss(?!\w)", metric) is not None


def now() -> str:
    """UTC time to the second, ISO 8601."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def append_line(path: Path, value: dict[str, Any]) -> None:
    """Append one JSON line with a single write, so that a kill tears at most the last line; a torn one is cut off.

    Raises ``OSError`` that names ``path`` when it cannot be written; then the file is as it was before.
    """
    line = (json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n").encode()
    try:
        with path.open("ab+", buffering=0) as stream:
            _mend(stream)
            size = stream.seek(0, 2)
            try:
                while line:  # once, unless the disk is full
                    line = line[stream.write(line) :]
            except OSError:
                with contextlib.suppress(OSError):
                    stream.truncate(size)
                raise
    except OSError as error:
        raise unwritable(path, error) from error


def mend(path: Path) -> None:
    """Cut off a torn last line, where there is one."""
    if path.exists():
        with path.open("rb+", buffering=0) as stream:
            _mend(stream)


def _mend(stream: BinaryIO) -> None:
    """Make the file end with a whole line."""
    size = stream.seek(0, 2)
    stream.seek(max(size - 1, 0))
    if stream.read() in (b"", b"\n"):
        return
    stream.seek(0)
    content = stream.read()
    start = content.rfind(b"\n") + 1
    try:
        _object(content[start:])
    except ValueError:
        stream.truncate(start)
    else:
        stream.write(b"\n")


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON-lines file; a torn last line is passed over and said, other faults are a ``ValueError``."""
    # Split bytes: a tear may cut a character in two, and text lines also end at U+2028, which JSON leaves as it is.
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            value = _object(line)
        except ValueError as error:
            if number < len(lines):
                raise ValueError(f"{path}, line {number}: not a JSON object: {error}") from None
            if line:
                logging.getLogger(__name__).warning("%s, line %d: torn, passed over", path, number)
            return
        yield value


def _object(line: bytes) -> dict[str, Any]:
    value = json.loads(line.decode("utf-8"), parse_constant=_refuse, parse_float=_finite)
    if not isinstance(value, dict):
        raise ValueError(f"it is a {type(value).__name__}")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large a number")
    return value


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write a whole records file, atomically."""
    write_text(path, "".join(json.dumps(_line(record), allow_nan=False) + "\n" for record in records))


def _line(record: Record) -> dict[str, Any]:
    return {name: value for name, value in asdict(record).items() if name != "axes" or value}


def read_records(path: Path) -> list[Record]:
    """The records of a file; another schema, a missing, unknown or ill-typed field: ``ValueError`` with the line.

    ``step``, ``whole`` and ``axes`` may be missing: lines from before there were such fields are of whole epochs and
    of no sweep.
    """
    names = {f.name for f in fields(Record)}
    since = {f.name for f in fields(Record) if f.default is not MISSING or f.default_factory is not MISSING}
    found = []
    for number, line in enumerate(read_lines(path), 1):
        if line.get("schema") != SCHEMA:
            raise ValueError(f"{path}, line {number}: schema {line.get('schema')}, this version reads {SCHEMA}")
        if odd := ", ".join(sorted(set(line) - names | names - since - set(line))):
            raise ValueError(f"{path}, line {number}: not a record: missing or unknown field {odd}")
        for f in (f for f in fields(Record) if f.name in line and f.name != "axes"):
            if type(line[f.name]) not in _TYPES[str(f.type)]:
                raise ValueError(
                    f"{path}, line {number}: not a record: {f.name} must be {f.type}, got {line[f.name]!r}"
                )
        axes = line.get("axes", {})
        if not isinstance(axes, dict) or not all(isinstance(at, (bool, int, float, str)) for at in axes.values()):
            raise ValueError(f"{path}, line {number}: not a record: axes must be values by their name, got {axes!r}")
        found.append(Record(**line))
    return found
