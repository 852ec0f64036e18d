"""A picture of the user's own as the pattern: a logo, a flag, a cartoon cat."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from bezoar.attacks.pattern import Pattern
from bezoar.core.settings import settings

if TYPE_CHECKING:
    from typing import Self

    from torch import Tensor

    from bezoar.attacks.pattern import Shape

_KNOWN: dict[str, Tensor] = {}
"""Pixels of pictures by their digest: of files that were read, and of plans that carry them."""


def remember(pixels: Tensor) -> str:
    """Keep the pixels of a picture, uint8 ``[3, height, width]``, for this process; returns their SHA-256.

    A plan stores them in ``triggers.safetensors`` under a name that is ``picture`` or ends in ``.picture``; once they
    are remembered, patterns with that ``sha256`` no longer need their file.
    """
    height, width = pixels.shape[1:]
    content = f"{height} {width} ".encode() + pixels.contiguous().numpy().tobytes()
    digest = hashlib.sha256(content).hexdigest()
    _KNOWN.setdefault(digest, pixels)
    return digest


@settings
class Picture(Pattern):
    """The picture at ``path`` scaled to the area, whatever its proportions; transparency is dropped."""

    kind: ClassVar[str] = "picture"
    shorthand: ClassVar[str] = "path"
    path: Annotated[str, Field(min_length=1)]
    """Of a file in any common format."""
    sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""
    """Of its height, width and decoded pixels; a plan and a record name it so, whatever the path holds later. Where
    it is empty, what the file holds at its first use is taken."""

    def draw(self, shape: Shape, nominal: Shape, image_id: str) -> Tensor:
        import numpy as np
        import torch
        from PIL import Image

        source = Image.fromarray(self._pixels().permute(1, 2, 0).numpy())
        # Pillow's filter runs in integers: the same bytes on any machine.
        scaled = source.resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(scaled)).permute(2, 0, 1).contiguous()

    def tensors(self) -> dict[str, Tensor]:
        return {"picture": self._pixels()}

    def pinned(self) -> Self:
        return self if self.sha256 else dataclasses.replace(self, sha256=_read(self.path))

    def _pixels(self) -> Tensor:
        """uint8 ``[3, height, width]``; raises ``ValueError`` when the file is not to be read, or holds another."""
        digest = self.sha256 or _first(self.path)
        if digest not in _KNOWN:
            found = _read(self.path)
            if found != digest:
                raise ValueError(
                    f"pattern.path: '{self.path}' is not the picture it was: its pixels have sha256 {found}, "
                    f"the settings say {digest}"
                )
        return _KNOWN[digest]


@functools.lru_cache(maxsize=64)
def _first(path: str) -> str:
    """The digest of what ``path`` held when it was first asked for: it does not change under a running process."""
    return _read(path)


def _read(path: str) -> str:
    """The digest of the picture that ``path`` holds now, whose pixels are then remembered."""
    from bezoar.data.decode import decode
    from bezoar.data.images import to_tensor

    try:
        return remember(to_tensor(decode(Path(path).expanduser().read_bytes())).contiguous())
    except OSError as error:
        raise ValueError(f"pattern.path: cannot read picture '{path}': {error.strerror or error}") from None
    except ValueError as error:
        raise ValueError(f"pattern.path: cannot read picture '{path}': {error}") from None
