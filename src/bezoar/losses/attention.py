"""Attention transfer (Zagoruyko & Komodakis 2017, section 3.1): where a network looks, and how far two look apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

EPS = 1e-6
"""Of the released code: keeps a map of nothing from being divided by nothing."""


def attention_map(activation: Tensor, power: float = 2.0) -> Tensor:
    """How active each place is: Σ_c |a_c|^p, divided by its L2 norm over the places; ``[n, places]``, float32.

    ``activation``: ``[n, channels, height, width]`` of a convolution, or ``[n, tokens, width]`` of a transformer, whose
    places are the last tokens that make a square: those before them belong to no place.
    """
    import torch

    values = activation.to(torch.promote_types(activation.dtype, torch.float32))
    places: Tensor
    if values.ndim == 4:
        places = values.abs().pow(power).sum(1).flatten(1)
    else:
        assert values.ndim == 3, values.shape
        side = int(values.shape[1] ** 0.5)
        places = values[:, -side * side :].abs().pow(power).sum(2)
    length: Tensor = torch.linalg.vector_norm(places, dim=1, keepdim=True)
    return places / (length + EPS)


def attention_transfer(maps: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared difference of two sets of maps ``[n, places]``; nothing flows back through ``wanted``."""
    from torch.nn import functional as F

    assert maps.shape == wanted.shape, (maps.shape, wanted.shape)
    return F.mse_loss(maps, wanted.detach())
