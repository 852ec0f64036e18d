"""Scores of pairs by the model in training, for methods that split or re-cluster by them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.models.clip import Clip
    from bezoar.training.loader import TrainingPairs

_BATCH = 256


class Scorer:
    """Looks at every training pair once, without augmentation, in evaluation mode."""

    def __init__(self, model: Clip, data: TrainingPairs, autocast: Callable[[], torch.autocast]) -> None:
        self.model, self._data, self.autocast = model, data, autocast

    @torch.no_grad()
    def features(self) -> tuple[Tensor, Tensor]:
        """L2-normalized image and text features of all pairs in order, ``[n, d]`` each, on the CPU."""
        was_training = self.model.training
        self.model.eval()
        images, texts = [], []
        for start in range(0, len(self._data), _BATCH):
            span = range(start, min(start + _BATCH, len(self._data)))
            with self.autocast():
                images.append(self.model.encode_image(torch.stack([self._data.image(i) for i in span])).cpu())
                texts.append(self.model.encode_captions([self._data.caption(i) for i in span]).cpu())
        self.model.train(was_training)
        return torch.cat(images), torch.cat(texts)

    def cosines(self) -> Tensor:
        """Cosine of image and caption of every pair, ``[n]``."""
        images, texts = self.features()
        return (images * texts).sum(1)
