"""Files of weights, written whole or not at all, the same bytes for the same content."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save as serialize
from torch import Tensor

from bezoar.core.files import atomic
from bezoar.models.layouts.base import Tree


def save_torch(path: Path, tree: Tree) -> None:
    """Write ``tree`` as ``torch.save`` does; no tensor keeps more than it shows, and none its strides."""
    with atomic(path) as stream:
        torch.save(_compact(tree), stream)


def save_safetensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write ``tensors``, with ``metadata`` in the header."""
    content = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic(path) as stream:
        stream.write(serialize(content, metadata=dict(metadata)))


def _compact(tree: Tree) -> Tree:
    """``tree`` with tensors on the CPU that keep no memory beyond their own."""
    return {name: _compact(item) if type(item) is dict else _own(item) for name, item in tree.items()}


def _own(item: object) -> object:
    if not isinstance(item, Tensor):
        return item
    tensor = item.detach().cpu().contiguous()
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()
