"""What a file of weights holds, told without loading it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Skim:
    """What a file holds. Nothing in it was executed, and no weights were read."""

    path: Path
    form: str
    """``safetensors``, ``torch`` (zip), ``torch legacy``, ``TorchScript``, ``torch tar``, ``pickle``, or what else it looks like."""
    bytes: int
    tree: dict[str, Any]
    """Plain values by name, nested; tensors on the meta device. Empty where it could not be made out."""
    globals: tuple[str, ...] = ()
    """Every global that its pickles name (``torch._utils._rebuild_tensor_v2``), each once, in order."""
    metadata: dict[str, str] = field(default_factory=dict)
    """Of a safetensors header."""
    faults: tuple[str, ...] = ()
    """Why it is not read: what was found, and where in the file. Empty for a file that is read."""


def skim(path: Path) -> Skim:
    raise NotImplementedError
