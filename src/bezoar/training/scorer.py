"""Scores of pairs by the model in training, for methods that split or re-cluster by them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from bezoar.core.seeds import stream_seed
from bezoar.training.peers import ALONE, Peers

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.data.captions import CaptionView
    from bezoar.data.views import ImageView
    from bezoar.models.clip import Clip
    from bezoar.training.loader import TrainingPairs

_BATCH = 256


class Scorer:
    """Looks at every training pair once, in evaluation mode, and without augmentation unless views are named."""

    def __init__(
        self, model: Clip, data: TrainingPairs, autocast: Callable[[], torch.autocast], peers: Peers = ALONE
    ) -> None:
        self.model, self._data, self.autocast, self.peers = model, data, autocast, peers

    def features(self) -> tuple[Tensor, Tensor]:
        """L2-normalized image and text features of all pairs in order, ``[n, d]`` each, on the CPU.

        Each process looks at its share of the pairs, and all get all.
        """
        return self.images(), self.texts()

    def images(self) -> Tensor:
        """The image features alone."""
        return self._of_all(lambda span: self._seen(span, self._data.image))

    def texts(self) -> Tensor:
        """The text features alone."""
        return self._of_all(lambda span: self._read(span, self._data.caption))

    def cosines(self) -> Tensor:
        """Cosine of image and caption of every pair, ``[n]``."""
        return self._cosines(self._data.image, self._data.caption)

    def cosines_under(self, image_view: ImageView, caption_view: CaptionView, seed: int, epoch: int) -> Tensor:
        """The cosines ``[n]`` under a view of each, drawn for ``epoch``: of pictures anew, of captions as in training.

        A caption view that is drawn once for a training of ``seed`` is the first that it trains with.
        """
        data, drawn = self._data, caption_view.drawn_in(epoch)

        def image(index: int) -> Tensor:
            at, mark = stream_seed(seed, "scored view", epoch, data.id(index)), data.after_crop(index)
            picture = data.image(index)
            return image_view.apply(picture, at) if mark is None else image_view.apply(picture, at, mark)

        def caption(index: int) -> str:
            return caption_view.apply(data.caption(index), stream_seed(seed, "caption view", drawn, data.id(index), 0))

        return self._cosines(image, caption)

    def _cosines(self, image: Callable[[int], Tensor], caption: Callable[[int], str]) -> Tensor:
        # A batch at a time: the features of a million pairs take gigabytes, their cosines do not.
        return self._of_all(lambda span: (self._seen(span, image) * self._read(span, caption)).sum(1))

    def _seen(self, span: range, image: Callable[[int], Tensor]) -> Tensor:
        return self.model.encode_image(torch.stack([image(index) for index in span]))

    def _read(self, span: range, caption: Callable[[int], str]) -> Tensor:
        return self.model.encode_captions([caption(index) for index in span])

    @torch.no_grad()
    def _of_all(self, encode: Callable[[range], Tensor]) -> Tensor:
        """What ``encode`` makes of all pairs, a batch of them at a time."""
        modes = [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        share = self.peers.share(len(self._data))
        found = []
        for start in range(share.start, share.stop, _BATCH):
            with self.autocast():
                found.append(encode(range(start, min(start + _BATCH, share.stop))))
        for module, was_training in modes:  # one by one: locked layers stay at rest
            module.training = was_training
        return self.peers.collect(torch.cat(found), len(self._data)).cpu()
