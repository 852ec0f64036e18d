"""What a loss sees of the data. No answer key: who is poisoned never enters a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.models.clip import Clip


@dataclass(frozen=True, kw_only=True)
class Batch:
    """``n`` pairs under their views."""

    ids: tuple[str, ...]
    indices: Tensor
    """Positions in the pairs, ``int64 [n]``."""
    images: tuple[Tensor, ...]
    """One uint8 ``[n, 3, S, S]`` per image view."""
    texts: tuple[Tensor, ...]
    """One int64 ``[n, length]`` per caption view, all of one length."""

    def to(self, device: torch.device) -> Batch:
        """The same batch on ``device``."""
        if device.type == "cpu":
            return self
        return Batch(
            ids=self.ids,
            indices=self.indices.to(device, non_blocking=True),
            images=tuple(view.to(device, non_blocking=True) for view in self.images),
            texts=tuple(view.to(device, non_blocking=True) for view in self.texts),
        )


@dataclass(frozen=True, kw_only=True)
class Features:
    """L2-normalized features of a batch, ``[n, d]`` per view."""

    images: tuple[Tensor, ...]
    texts: tuple[Tensor, ...]


def encode(model: Clip, batch: Batch, joint: bool = True) -> Features:
    """Features of every view.

    ``joint`` puts all views of a modality through one forward: faster, and batch normalization then mixes the
    statistics of the views, as the released systems do. Otherwise each view has a forward of its own.
    """
    if joint and len(batch.images) > 1:
        images = torch.cat(batch.images)
        image_features = model.encode_image(images).chunk(len(batch.images))
    else:
        image_features = tuple(model.encode_image(view) for view in batch.images)
    text_features = model.encode_text(torch.cat(batch.texts)).chunk(len(batch.texts)) if batch.texts else ()
    return Features(images=tuple(image_features), texts=tuple(text_features))
