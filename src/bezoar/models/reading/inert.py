"""What a pickle is taken apart into: plain values, and stand-ins that do nothing for all that is not plain."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch


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
