"""Two names for one weight: how tensors of Hugging Face's CLIP and SigLIP become open_clip's, and back. Lossless."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

Names = tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """Weights under their names here and there; several names are parts, one below the other."""

    ours: Names
    theirs: Names
    how: Literal["same", "turned", "scalar", "row"] = "same"
    """``turned``: rows there are columns here. ``scalar``: one number, in whatever shape there. ``row``: our first axis
    has length one, and they have it not."""
    shares: tuple[int, ...] = (1,)
    """How much of the whole each of ``ours`` holds."""

    def read(self, tree: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Their tensors under our names."""
        whole = self._turned(_joined(self.theirs, tree))
        return _parted(whole[None] if self.how == "row" else whole, self.ours, self.shares)

    def write(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Our tensors under their names."""
        whole = self._turned(_joined(self.ours, weights))
        return _parted(whole[0] if self.how == "row" else whole, self.theirs, (1,) * len(self.theirs))

    def _turned(self, whole: Tensor) -> Tensor:
        if self.how == "turned":
            if whole.ndim != 2:
                raise ValueError(f"{self.theirs[0]} is {tuple(whole.shape)}: 2 dimensions were expected")
            return whole.mT.contiguous()
        return whole.reshape(()) if self.how == "scalar" and whole.numel() == 1 else whole


def read(rows: Sequence[Row], tree: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tower under our names. Raises ``ValueError`` for what ``tree`` has not, or what does not fit together."""
    return {name: tensor for row in rows for name, tensor in row.read(tree).items()}


def put(rows: Sequence[Row], weights: Mapping[str, Tensor], tree: Mapping[str, Any]) -> dict[str, Any]:
    """``tree`` with ``weights`` in their places, in the dtypes that are there.

    Raises ``ValueError`` where a tensor has no place in it, or one of another shape.
    """
    changed, placed = dict(tree), set[str]()
    for row in rows:
        for name, tensor in row.write(weights).items():
            place = tree.get(name)
            if not isinstance(place, Tensor):
                raise ValueError(f"it has no {name} to put the tower into")
            if row.how == "scalar":
                tensor = tensor.reshape(place.shape) if place.numel() == 1 else tensor
            if tensor.shape != place.shape:
                raise ValueError(f"{name} is {tuple(place.shape)}, and the tower's is {tuple(tensor.shape)}")
            placed.update(row.ours)
            changed[name] = tensor.detach().to("cpu", place.dtype).contiguous()
    odd = next((name for name in weights if name not in placed), None)
    if odd is not None:
        raise ValueError(f"it has no place for {odd} of the tower")
    return changed


def named(tree: Mapping[Any, Any]) -> dict[str, Any]:
    """What in ``tree`` has a name: a pickle may hold anything under a number."""
    return {name: value for name, value in tree.items() if isinstance(name, str)}


def same(ours: str, theirs: str, *parts: str) -> list[Row]:
    """A row for each of ``parts`` of two modules: ``weight``, ``bias``."""
    return [Row((f"{ours}{part}",), (f"{theirs}{part}",)) for part in parts]


def blocks(ours: str, theirs: str, layers: int) -> Iterator[Row]:
    """The rows of a transformer: ``ours`` is open_clip's, ``theirs`` the encoder of CLIP and SigLIP alike."""
    for layer in range(layers):
        here, there = f"{ours}transformer.resblocks.{layer}.", f"{theirs}encoder.layers.{layer}."
        for part in ("weight", "bias"):
            joined = tuple(f"{there}self_attn.{each}_proj.{part}" for each in "qkv")
            yield Row((f"{here}attn.in_proj_{part}",), joined)
        for mine, other in (
            ("ln_1", "layer_norm1"), ("attn.out_proj", "self_attn.out_proj"), ("ln_2", "layer_norm2"),
            ("mlp.c_fc", "mlp.fc1"), ("mlp.c_proj", "mlp.fc2"),
        ):  # fmt: skip
            yield from same(here + mine, there + other, ".weight", ".bias")


def layers(names: Sequence[str], prefix: str) -> int:
    """How many numbered parts stand under ``prefix``. Not the largest number: a file may name any."""
    numbers = {name.removeprefix(prefix).partition(".")[0] for name in names if name.startswith(prefix)}
    return sum(number.isdecimal() for number in numbers)


def _joined(names: Names, tensors: Mapping[str, Tensor]) -> Tensor:
    missing = [name for name in names if not isinstance(tensors.get(name), Tensor)]
    if missing:
        raise ValueError(f"it has no {missing[0]}")
    parts = [tensors[name] for name in names]
    if len(parts) == 1:
        return parts[0]
    shapes = {tuple(part.shape[1:]) for part in parts}
    if len(shapes) > 1 or len({part.dtype for part in parts}) > 1 or not parts[0].ndim:
        told = ", ".join(f"{name} is {tuple(part.shape)} {part.dtype}" for name, part in zip(names, parts, strict=True))
        raise ValueError(f"parts of one weight do not fit together: {told}")
    return torch.cat(parts)


def _parted(whole: Tensor, names: Names, shares: tuple[int, ...]) -> dict[str, Tensor]:
    if len(names) == 1:
        return {names[0]: whole}
    unit, rest = divmod(len(whole) if whole.ndim else 1, sum(shares))
    if rest:
        raise ValueError(f"{names[0]} and what is joined to it are {tuple(whole.shape)}: that does not part")
    ends = list(itertools.accumulate(unit * share for share in shares))
    return {name: whole[i:j].contiguous() for name, i, j in zip(names, [0, *ends], ends, strict=False)}
