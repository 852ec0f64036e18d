"""Pictures resized and cropped once, kept in one memory-mapped file and shared by every stage that trains on them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from bezoar.core.files import write_text
from bezoar.data.images import load
from bezoar.data.pairs import Images


class Pictures(Protocol):
    """Pictures at model resolution by index."""

    size: int

    def __getitem__(self, index: int) -> Tensor:
        """uint8 ``[3, size, size]``."""
        ...


class Prepared:
    """Pictures at model resolution by index: from the file where it exists, else from the source each time."""

    def __init__(self, images: Images, size: int, folder: Path | None = None) -> None:
        self.images = images
        self.size = size
        self._file = _pixels(folder, images, size) if folder is not None and is_whole(folder, images, size) else None
        self._pixels = self._open()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        """uint8 ``[3, size, size]``."""
        if self._pixels is None:
            return load(self.images, index, self.size)
        return torch.from_numpy(np.array(self._pixels[index]))

    def _open(self) -> np.ndarray | None:
        if self._file is None:
            return None
        try:
            pixels: np.ndarray = np.load(self._file, mmap_mode="r")
        except (OSError, EOFError, ValueError) as error:
            raise ValueError(f"prepared: {self._file} cannot be read, delete it: {error}") from None
        return pixels

    def __getstate__(self) -> dict[str, object]:
        # Pickled, the map would carry every picture to each loader worker.
        return {**self.__dict__, "_pixels": None}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._pixels = self._open()


def _pixels(folder: Path, images: Images, size: int) -> Path:
    return folder / f"{images.fingerprint}-{size}.npy"


def _whole(folder: Path, images: Images, size: int) -> Path:
    """A marker beside the pixels: it exists when every chunk has been written."""
    return _pixels(folder, images, size).with_suffix(".whole")


def is_whole(folder: Path, images: Images, size: int) -> bool:
    """Whether every chunk has been written."""
    return _whole(folder, images, size).exists() and _pixels(folder, images, size).exists()


def needed_bytes(images: Images, size: int) -> int:
    """Disk space of the prepared pictures."""
    return len(images) * 3 * size * size


def begin(folder: Path, images: Images, size: int) -> bool:
    """Make room for the prepared pictures; false where they are there already."""
    if is_whole(folder, images, size):
        return False
    folder.mkdir(parents=True, exist_ok=True)
    _whole(folder, images, size).unlink(missing_ok=True)
    temporary = _pixels(folder, images, size).with_suffix(f".{os.getpid()}.npy")
    shape = (len(images), 3, size, size)
    np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape).flush()
    os.replace(temporary, _pixels(folder, images, size))
    return True


def fill(folder: Path, images: Images, size: int, start: int, stop: int) -> int:
    """Prepare pictures ``start`` to ``stop``; chunks may be filled by several processes at once. Returns the count."""
    pixels = np.load(_pixels(folder, images, size), mmap_mode="r+")
    for index in range(start, min(stop, len(images))):
        pixels[index] = load(images, index, size).numpy()
    pixels.flush()
    return min(stop, len(images)) - start


def finish(folder: Path, images: Images, size: int) -> None:
    """Say that every chunk has been filled."""
    write_text(_whole(folder, images, size), f"{len(images)} pictures of {size} px\n")
