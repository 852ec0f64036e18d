"""Pictures resized and cropped once, kept in one memory-mapped file and shared by every stage that trains on them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from bezoar.core.files import unwritable, write_text
from bezoar.core.frame import Frame
from bezoar.data.images import load
from bezoar.data.pairs import Images, SharesPictures, Shrinkable

GEOMETRY = 2
"""Goes up with every change of decoding, resizing or cropping: pixels of another number are never taken up."""


class Pictures(Protocol):
    """Pictures at model resolution by index."""

    frame: Frame

    def __getitem__(self, index: int) -> Tensor:
        """uint8 ``[3, size, size]``."""
        ...


class Prepared:
    """Pictures at model resolution by index: from the file where it exists, else from the source each time."""

    def __init__(self, images: Images, frame: Frame, folder: Path | None = None) -> None:
        self.images = images
        self.frame = frame
        self._file = _pixels(folder, images, frame) if folder is not None and is_whole(folder, images, frame) else None
        self._shared = images if isinstance(images, SharesPictures) else None
        self._pixels = self._open()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        """uint8 ``[3, size, size]``."""
        if self._pixels is None:
            return load(self.images, index, self.frame)
        return torch.from_numpy(self._pixels[self._shared.picture(index) if self._shared else index].copy())

    @property
    def stored(self) -> bool:
        """Whether the pictures come from the file."""
        return self._pixels is not None

    def _open(self) -> np.ndarray | None:
        if self._file is None:
            return None
        try:
            # A plain array over the map: a memmap's own indexing takes longer than the copy of a small picture.
            pixels: np.ndarray = np.load(self._file, mmap_mode="r").view(np.ndarray)
        except (OSError, EOFError, ValueError) as error:
            raise ValueError(f"prepared: {self._file} cannot be read, delete it: {error}") from None
        return pixels

    def __getstate__(self) -> dict[str, object]:
        # Pickled, the map would carry every picture to each loader worker.
        return {**self.__dict__, "_pixels": None}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._pixels = self._open()


def count(images: Images) -> int:
    """How many different pictures there are: pairs may share one."""
    return images.pictures if isinstance(images, SharesPictures) else len(images)


def _pixels(folder: Path, images: Images, frame: Frame) -> Path:
    way = "s" if isinstance(images, Shrinkable) else ""
    return folder / f"{images.fingerprint}-{'-'.join(map(str, frame.plain.values()))}-{GEOMETRY}{way}.npy"


def _whole(folder: Path, images: Images, frame: Frame) -> Path:
    """A marker beside the pixels: it exists when every chunk has been written."""
    return _pixels(folder, images, frame).with_suffix(".whole")


def is_whole(folder: Path, images: Images, frame: Frame) -> bool:
    """Whether every chunk has been written."""
    return _whole(folder, images, frame).exists() and _pixels(folder, images, frame).exists()


def needed_bytes(images: Images, size: int) -> int:
    """Disk space of the prepared pictures."""
    return count(images) * 3 * size * size


def begin(folder: Path, images: Images, frame: Frame) -> bool:
    """Make room for the prepared pictures; false where they are there already.

    What a killed process left half made is removed: no other may be at work in ``folder``.
    """
    if is_whole(folder, images, frame):
        return False
    folder.mkdir(parents=True, exist_ok=True)
    _whole(folder, images, frame).unlink(missing_ok=True)
    path = _pixels(folder, images, frame)
    for torn in folder.glob(f"{path.stem}.*.npy"):
        torn.unlink()
    temporary = path.with_suffix(f".{os.getpid()}.npy")
    shape = (count(images), 3, frame.size, frame.size)
    try:
        np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape).flush()
        if hasattr(os, "posix_fallocate"):  # else a full disk is a bus error, when the pixels are written
            with temporary.open("r+b") as stream:
                os.posix_fallocate(stream.fileno(), 0, temporary.stat().st_size)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise unwritable(path, error) from error
    os.replace(temporary, path)
    return True


def fill(folder: Path, images: Images, frame: Frame, start: int, stop: int) -> int:
    """Prepare pictures ``start`` to ``stop``; chunks may be filled by several processes at once. Returns the count."""
    pixels = np.load(_pixels(folder, images, frame), mmap_mode="r+")
    stop = min(stop, count(images))
    for picture in range(start, stop):
        index = images.first(picture) if isinstance(images, SharesPictures) else picture
        pixels[picture] = load(images, index, frame).numpy()
    pixels.flush()
    return stop - start


def finish(folder: Path, images: Images, frame: Frame) -> None:
    """Say that every chunk has been filled."""
    write_text(_whole(folder, images, frame), f"{count(images)} pictures of {frame.size} px\n")
