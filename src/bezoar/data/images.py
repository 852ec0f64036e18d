"""The deterministic part of preprocessing: any picture to uint8 ``[3, S, S]`` by resize and center crop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as V

from bezoar.data.pairs import SharesPictures, Shrinkable

if TYPE_CHECKING:
    from bezoar.data.pairs import Images, Pixels


def to_tensor(pixels: Pixels) -> Tensor:
    """uint8 ``(height, width, 3)`` to uint8 ``[3, height, width]``, over the same memory where that can be written."""
    # Channels stay last in memory: resizing then takes half the time.
    return torch.from_numpy(np.require(pixels, requirements=["C", "W"])).permute(2, 0, 1)


def resize(image: Tensor, size: int) -> Tensor:
    """Resize the shorter side to ``size``, bicubic and antialiased."""
    resized: Tensor = V.resize(image, [size], interpolation=InterpolationMode.BICUBIC, antialias=True)
    return resized


def fit(image: Tensor, size: int) -> Tensor:
    """Resize the shorter side to ``size`` and crop the center: uint8 ``[channels, size, size]``, contiguous."""
    if image.shape[-2:] != (size, size):
        image = V.center_crop(resize(image, size), [size, size])
    return image.contiguous()


def load(images: Images, index: int, size: int) -> Tensor:
    """Picture ``index`` as the model sees it before any view: uint8 ``[3, size, size]``."""
    pixels = images.shrunk(index, size) if isinstance(images, Shrinkable) else images.image(index)
    return fit(to_tensor(pixels), size)


class Exact:
    """Images that are never shrunk on the way: what evaluation reads of pairs."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._shared = images if isinstance(images, SharesPictures) else None

    @property
    def fingerprint(self) -> str:
        return self._images.fingerprint

    def __len__(self) -> int:
        return len(self._images)

    def id(self, index: int) -> str:
        return self._images.id(index)

    def image(self, index: int) -> Pixels:
        return self._images.image(index)

    @property
    def pictures(self) -> int:
        return self._shared.pictures if self._shared else len(self._images)

    def picture(self, index: int) -> int:
        return self._shared.picture(index) if self._shared else index

    def first(self, picture: int) -> int:
        return self._shared.first(picture) if self._shared else picture
