"""The small files of a model folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Beside:
    """The small files of a model folder, by name; of a file that came alone there are none."""

    folder: Path | None = None

    def json(self, name: str) -> dict[str, Any] | None:
        raise NotImplementedError

    def bytes(self, name: str) -> bytes | None:
        raise NotImplementedError
