"""The deterministic part of preprocessing: any picture to uint8 ``[3, S, S]`` by resize and center crop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as V

if TYPE_CHECKING:
    from bezoar.data.pairs import Images, Pixels


def to_tensor(pixels: Pixels) -> Tensor:
    """uint8 ``(height, width, 3)`` to uint8 ``[3, height, width]``."""
    return torch.tensor(pixels).permute(2, 0, 1).contiguous()


def resize(image: Tensor, size: int) -> Tensor:
    """Resize the shorter side to ``size``, bicubic and antialiased."""
    resized: Tensor = V.resize(image, [size], interpolation=InterpolationMode.BICUBIC, antialias=True)
    return resized


def fit(image: Tensor, size: int) -> Tensor:
    """Resize the shorter side to ``size`` and crop the center: uint8 ``[channels, size, size]``."""
    if image.shape[-2:] == (size, size):
        return image
    cropped: Tensor = V.center_crop(resize(image, size), [size, size])
    return cropped


def load(images: Images, index: int, size: int) -> Tensor:
    """Picture ``index`` as the model sees it before any view: uint8 ``[3, size, size]``."""
    return fit(to_tensor(images.image(index)), size)
