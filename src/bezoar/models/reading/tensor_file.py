"""Safetensors: a JSON header of names, types, shapes and offsets, then the numbers. Checked before the library sees it.

Its layout is that of the safetensors README.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from typing import Any, BinaryIO

import torch
from torch import Tensor

from bezoar.models.reading.refusal import RefusedError, shown

HEADER_LIMIT = 8 << 20
"""Bytes; the headers of the largest towers have a tenth of one MB."""
_MOST_ELEMENTS = 1 << 48
_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@dataclass(frozen=True)
class Header:
    """What the header of a safetensors file says."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def header(stream: BinaryIO, length: int) -> Header:
    """The tensors of a safetensors file of ``length`` bytes, on the meta device. Raises ``RefusedError``."""
    stream.seek(0)
    size = int.from_bytes(stream.read(8), "little")
    if size > min(length - 8, HEADER_LIMIT):
        raise RefusedError(
            f"a header of {size:,} bytes in a safetensors file of {length:,}: it is cut off or not genuine"
        )
    try:
        told = json.loads(stream.read(size).decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError, ValueError) as error:
        if isinstance(error, RefusedError):
            raise
        raise RefusedError("the header of a safetensors file is no JSON") from None
    metadata = told.pop("__metadata__", {}) if isinstance(told, dict) else None
    if not isinstance(metadata, dict) or any(not isinstance(text, str) for text in metadata.values()):
        raise RefusedError("the header of a safetensors file is no table of tensors")
    tensors: dict[str, Tensor] = {}
    spans = []
    for name, entry in told.items():
        tensors[name], span = _tensor(name, entry)
        spans.append((*span, name))
    border = 0
    for begin, end, name in sorted(spans):
        if begin != border:
            raise RefusedError(f"tensor {shown(name)} of a safetensors file begins at {begin:,}, not at {border:,}")
        border = end
    if border != length - 8 - size:
        raise RefusedError(
            f"{length - 8 - size:,} bytes of numbers in a safetensors file, and its header tells of {border:,}"
        )
    return Header(tensors, metadata)


def _tensor(name: str, entry: Any) -> tuple[Tensor, tuple[int, int]]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise RefusedError(f"tensor {shown(name)} of a safetensors file is described wrongly")
    kind, shape, span = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in _TYPES:
        raise RefusedError(f"tensor {shown(name)} has numbers of type {shown(kind)}, which towers do not have")
    if not _whole(shape) or len(shape) > 16 or not _whole(span) or len(span) != 2 or span[0] > span[1]:
        raise RefusedError(f"tensor {shown(name)} of a safetensors file has no proper shape or offsets")
    strides = math.prod(side or 1 for side in shape)  # which torch makes of the shape of an empty tensor, too
    if math.prod(shape) * _TYPES[kind].itemsize != span[1] - span[0] or strides > _MOST_ELEMENTS:
        raise RefusedError(f"tensor {shown(name)} of shape {tuple(shape)} does not fit its {span[1] - span[0]:,} bytes")
    return torch.empty(shape, dtype=_TYPES[kind], device="meta"), (span[0], span[1])


def _whole(numbers: Any) -> bool:
    return isinstance(numbers, list) and all(type(n) is int and 0 <= n < _MOST_ELEMENTS for n in numbers)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise RefusedError(f"{shown(twice)} stands twice in the header of a safetensors file")
    return found


def _no_constant(name: str) -> Any:
    raise RefusedError(f"{name} in the header of a safetensors file")
