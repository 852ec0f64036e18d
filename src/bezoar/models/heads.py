"""What trainings leave beside the towers of a model: heads of their losses, which go along with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

_DEEP = 16
"""Modules within each other at most."""


class Heads(nn.Module):
    """Heads that no training has taken up: their tensors by name, which no optimizer changes.

    Raises ``ValueError`` for names that could not be of a module's.
    """

    def __init__(self, tensors: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        for name, tensor in (tensors or {}).items():
            owner: nn.Module = self
            *path, last = name.split(".")
            if len(path) > _DEEP or not all(part.isidentifier() or part.isdecimal() for part in (*path, last)):
                raise ValueError(f"model: heads cannot have the name {name[:80]!r}")
            try:
                for step in path:
                    if step not in owner._modules:
                        owner.add_module(step, nn.Module())
                    owner = owner.get_submodule(step)
                owner.register_buffer(last, tensor)
            except (KeyError, AttributeError):  # a name that modules have for something else, or one within another
                raise ValueError(f"model: heads cannot have the name {name[:80]!r}") from None


def parts(names: Iterable[str]) -> tuple[str, ...]:
    """What tensors of these ``names`` are of, each once: what the first word of a name stands for, as ``projector``."""
    return tuple(dict.fromkeys(name.partition(".")[0] for name in names))


def lacking(heads: nn.Module, found: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The parts of ``heads`` for which ``found`` does not have every tensor in its shape; only shapes are looked at."""
    own = heads.state_dict()
    return parts(name for name in own if name not in found or found[name].shape != own[name].shape)


def take_up(heads: nn.Module, found: Mapping[str, Tensor]) -> None:
    """Load into ``heads`` what ``found`` has of them; a part that is half there stays as it is whole."""
    anew = lacking(heads, found)
    own = heads.state_dict()
    heads.load_state_dict({name: own[name] if name.partition(".")[0] in anew else found[name] for name in own})
