"""The tensors of a file, once its skim found no fault."""

from __future__ import annotations

import mmap
import os
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from bezoar.models.reading import torch_zip
from bezoar.models.reading.archive import directory
from bezoar.models.reading.plain import difference, plain
from bezoar.models.reading.skim import skim
from bezoar.models.reading.workshop import Workshop


def read(path: Path) -> dict[str, Any]:
    """What the file at ``path`` holds: plain values and tensors on the CPU, as ``Skim.tree`` tells them.

    Safetensors go through their own library; files of ``torch.save`` only through torch's weights-only unpickler; the
    tensors of TorchScript are taken out of the archive by us. Numbers are mapped where the file allows it, so that
    what nobody looks at costs nothing: do not overwrite the file in place while its tensors are in use. Raises
    ``ValueError`` with one line that names the file, what was found in it and where.
    """
    before = _identity(path)
    found = skim(path)
    found.refuse()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = _READERS[found.form](path)
        odd: list[str] = []
        tree: dict[str, Any] = plain(value, odd)
    except Exception as error:  # whatever readers written by others make of a file that is not what it seems
        raise ValueError(f"{path}: its numbers cannot be read ({type(error).__name__})") from error
    if _identity(path) != before:
        raise ValueError(f"{path} was changed while it was read")
    differs = odd[0] if odd else difference(found.tree, tree)
    if differs is not None:
        raise ValueError(f"{path} is read differently by two readers, at {differs or 'its top'}")
    return tree


def _identity(path: Path) -> tuple[int, ...]:
    try:
        told = path.stat()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
    return told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns


def _safetensors(path: Path) -> Any:
    return load_file(path)


def _torch(path: Path) -> Any:
    with path.open("rb") as stream:
        starts = [entry.start for entry in directory(stream, os.fstat(stream.fileno()).st_size).values()]
    aligned = all(start % 8 == 0 for start in starts)
    return torch.load(path, weights_only=True, map_location="cpu", mmap=aligned)


def _legacy(path: Path) -> Any:
    return torch.load(path, weights_only=True, map_location="cpu", mmap=False)


def _script(path: Path) -> Any:
    with path.open("rb") as stream:
        found = torch_zip.contents(directory(stream, os.fstat(stream.fileno()).st_size))
        assert found is not None, "a file whose skim was TorchScript"
        file = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
        shop = Workshop(torch_zip.ZipRecords(found, memoryview(file)), script=True)
        return torch_zip.take(stream, found, shop)


_READERS = {"safetensors": _safetensors, "torch": _torch, "torch legacy": _legacy, "TorchScript": _script}
