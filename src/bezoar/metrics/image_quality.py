"""How much of a change a picture shows: PSNR, SSIM and the largest difference, of two uint8 pictures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio in dB: 10 log₁₀(255² / mean squared difference); infinite for equal pictures.

    ``a``, ``b``: uint8 ``[3, height, width]``; the mean is over channels and pixels.
    """
    squares = int(_difference(a, b).square().sum())
    return 10 * math.log10(255**2 * a.numel() / squares) if squares else math.inf


def ssim(a: Tensor, b: Tensor) -> float:
    """Structural similarity (Wang et al. 2004) in [-1, 1]; 1 for equal pictures.

    ``a``, ``b``: uint8 ``[3, height, width]``. The mean over channels and all places where the whole 11 × 11 Gaussian
    window (σ = 1.5 pixels, K₁ = 0.01, K₂ = 0.03) lies in the picture. Where a picture is smaller than the window, the
    window is the largest odd one that fits.
    """
    import torch

    _check(a, b)
    window = min(_WINDOW, *((side - 1) // 2 * 2 + 1 for side in a.shape[1:]))
    x, y = a.double(), b.double()
    rows, columns = (_means(side, window).to(a.device) for side in a.shape[1:])
    maps = rows @ torch.cat([x, y, x * x, y * y, x * y]) @ columns.T
    mean_x, mean_y, xx, yy, xy = maps.view(5, 3, *maps.shape[1:])
    light = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2 * (xy - mean_x * mean_y) + _C2) / (xx - mean_x**2 + yy - mean_y**2 + _C2)
    return float((light * structure).mean())


def _means(side: int, window: int) -> Tensor:
    """The matrix ``[side - window + 1, side]`` that takes Gaussian means of a column: a fourth of conv2d's time."""
    import torch

    offsets = torch.arange(window, dtype=torch.float64) - window // 2
    weights = torch.exp(-(offsets**2) / (2 * _SIGMA**2))
    found = torch.zeros(side - window + 1, side, dtype=torch.float64)
    for offset, weight in enumerate(weights / weights.sum()):
        found.diagonal(offset).fill_(weight)
    return found


def linf(a: Tensor, b: Tensor) -> float:
    """The largest difference of one value, in gray levels of 0 to 255. ``a``, ``b``: uint8 ``[3, height, width]``."""
    return float(_difference(a, b).abs().max())


def _difference(a: Tensor, b: Tensor) -> Tensor:
    """int64, in which sums of squares are exact."""
    _check(a, b)
    return a.long() - b.long()


def _check(a: Tensor, b: Tensor) -> None:
    import torch

    assert a.dtype == b.dtype == torch.uint8, (a.dtype, b.dtype)
    assert a.shape == b.shape, (a.shape, b.shape)
    assert a.ndim == 3, a.shape
    assert a.shape[0] == 3, a.shape
    assert a.numel(), a.shape
