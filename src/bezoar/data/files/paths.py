"""Where the pictures lie that a table names: beside it, or where they were on the machine that wrote it."""

from __future__ import annotations

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
    ends = np.cumsum(np.bincount(codes, minlength=len(folders.dictionary)))
    found = []
    for folder, start, end in zip(folders.dictionary.to_pylist(), [0, *ends[:-1].tolist()], ends.tolist(), strict=True):
        some = files.take(pa.array(order[start : min(end, start + _SAMPLES)])).to_pylist()
        found.append(str(_place(folder, some, roots)))
    return pc.binary_join_element_wise(
        pa.array(found, paths.type).take(folders.indices), files, pa.scalar("/", paths.type)
    )


def _place(folder: str, names: Sequence[str], roots: Sequence[Path]) -> Path:
    """The first folder that ``folder`` may mean in which one of ``names`` is; else the first that it may mean."""
    parts = PurePath(folder).parts
    if PurePath(folder).is_absolute():
        moved = [root.joinpath(*parts[dropped:]) for dropped in range(1, len(parts) + 1) for root in roots]
        choices = [Path(folder), *moved]
    else:
        choices = [root / folder for root in roots]
    if len(choices) == 1:
        return choices[0]
    held = (choice for choice in choices if choice.is_dir() and any((choice / name).exists() for name in names))
    return next(held, choices[0])
