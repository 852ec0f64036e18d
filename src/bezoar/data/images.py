"""The deterministic part of preprocessing: any picture to the uint8 ``[3, S, S]`` that a ``Frame`` asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as V

from bezoar.data.pairs import SharesPictures, Shrinkable

if TYPE_CHECKING:
    from bezoar.core.frame import Frame
    from bezoar.data.pairs import Images, Pixels


def to_tensor(pixels: Pixels) -> Tensor:
    """uint8 ``(height, width, 3)`` to uint8 ``[3, height, width]``, over the same memory where that can be written."""
    # Channels stay last in memory: resizing then takes half the time.
    return torch.from_numpy(np.require(pixels, requirements=["C", "W"])).permute(2, 0, 1)


def resize(image: Tensor, frame: Frame) -> Tensor:
    """The first half of ``fit``: uint8 ``[channels, height, width]``, nothing cut out or padded yet."""
    way = InterpolationMode(frame.interpolation)
    resized: Tensor = V.resize(image, _box(image, frame), interpolation=way, antialias=True)
    return resized


def _box(image: Tensor, frame: Frame) -> list[int]:
    """Height and width to resize to, or the shorter of them alone."""
    match frame.resize:
        case "shortest":
            return [frame.side]
        case "longest":
            longest = max(image.shape[-2:])
            return [max(1, round(length * frame.side / longest)) for length in image.shape[-2:]]
        case "squash":
            return [frame.side, frame.side]


def fit(image: Tensor, frame: Frame) -> Tensor:
    """Resize as ``frame`` says, and crop or pad around the center: uint8 ``[channels, size, size]``, contiguous."""
    square = [frame.size, frame.size]
    if frame.side != frame.size or list(image.shape[-2:]) != square:
        image = V.center_crop(resize(image, frame), square)
    return image.contiguous()


def load(images: Images, index: int, frame: Frame) -> Tensor:
    """Picture ``index`` as the model sees it before any view: uint8 ``[3, size, size]``."""
    return fit(_read(images, index, frame), frame)


def load_framed(images: Images, index: int, frame: Frame) -> Tensor:
    """The same, but that a picture of the model's size has been through ``frame`` and stays as it is."""
    image = _read(images, index, frame)
    return image.contiguous() if list(image.shape[-2:]) == [frame.size, frame.size] else fit(image, frame)


def _read(images: Images, index: int, frame: Frame) -> Tensor:
    # Enough for every frame: none takes the shorter side to more.
    return to_tensor(images.shrunk(index, frame.side) if isinstance(images, Shrinkable) else images.image(index))


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
