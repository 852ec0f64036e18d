"""Scores of pairs by the model in training, for methods that split or re-cluster by them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch

from bezoar.core.seeds import stream_seed
from bezoar.training.loader import made
from bezoar.training.peers import ALONE, Peers

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.data.captions import CaptionView
    from bezoar.data.views import ImageView
    from bezoar.models.clip import Clip
    from bezoar.models.tokenizer import Tokenizer
    from bezoar.training.loader import TrainingPairs

T = TypeVar("T")

_BATCH = 256


class Scorer:
    """Looks at every training pair once, in evaluation mode, and without augmentation unless views are named.

    ``workers`` loader processes make pictures and captions ready; scores do not depend on them.
    """

    def __init__(
        self,
        model: Clip,
        data: TrainingPairs,
        autocast: Callable[[], torch.autocast],
        peers: Peers = ALONE,
        workers: int = 0,
    ) -> None:
        self.model, self._data, self.autocast, self.peers, self._workers = model, data, autocast, peers, workers

    def features(self) -> tuple[Tensor, Tensor]:
        """L2-normalized image and text features of all pairs in order, ``[n, d]`` each, on the CPU.

        Each process looks at its share of the pairs, and all get all.
        """
        return self.images(), self.texts()

    def images(self) -> Tensor:
        """The image features alone."""
        return self._of_all(_Look(self._data, self.model.tokenize).pictures, self.model.encode_image)

    def texts(self) -> Tensor:
        """The text features alone."""
        return self._of_all(_Look(self._data, self.model.tokenize).tokens, self.model.encode_text)

    def cosines(self) -> Tensor:
        """Cosine of image and caption of every pair, ``[n]``."""
        return self._cosines(_Look(self._data, self.model.tokenize))

    def cosines_under(self, image_view: ImageView, caption_view: CaptionView, seed: int, epoch: int) -> Tensor:
        """The cosines ``[n]`` under a view of each, drawn for ``epoch``: of pictures anew, of captions as in training.

        A caption view that is drawn once for a training of ``seed`` is the first that it trains with.
        """
        return self._cosines(_Viewed(self._data, self.model.tokenize, image_view, caption_view, seed, epoch))

    def _cosines(self, look: _Look) -> Tensor:
        def cosines(both: tuple[Tensor, Tensor]) -> Tensor:
            images, tokens = both
            return (self.model.encode_image(images) * self.model.encode_text(tokens)).sum(1)

        # A batch at a time: the features of a million pairs take gigabytes, their cosines do not.
        return self._of_all(look.both, cosines)

    @torch.no_grad()
    def _of_all(self, make: Callable[[Sequence[int]], T], encode: Callable[[T], Tensor]) -> Tensor:
        """What ``encode`` makes of what ``make`` has of all pairs, a batch of them at a time."""
        modes = [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        share = self.peers.share(len(self._data))
        spans = [range(start, min(start + _BATCH, share.stop)) for start in range(share.start, share.stop, _BATCH)]
        stream = made(
            make, spans, workers=min(self._workers, len(spans)), generator=torch.Generator(),
            pin=self.model.device.type == "cuda",
        )  # fmt: skip
        found = []
        for ready in stream:
            with self.autocast():
                found.append(encode(ready))
        for module, was_training in modes:  # one by one: locked layers stay at rest
            module.training = was_training
        return self.peers.collect(torch.cat(found), len(self._data)).cpu()


@dataclass(frozen=True)
class _Look:
    """Pictures and captions of some pairs as the towers take them."""

    data: TrainingPairs
    tokenize: Tokenizer

    def picture(self, index: int) -> Tensor:
        picture, mark = self.data.image(index), self.data.after_crop(index)
        return picture if mark is None else mark(picture)

    def caption(self, index: int) -> str:
        return self.data.caption(index)

    def pictures(self, span: Sequence[int]) -> Tensor:
        return torch.stack([self.picture(index) for index in span])

    def tokens(self, span: Sequence[int]) -> Tensor:
        return self.tokenize([self.caption(index) for index in span])

    def both(self, span: Sequence[int]) -> tuple[Tensor, Tensor]:
        return self.pictures(span), self.tokens(span)


@dataclass(frozen=True)
class _Viewed(_Look):
    """The same under a view of each."""

    image_view: ImageView
    caption_view: CaptionView
    seed: int
    epoch: int

    def picture(self, index: int) -> Tensor:
        at = stream_seed(self.seed, "scored view", self.epoch, self.data.id(index))
        picture, mark = self.data.image(index), self.data.after_crop(index)
        return self.image_view.apply(picture, at) if mark is None else self.image_view.apply(picture, at, mark)

    def caption(self, index: int) -> str:
        drawn = self.caption_view.drawn_in(self.epoch)
        at = stream_seed(self.seed, "caption view", drawn, self.data.id(index), 0)
        return self.caption_view.apply(self.data.caption(index), at)
