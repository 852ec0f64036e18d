"""The families of sources; they stand before their members, some of which hold others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from bezoar.core.settings import Family
from bezoar.data.pairs import LabeledSource, PairsSource

_TABLES = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson")


def _pairs(text: str) -> dict[str, str] | None:
    """What a path on the command line means as pairs."""
    path = Path(os.path.expandvars(text)).expanduser()
    if path.suffix.lower() in _TABLES or path.is_file() or (path.is_dir() and any(path.glob("*.parquet"))):
        return {"kind": "table", "path": text}
    return {"kind": "folder", "path": text} if path.is_dir() or "/" in text else None


def _labeled(text: str) -> dict[str, str] | None:
    """What a path on the command line means as a labeled set; a folder with ``labels.csv`` is one of CleanCLIP's."""
    path = Path(os.path.expandvars(text)).expanduser()
    if (path / "labels.csv").is_file():
        return {"kind": "table", "path": str(Path(text) / "labels.csv")}
    return _pairs(text)


PAIRS_SOURCES = Family("source of pairs", PairsSource, (), _pairs)
LABELED_SOURCES = Family("labeled set", LabeledSource, (), _labeled)

AnyPairsSource = Annotated[PairsSource, PAIRS_SOURCES]
AnyLabeledSource = Annotated[LabeledSource, LABELED_SOURCES]
