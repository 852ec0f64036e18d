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

_TOWERS = ("image", "text")
_OF_NO_TOWER = ("logit_scale", "logit_bias")


@dataclass(frozen=True, kw_only=True)
class Locks:
    """What is locked in a model."""

    model: Clip
    names: tuple[str, ...]
    """The parameters that were trained before, as ``model.tower`` names them."""
    norms: tuple[str, ...]
    """The locked normalizations with running statistics. Their names: the modules themselves may be replaced."""

    def hold(self) -> None:
        """Lock again after ``release``, and keep the running statistics of locked normalizations.

        To be called after each ``train()`` of the model.
        """
        for name in self.names:
            self.model.tower.get_parameter(name).requires_grad_(False)
        for norm in self.norms:
            self.model.tower.get_submodule(norm).eval()

    def release(self) -> None:
        """Let what was trained before be trained again.

        To be called before the model is looked at, too: torch multiplies by weights that are out of training in another
        order, and a model must measure here as it does when it is loaded again.
        """
        for name in self.names:
            self.model.tower.get_parameter(name).requires_grad_(True)


def lock(model: Clip, what: Sequence[str]) -> Locks:
    """Take what ``what`` names out of training; to be called before the optimizer is made.

    ``image`` and ``text`` are whole towers, which the logit scale is no part of; anything else is a name of parameters
    in ``model.tower`` with the wildcards of a shell, where ``*`` also stands for dots: ``visual.layer1.*``. A
    normalization whose own parameters are all locked also keeps its running statistics, once ``hold`` is called.

    Raises ``ValueError`` for a name that no parameter has, and when nothing would be left to train; nothing is locked
    then.
    """
    parameters = dict(model.tower.named_parameters())
    found = {name for pattern in what for name in _matches(pattern, list(parameters))}
    trained = [name for name, one in parameters.items() if one.requires_grad]
    if found and found.issuperset(trained):
        raise ValueError(f"lock: {', '.join(what)}: everything is locked, so there is nothing to train")
    for name in found:
        parameters[name].requires_grad_(False)
    norms = [
        path
        for path, module in model.tower.named_modules()
        if isinstance(module, nn.modules.batchnorm._NormBase)
        and {f"{path}.{name}" for name, _ in module.named_parameters()} & found
        and not any(one.requires_grad for one in module.parameters())
    ]
    return Locks(model=model, names=tuple(name for name in trained if name in found), norms=tuple(norms))


def _matches(pattern: str, names: Sequence[str]) -> Iterable[str]:
    """The names of parameters that ``pattern`` stands for."""
    if pattern in _TOWERS:
        return [name for name in names if _tower(name) == pattern]
    found = [name for name in names if fnmatchcase(name, pattern)]
    if not found:
        raise ValueError(f"lock: no parameter is named '{pattern}'{nearest(pattern, _choices(pattern, names))}")
    return found


def _tower(name: str) -> str | None:
    if name in _OF_NO_TOWER:
        return None
    return "image" if name.startswith("visual.") else "text"


def _choices(pattern: str, names: Sequence[str]) -> set[str]:
    """What could have been meant: patterns one level below the longest part of ``pattern`` that does exist."""
    parts, paths = pattern.split("."), [name.split(".") for name in names]
    depth = max(k for k in range(len(parts)) if any(len(path) > k and path[:k] == parts[:k] for path in paths))
    below = [path for path in paths if len(path) > depth and path[:depth] == parts[:depth]]
    choices = {".".join(path if len(path) == depth + 1 else [*path[: depth + 1], "*"]) for path in below}
    return choices if depth else {*_TOWERS, *choices}
