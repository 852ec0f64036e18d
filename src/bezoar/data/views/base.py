"""What an image view is: a picture looked at another way, the same way for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bezoar.core.settings import Settings, settings

if TYPE_CHECKING:
    from torch import Tensor

Share = Annotated[float, Field(ge=0, le=1)]


@settings
class ImageView(Settings):
    """A random change of a picture; its verb is ``apply``."""

    def apply(self, image: Tensor, seed: int, mark: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """uint8 ``[3, H, W]`` to uint8 ``[3, H, W]``: a pure function of ``image``, ``seed`` and ``mark``.

        ``image`` is left as it is; the result may be ``image`` itself. ``mark`` is what an attacker with a hand in the
        training code does to the picture right after the random crop, or first of all where there is none: a pure
        function that draws nothing from torch's global generator. The view's own draws are the same with it.
        """
        raise NotImplementedError


def under_seed(transform: Callable[[Tensor], Tensor], image: Tensor, seed: int) -> Tensor:
    """``transform(image)`` with all its draws made from ``seed``: what makes a torchvision transform a view.

    Such transforms draw from torch's global generator and nothing else. It is seeded for the call and put back as it
    was, which is safe across processes; within one process no other thread may draw from it meanwhile.
    """
    import torch

    # Not torch.manual_seed: it seeds every device too and takes fifty times as long.
    generator = torch.default_generator
    state = generator.get_state()
    generator.manual_seed(seed)
    try:
        return transform(image)
    finally:
        generator.set_state(state)
