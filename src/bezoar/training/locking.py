"""Locked towers and layers: parameters that training leaves as they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from torch import nn

from bezoar.core.settings import nearest

if TYPE_CHECKING:
    from bezoar.models.clip import Clip

TOWERS = ("image", "text")
_OF_NO_TOWER = ("logit_scale", "logit_bias")


@dataclass(frozen=True, kw_only=True)
class Locks:
    """What is locked."""

    names: tuple[str, ...]
    """Names of the locked parameters, as ``model.tower`` has them."""
    norms: tuple[nn.Module, ...]
    """The normalizations with running statistics among them."""

    def hold(self) -> None:
        """Keep the running statistics of locked normalizations: to be called after each ``train()`` of the model."""
        for norm in self.norms:
            norm.eval()


def lock(model: Clip, what: Sequence[str]) -> Locks:
    """Take what ``what`` names out of training: before the optimizer is made, and after normalizations are replaced.

    ``image`` and ``text`` are whole towers, which the logit scale is no part of; anything else is a name of parameters
    in ``model.tower`` with the wildcards of a shell, where ``*`` also stands for dots: ``visual.layer1.*``. A
    normalization whose own parameters are all locked also keeps its running statistics, once ``hold`` is called.

    Raises ``ValueError`` for a name that no parameter has, and when nothing would be left to train; nothing is locked
    then.
    """
    tower = model.tower
    parameters = dict(tower.named_parameters())
    locked = {name for pattern in what for name in _matches(pattern, list(parameters))}
    if locked and not any(one.requires_grad for name, one in parameters.items() if name not in locked):
        raise ValueError(f"method.lock: {', '.join(what)}: everything is locked, so there is nothing to train")
    for name in locked:
        parameters[name].requires_grad_(False)
    norms = [
        module
        for path, module in tower.named_modules()
        if isinstance(module, nn.modules.batchnorm._NormBase)
        and {f"{path}.{name}" for name, _ in module.named_parameters()} & locked
        and not any(one.requires_grad for one in module.parameters())
    ]
    return Locks(names=tuple(name for name in parameters if name in locked), norms=tuple(norms))


def _matches(pattern: str, names: Sequence[str]) -> Iterable[str]:
    """The names of parameters that ``pattern`` stands for."""
    if pattern in TOWERS:
        return [name for name in names if _tower(name) == pattern]
    found = [name for name in names if fnmatchcase(name, pattern)]
    if not found:
        raise ValueError(f"method.lock: no parameter is named '{pattern}'{nearest(pattern, _choices(pattern, names))}")
    return found


def _tower(name: str) -> str | None:
    if name in _OF_NO_TOWER:
        return None
    return "image" if name.startswith("visual.") else "text"


def _choices(pattern: str, names: Sequence[str]) -> set[str]:
    """What could have been meant: patterns one level below the longest part of ``pattern`` that does exist."""
    parts = pattern.split(".")
    depth = max(k for k in range(len(parts)) if any(name.split(".")[:k] == parts[:k] for name in names))
    level = [name.split(".") for name in names if name.split(".")[:depth] == parts[:depth]]
    below = {".".join([*name[: depth + 1], "*"]) if len(name) > depth + 1 else ".".join(name) for name in level}
    return below if depth else {*TOWERS, *below}
