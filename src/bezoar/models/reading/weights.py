"""The tensors of a file, once its skim found no fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def read(path: Path) -> dict[str, Any]:
    raise NotImplementedError
