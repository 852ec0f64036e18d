"""Pairs written down in a test: the captions as given, the pictures of any size, gray or of seeded noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bezoar.core.seeds import numpy_generator
from bezoar.core.settings import digest

Pixels = NDArray[np.uint8]


class Album:
    """One pair a caption; picture ``i`` has the ``i``-th of ``sizes``, as (width, height), which go round."""

    def __init__(
        self, captions: Sequence[str], sizes: Sequence[tuple[int, int]] = ((20, 14),), gray: int | None = None
    ) -> None:
        self.captions, self.sizes, self.gray = list(captions), list(sizes), gray

    @property
    def fingerprint(self) -> str:
        return digest("album", self.captions, self.sizes, self.gray)

    def __len__(self) -> int:
        return len(self.captions)

    def id(self, index: int) -> str:
        return f"{index}.png"

    def caption(self, index: int) -> str:
        return self.captions[index]

    def image(self, index: int) -> Pixels:
        width, height = self.sizes[index % len(self.sizes)]
        if self.gray is not None:
            return np.full((height, width, 3), self.gray, np.uint8)
        return numpy_generator(0, "album", index).integers(0, 256, (height, width, 3), np.uint8)
