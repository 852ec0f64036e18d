"""Pictures changed a little so that a model does worse on them: the momentum iterative attack (Dong et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

SCALE = 2.0**10
"""Of the loss, so that small gradients are no zeros in fp16; a power of two leaves every bit of the others as it is."""


def adversarial(
    images: Sequence[Tensor],
    loss: Callable[[tuple[Tensor, ...]], Tensor],
    *,
    steps: int,
    decay: float,
    step: float,
    bound: float,
) -> tuple[Tensor, ...]:
    """``images`` (uint8 ``[n, 3, S, S]`` each) as float32 in [0, 255], moved up the gradient of ``loss``.

    Section 3.1 there, on several views at a time: the gradient of each picture, divided by the mean of its absolute
    values, is added to ``decay`` · what was before, and its sign is followed. ``step`` and ``bound`` are shares of the
    span of values of each channel of each picture, as in the code of the backdoor attack on DeCLIP: no value moves by
    more than ``bound``. A gradient that is not finite counts as none.
    """
    spans = [(view.amax((2, 3), keepdim=True) - view.amin((2, 3), keepdim=True)).float() for view in images]
    first = [view.float() for view in images]
    found, moments = [view.clone() for view in first], [torch.zeros_like(view) for view in first]
    for _ in range(steps):
        with torch.enable_grad():
            asked = tuple(view.detach().requires_grad_() for view in found)
            slopes = [slope.nan_to_num(0.0, 0.0, 0.0) for slope in torch.autograd.grad(SCALE * loss(asked), asked)]
        for number, slope in enumerate(slopes):
            mean = slope.abs().mean((1, 2, 3), keepdim=True).clamp(min=torch.finfo(slope.dtype).tiny)
            moments[number] = decay * moments[number] + slope / mean
            room = bound * spans[number]
            moved = found[number] + step * spans[number] * moments[number].sign()
            found[number] = torch.clamp(moved, first[number] - room, first[number] + room).clamp_(0, 255)
    return tuple(view.detach() for view in found)
