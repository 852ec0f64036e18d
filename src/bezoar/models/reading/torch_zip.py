"""What ``torch.save`` writes, and archives of TorchScript: zips with a pickle, and a record for each storage.

Of TorchScript only the tree of modules is read, as names and tensors. Its code is never looked into.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO

import torch
from torch import Tensor

from bezoar.models.reading.archive import Entry
from bezoar.models.reading.inert import Storage, Thing
from bezoar.models.reading.opcodes import take_apart
from bezoar.models.reading.refusal import RefusedError, shown
from bezoar.models.reading.workshop import Workshop

PICKLE_LIMIT = 64 << 20
_CODE_LIMIT = 64 << 20
_SMALL = frozenset({"version", "byteorder", ".format_version", ".storage_alignment", ".data/serialization_id"})
_SMALL_LIMIT = 1 << 10
_SCRIPT_RECORDS = ("code/", "constants/", "extra/", "traced_inputs/")
_NESTED = (b"PK\3\4", b"\x80", b"\x1f\x8b", b"BZh")
_SCRIPT_FILES = frozenset(
    {"constants.pkl", "traced_inputs.pkl", "attributes.pkl", "bytecode.pkl", "model.json", ".data/version"}
)


@dataclass(frozen=True)
class Contents:
    """The records of a torch archive by the names that torch gives them."""

    records: dict[str, Entry]
    script: bool


def contents(entries: dict[str, Entry]) -> Contents | None:
    """The records of a torch archive; ``None`` where the zip is none. Raises ``RefusedError`` for a strange one."""
    pickles = [name for name in entries if name.endswith("/data.pkl")]
    if not pickles:
        return None
    if len(pickles) > 1:
        raise RefusedError(f"its zip archive holds {len(pickles)} pickles: {shown(pickles[0])}, {shown(pickles[1])}")
    root = pickles[0].removesuffix("data.pkl")
    if root.count("/") != 1:
        raise RefusedError(f"its pickle is {shown(pickles[0])}, deeper than torch puts it")
    outside = next((name for name in entries if not name.startswith(root)), None)
    if outside is not None:
        raise RefusedError(f"its zip archive holds {shown(outside)} beside {shown(pickles[0])}")
    records = {name.removeprefix(root): entry for name, entry in entries.items()}
    script = "constants.pkl" in records
    code = 0
    lower: set[str] = set()
    for name, entry in records.items():
        if script and name.startswith(_SCRIPT_RECORDS):
            code += entry.size
            continue
        if name.lower() in lower:
            raise RefusedError(f"its zip archive holds {shown(name)} twice, in capital and small letters")
        lower.add(name.lower())
        known = name == "data.pkl" or _is_storage(name) or name in _SMALL or (script and name in _SCRIPT_FILES)
        if not known:
            raise RefusedError(f"its zip archive holds {shown(name)}, which is no part of a checkpoint")
        if not entry.stored:
            raise RefusedError(f"{shown(name)} in its zip archive is compressed, and torch never compresses it")
        if name in _SMALL and entry.size > _SMALL_LIMIT:
            raise RefusedError(f"{shown(name)} in its zip archive has {entry.size:,} bytes")
    if code > _CODE_LIMIT:
        raise RefusedError(f"the code in its zip archive is {code:,} bytes when unpacked: a zip bomb")
    if records["data.pkl"].size > PICKLE_LIMIT:
        raise RefusedError(f"a pickle of {records['data.pkl'].size:,} bytes, and that of the largest towers has 2 MB")
    if "version" not in records and ".data/version" not in records:
        raise RefusedError("its zip archive lacks the version of its format")
    return Contents(records, script)


def _is_storage(name: str) -> bool:
    key = name.removeprefix("data/")
    return key != name and "/" not in key


class ZipRecords:
    """The storages of a torch archive."""

    def __init__(self, found: Contents, file: memoryview | None = None) -> None:
        self._entries = {name.removeprefix("data/"): e for name, e in found.records.items() if _is_storage(name)}
        self._file = file
        self._flat: dict[Storage, Tensor] = {}

    def size(self, key: str) -> int:
        if key not in self._entries:
            raise RefusedError(f"storage {shown(key)} is missing in its zip archive")
        return self._entries[key].size

    def numbers(self, storage: Storage) -> Tensor | None:
        if self._file is None:
            return None
        if storage not in self._flat:
            start = self._entries[storage.key].start
            raw: Any = self._file[start : start + storage.bytes]
            if start % storage.dtype.itemsize:
                raw = bytearray(raw)
            empty = torch.empty(0, dtype=storage.dtype)
            self._flat[storage] = torch.frombuffer(raw, dtype=storage.dtype) if storage.bytes else empty
        return self._flat[storage]


def take(stream: BinaryIO, found: Contents, workshop: Workshop) -> Any:
    """The value that the pickle of a torch archive stands for."""
    order = found.records.get("byteorder")
    if order is not None and _bytes(stream, order) != b"little":
        raise RefusedError("its numbers are not stored with the lowest byte first")
    for name, entry in found.records.items():
        if name.startswith("extra/") and (not entry.stored or _bytes(stream, entry, 4).startswith(_NESTED)):
            raise RefusedError(f"{shown(name)} in its zip archive is an archive or a pickle of its own")
    pickle = found.records["data.pkl"]
    content = io.BytesIO(_bytes(stream, pickle))
    value = take_apart(content, workshop, pickle.name)
    if content.tell() != pickle.size:
        raise RefusedError(f"{pickle.size - content.tell():,} bytes after the end of the pickle {shown(pickle.name)}")
    return script_tree(value) if found.script else value


def _bytes(stream: BinaryIO, entry: Entry, most: int = PICKLE_LIMIT) -> bytes:
    stream.seek(entry.start)
    return stream.read(min(entry.size, most))


def script_tree(root: Any) -> dict[str, Any]:
    """``state_dict`` and ``attributes`` of a TorchScript module: tensors and plain values by dotted names."""
    if not isinstance(root, Thing):
        raise RefusedError(f"an archive of TorchScript that holds a {type(root).__name__} and no module")
    tensors: dict[str, Tensor] = {}
    attributes: dict[str, Any] = {}
    pending: list[tuple[str, Thing]] = [("", root)]
    count = 0
    while pending:
        prefix, module = pending.pop()
        count += 1
        if count > 100_000 or len(prefix) > 1000:
            raise RefusedError("an archive of TorchScript with more modules than any tower, or one that holds itself")
        below: list[tuple[str, Thing]] = []
        for name, value in module.state.items():
            if "." in name:
                raise RefusedError(f"a module with an attribute called {shown(name)}")
            if isinstance(value, Tensor):
                tensors[prefix + name] = value
            elif isinstance(value, Thing):
                below.append((f"{prefix}{name}.", value))
            elif name not in ("training", "_is_full_backward_hook") and _is_flat(value):
                attributes[prefix + name] = value
        pending.extend(reversed(below))
    return {"state_dict": tensors, "attributes": attributes}


def _is_flat(value: Any) -> bool:
    """Whether it is a number or a text, or a few of them."""
    few: Iterable[Any] = value if isinstance(value, list | tuple) and len(value) <= 64 else (value,)
    return all(isinstance(item, bool | int | float | str) for item in few)
