"""Where the pictures lie that a table names: beside it, or where they were on the machine that wrote it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_SAMPLES = 16
"""Pictures of a folder that are looked for before it is taken to be another."""


def resolve(paths: pa.Array, roots: Sequence[Path]) -> pa.Array:
    """Where each of ``paths`` lies; raises ``ValueError`` for an address of the web.

    Relative paths begin at the first of ``roots`` that holds them. A folder that an absolute path names and that is
    not here is one of another machine: its longest end that is under a root is taken.
    """
    address = paths.filter(pc.match_substring(paths, "://"))
    if len(address):
        raise ValueError(f"image_key: '{address[0]}' is an address: download the pictures first, as with img2dataset")
    files = pc.replace_substring_regex(paths, r"(?s)^.*/", "")
    folders = pc.replace_substring_regex(paths, r"[^/]+\z", "").dictionary_encode()
    codes = np.asarray(folders.indices)
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes, minlength=len(folders.dictionary))
    ends = np.cumsum(counts)
    found = []
    for folder, start, end in zip(folders.dictionary.to_pylist(), (ends - counts).tolist(), ends.tolist(), strict=True):
        choices = _choices(folder, roots)
        some = files.take(pa.array(order[start : min(end, start + _SAMPLES)])).to_pylist() if len(choices) > 1 else ()
        found.append(next((choice for choice in choices if _holds(choice, some)), choices[0]))
    places = pa.array(found, paths.type).take(folders.indices)
    return pc.binary_join_element_wise(places, files, pa.scalar("/", paths.type))


def _choices(folder: str, roots: Sequence[Path]) -> list[str]:
    """The folders that ``folder`` may mean, the likeliest first."""
    if not folder.startswith("/"):
        return [os.path.join(root, folder).rstrip("/") for root in roots]
    parts = PurePath(folder).parts
    moved = [str(root.joinpath(*parts[dropped:])) for dropped in range(1, len(parts) + 1) for root in roots]
    return [folder.rstrip("/"), *moved]


def _holds(folder: str, names: Sequence[str]) -> bool:
    return os.path.isdir(folder) and any(os.path.exists(os.path.join(folder, name)) for name in names)
