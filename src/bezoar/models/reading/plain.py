"""Trees of plain values: copied out of what a pickle gave, bounded, so that every later walk over them ends soon."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from bezoar.models.reading.inert import Global, Thing
from bezoar.models.reading.refusal import RefusedError

MOST_VALUES, MOST_DEPTH = 1_000_000, 64
_SCALARS = (bool, int, float, complex, str, bytes, bytearray, torch.dtype)


def plain(value: Any, odd: list[str]) -> Any:
    """``value`` with dicts and lists of no special class, tensors without gradients, and devices as text.

    What is no plain value becomes ``None`` and its class is added to ``odd``. What is shared stays shared. Raises
    ``RefusedError`` where something holds itself, is nested deeper than 64, or would be more than a million values if
    all that is shared stood alone.
    """
    copy, size, _ = _copy(value, odd, {}, 0)
    if size > MOST_VALUES:
        raise RefusedError(f"{size:,} values when what is shared is counted each time")
    return copy


def _copy(
    value: Any, odd: list[str], known: dict[int, tuple[Any, int, int] | None], depth: int
) -> tuple[Any, int, int]:
    """The copy, how many values it is, and how deep."""
    if value is None or isinstance(value, _SCALARS):
        return value, 1, 0
    if isinstance(value, Tensor):
        return (value.detach() if type(value) is not Tensor or value.requires_grad else value), 1, 0
    if isinstance(value, torch.device):
        return str(value), 1, 0
    if not isinstance(value, dict | list | tuple | set):
        odd.append(value.name if isinstance(value, Global | Thing) else type(value).__name__)
        return None, 1, 0
    found = known.get(id(value), ())
    if found is None:
        raise RefusedError("a value that holds itself")
    if not found:
        if depth >= MOST_DEPTH:
            raise RefusedError(f"values nested deeper than {MOST_DEPTH}")
        known[id(value)] = None
        items = list(dict.values(value)) if isinstance(value, dict) else list(value)
        copies = [_copy(item, odd, known, depth + 1) for item in items]
        size = 1 + sum(copy[1] for copy in copies)
        height = 1 + max((copy[2] for copy in copies), default=0)
        parts = [copy[0] for copy in copies]
        known[id(value)] = found = (_again(value, parts), size, height)
    if depth + found[2] > MOST_DEPTH:
        raise RefusedError(f"values nested deeper than {MOST_DEPTH}")
    return found


def _again(value: Any, parts: list[Any]) -> Any:
    """``parts`` in a container like ``value``."""
    if isinstance(value, dict):
        return dict(zip(dict.keys(value), parts, strict=True))
    if isinstance(value, list):
        return parts
    return tuple(parts) if isinstance(value, tuple) else set(parts)


def difference(left: Any, right: Any, name: str = "") -> str | None:
    """Where two plain trees differ in names, plain values, or the types and shapes of tensors; ``None`` if nowhere."""
    if type(left) is not type(right):
        return name
    if isinstance(left, dict):
        if list(left) != list(right):
            return name
        pairs: Any = [(str(key), left[key], right[key]) for key in left]
    elif isinstance(left, list | tuple):
        if len(left) != len(right):
            return name
        pairs = [(str(at), *both) for at, both in enumerate(zip(left, right, strict=True))]
    elif isinstance(left, Tensor):
        return None if left.dtype == right.dtype and left.shape == right.shape else name
    else:
        return None if left == right or (left != left and right != right) else name
    return next(filter(None, (difference(a, b, f"{name}.{key}".lstrip(".")) for key, a, b in pairs)), None)


def tensors(value: Any) -> Iterator[Tensor]:
    """Every tensor of a plain tree, each once."""
    seen: set[int] = set()
    pending = [value]
    while pending:
        item = pending.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, Tensor):
            yield item
        elif isinstance(item, dict):
            pending.extend(reversed(item.values()))
        elif isinstance(item, list | tuple):
            pending.extend(reversed(item))
