"""What a pickle is taken apart into: plain values, and stand-ins that do nothing for all that is not plain."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from bezoar.models.reading.refusal import RefusedError, shown

_WIDEST = 1 << 60
"""Python hashes integers modulo 2**61 - 1: of wider ones a file could make all collide, and a dict take hours."""


@dataclass(frozen=True)
class Global:
    """A name in a pickle. Nothing was looked up under it."""

    name: str


@dataclass(eq=False)
class Thing:
    """What a pickle wanted to have made and was not."""

    name: str
    script: bool = False
    """Whether it is a module of TorchScript: attributes by name, and nothing that could run."""
    state: dict[str, Any] = field(default_factory=dict)


class Ordered(dict[Any, Any]):
    """An ``OrderedDict`` in the making."""


@dataclass(frozen=True)
class Storage:
    """A run of numbers that tensors are views of."""

    key: str
    dtype: torch.dtype
    count: int

    @property
    def bytes(self) -> int:
        return self.count * self.dtype.itemsize


def key(value: Any) -> Any:
    """``value`` as a key of a dict or a set; raises ``RefusedError`` for one that may take long to hash or to find."""
    if value is not None and type(value) not in (str, bytes, int, float, bool):
        kind = value.name if isinstance(value, Global | Thing) else type(value).__name__
        raise RefusedError(f"a {shown(kind)} where a name should be")
    if type(value) is int and abs(value) > _WIDEST:
        raise RefusedError(f"a number of {value.bit_length()} bits where a name should be")
    return value
