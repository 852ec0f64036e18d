"""The stages of an image tower, whatever its architecture, and what they make of a picture."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from bezoar.models.clip import Clip

STAGES = 4
"""How many are looked at: a ResNet has as many, of a transformer's blocks it is the last of each quarter."""


def stages(model: Clip) -> tuple[nn.Module, ...]:
    """The modules whose outputs are maps of the picture, ``[n, c, h, w]`` or ``[n, tokens, width]``, the first first.

    The four stages of a ResNet; of a tower that is a row of blocks the last of each quarter, or all if they are fewer.
    Raises ``ValueError`` for a tower that has neither.
    """
    visual = model.tower.visual
    for owner in (visual, getattr(visual, "trunk", None)):
        if all(isinstance(getattr(owner, f"layer{number}", None), nn.Module) for number in range(1, STAGES + 1)):
            return tuple(getattr(owner, f"layer{number}") for number in range(1, STAGES + 1))
        for path in ("stages", "blocks", "transformer.resblocks"):
            found: object = owner
            for name in path.split("."):
                found = getattr(found, name, None)
            if isinstance(found, (nn.Sequential, nn.ModuleList)) and len(found):
                count = min(STAGES, len(found))
                return tuple(found[len(found) * (number + 1) // count - 1] for number in range(count))
    raise ValueError(f"kind: looks at the stages of an image tower; {model.architecture} shows none")


@contextlib.contextmanager
def watched(model: Clip) -> Iterator[list[list[Tensor]]]:
    """Collects what the stages make of every picture that is encoded meanwhile: for each stage a list of batches."""
    modules = stages(model)
    kept: list[list[Tensor]] = [[] for _ in modules]
    hooks = [
        module.register_forward_hook(lambda _, __, found, into=into: into.append(found))
        for module, into in zip(modules, kept, strict=True)
    ]
    try:
        yield kept
    finally:
        for hook in hooks:
            hook.remove()
