"""What trainings leave beside the towers of a model: heads of their losses, which go along with it."""

from __future__ import annotations

from collections.abc import Mapping

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


def taken_up(heads: nn.Module, found: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Load into ``heads`` those parts for which ``found`` has every tensor in its shape; the names of the others.

    A part is what the first word of a name stands for, as ``projector``: one that is half there begins anew whole.
    """
    own = heads.state_dict()
    parts: dict[str, list[str]] = {}
    for name in own:
        parts.setdefault(name.partition(".")[0], []).append(name)
    whole = {
        part: all(name in found and found[name].shape == own[name].shape for name in names)
        for part, names in parts.items()
    }
    heads.load_state_dict({name: found[name] if whole[name.partition(".")[0]] else own[name] for name in own})
    return tuple(part for part, there in whole.items() if not there)
