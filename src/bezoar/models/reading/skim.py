"""What a file of weights holds, told without loading it."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from torch import Tensor

from bezoar.models.reading import torch_legacy, torch_zip
from bezoar.models.reading.archive import directory
from bezoar.models.reading.forms import form
from bezoar.models.reading.opcodes import take_apart
from bezoar.models.reading.plain import plain, tensors
from bezoar.models.reading.refusal import RefusedError, shown
from bezoar.models.reading.tensor_file import header
from bezoar.models.reading.torch_legacy import LaterRecords
from bezoar.models.reading.torch_zip import ZipRecords
from bezoar.models.reading.workshop import Workshop

_ADVICE = {
    "Git LFS pointer": "only the pointer was downloaded, not the file itself: fetch it with git lfs pull",
    "HTML page": "the download gave a page and not the file: open the link in a browser",
    "gzip file": "unpack it first",
    "bzip2 file": "unpack it first",
    "xz file": "unpack it first",
    "zstd file": "unpack it first",
    "tar archive": "unpack it first",
    "torch tar": "torch before 0.1.10 wrote it, and its pickles could run code: load it there and save it anew",
    "pickle": "a plain pickle can run code, and no weights need one",
    "numpy pickle": "its objects are pickled and could run code",
    "numpy archive": "save its arrays as safetensors",
    "numpy array": "one array is no model",
    "empty file": "it holds nothing: the download or the copy failed",
    "folder": "name the file in it",
}


@dataclass(frozen=True, kw_only=True)
class Part:
    """How much one part of a file holds."""

    tensors: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Skim:
    """What a file holds. Nothing in it was executed, and no weights were read."""

    path: Path
    form: str
    """``safetensors``, ``torch`` (a zip), ``torch legacy``, ``TorchScript``, ``torch tar``, ``pickle``, or what else
    it looks like."""
    bytes: int
    tree: dict[str, Any]
    """Plain values by name, nested; tensors on the meta device. Empty where it could not be made out. Of TorchScript,
    ``state_dict`` and ``attributes``, both by dotted names."""
    globals: tuple[str, ...] = ()
    """Every global that its pickles name (``torch._utils._rebuild_tensor_v2``), each once, in order."""
    metadata: dict[str, str] = field(default_factory=dict)
    """Of a safetensors header."""
    faults: tuple[str, ...] = ()
    """Why it is not read: what was found, and where in the file. Empty for a file that is read."""

    def refuse(self) -> None:
        """Raise ``ValueError`` in one line, with the first faults, if there are any."""
        if self.faults:
            more = f"; and {len(self.faults) - 2} more" if len(self.faults) > 2 else ""
            raise ValueError(f"{self.path} is not read ({self.form}): {'; '.join(self.faults[:2])}{more}")

    def parts(self) -> dict[str, Part]:
        """How much stands under each name of the tree that is no tensor itself, and under ``""`` all that are."""
        groups: dict[str, list[Tensor]] = {}
        for name, value in self.tree.items():
            groups.setdefault("" if isinstance(value, Tensor) else name, []).extend(tensors(value))
        return {
            name: Part(tensors=len(found), bytes=sum(tensor.numel() * tensor.itemsize for tensor in found))
            for name, found in groups.items()
            if found
        }


def skim(path: Path) -> Skim:
    """Tell what the file at ``path`` is and holds. Nothing in it is executed, whatever it is.

    Raises ``ValueError`` only where there is no such file, or it cannot be opened.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return Skim(path=path, form="folder", bytes=0, tree={}, faults=(_faulty("folder"),))
        if not stat.S_ISREG(mode):
            raise ValueError(f"{path} is no file, but a device, a pipe or a socket")
        with path.open("rb") as stream:
            return _skim(path, stream, os.fstat(stream.fileno()).st_size)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None


def _skim(path: Path, stream: BinaryIO, length: int) -> Skim:
    kind = form(stream, length)
    if kind == "safetensors":
        return _safetensors(path, stream, length)
    if kind == "zip":
        return _zip(path, stream, length)
    if kind == "torch legacy":
        shop = Workshop(LaterRecords())
        return _pickled(path, kind, length, shop, lambda: torch_legacy.take(stream, length, shop))
    if kind in ("pickle", "text", "unknown", "numpy array"):
        return _loose(path, kind, stream, length)
    return Skim(path=path, form=kind, bytes=length, tree={}, faults=(_faulty(kind),))


def _safetensors(path: Path, stream: BinaryIO, length: int) -> Skim:
    try:
        found = header(stream, length)
    except RefusedError as refusal:
        return Skim(path=path, form="safetensors", bytes=length, tree={}, faults=(str(refusal),))
    tree: dict[str, Any] = dict(found.tensors)
    return Skim(path=path, form="safetensors", bytes=length, tree=tree, metadata=found.metadata)


def _zip(path: Path, stream: BinaryIO, length: int) -> Skim:
    try:
        entries = directory(stream, length)
        found = torch_zip.contents(entries)
    except RefusedError as refusal:
        return Skim(path=path, form="zip archive", bytes=length, tree={}, faults=(str(refusal),))
    if found is None:
        kind = "numpy archive" if any(name.endswith(".npy") for name in entries) else "zip archive"
        fault = _ADVICE.get(kind) or f"it holds {shown(next(iter(entries), 'nothing'))} and no data.pkl"
        return Skim(path=path, form=kind, bytes=length, tree={}, faults=(fault,))
    shop = Workshop(ZipRecords(found), script=found.script)
    kind = "TorchScript" if found.script else "torch"
    return _pickled(path, kind, length, shop, lambda: torch_zip.take(stream, found, shop))


def _loose(path: Path, kind: str, stream: BinaryIO, length: int) -> Skim:
    """A file that may be a pickle or hold one: taken apart for what it names, and never read."""
    stream.seek(0)
    head = io.BytesIO(stream.read(torch_zip.PICKLE_LIMIT))
    if kind == "numpy array":
        width = 2 if head.getvalue()[6:7] == b"\1" else 4
        start = 8 + width + int.from_bytes(head.getvalue()[8 : 8 + width], "little")
        if b"'|O'" not in head.getvalue()[:start]:
            return Skim(path=path, form=kind, bytes=length, tree={}, faults=(_faulty(kind),))
        kind = "numpy pickle"
        head.seek(start)
    shop = Workshop(LaterRecords())
    found = _pickled(path, kind, length, shop, lambda: take_apart(head, shop, ""))
    if kind in ("text", "unknown"):
        if head.tell() < min(length, 2) or not _ended(head):
            return Skim(path=path, form=kind, bytes=length, tree={}, faults=(_faulty(kind),))
        found = replace(found, form="pickle")
    return replace(found, faults=(_ADVICE[found.form], *found.faults))


def _pickled(path: Path, kind: str, length: int, shop: Workshop, take: Callable[[], Any]) -> Skim:
    odd: list[str] = []
    late: list[str] = []
    tree: dict[str, Any] = {}
    try:
        value = plain(take(), odd)
        if isinstance(value, dict) and all(isinstance(name, str) for name in value):
            tree = value
        else:
            late.append(f"it holds a {type(value).__name__}, and no values by name")
    except RefusedError as refusal:
        late.append(str(refusal))
    if odd and not shop.faults:
        late.append(f"it holds {shown(odd[0])} as a value")
    if path.suffix == ".safetensors":  # by which torch.load would take it for what it is not
        late.append(f"it is no safetensors file, whatever its name: it looks like {kind}")
    faults = (*shop.faults, *late)
    return Skim(path=path, form=kind, bytes=length, tree=tree, globals=tuple(shop.globals), faults=faults)


def _ended(stream: io.BytesIO) -> bool:
    """Whether a pickle was taken apart up to its end, where ``stream`` stands."""
    return stream.getvalue()[stream.tell() - 1 : stream.tell()] == b"."


def _faulty(kind: str) -> str:
    return _ADVICE.get(kind, "no weights are kept so")
