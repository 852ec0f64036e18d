"""Scores of pairs by the model in training, for methods that split or re-cluster by them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from bezoar.training.peers import ALONE, Peers

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.models.clip import Clip
    from bezoar.training.loader import TrainingPairs

_BATCH = 256


class Scorer:
    """Looks at every training pair once, without augmentation, in evaluation mode."""

    def __init__(
        self, model: Clip, data: TrainingPairs, autocast: Callable[[], torch.autocast], peers: Peers = ALONE
    ) -> None:
        self.model, self._data, self.autocast, self.peers = model, data, autocast, peers

    @torch.no_grad()
    def features(self) -> tuple[Tensor, Tensor]:
        """L2-normalized image and text features of all pairs in order, ``[n, d]`` each, on the CPU.

        Each process looks at its share of the pairs, and all get all.
        """
        modes = [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        images, texts = [], []
        share = self.peers.share(len(self._data))
        for start in range(share.start, share.stop, _BATCH):
            span = range(start, min(start + _BATCH, share.stop))
            with self.autocast():
                images.append(self.model.encode_image(torch.stack([self._data.image(i) for i in span])))
                texts.append(self.model.encode_captions([self._data.caption(i) for i in span]))
        for module, was_training in modes:  # one by one: locked layers stay at rest
            module.training = was_training
        count = len(self._data)
        return self.peers.collect(torch.cat(images), count).cpu(), self.peers.collect(torch.cat(texts), count).cpu()

    def cosines(self) -> Tensor:
        """Cosine of image and caption of every pair, ``[n]``."""
        images, texts = self.features()
        return (images * texts).sum(1)
