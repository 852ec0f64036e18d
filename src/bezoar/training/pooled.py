"""A model with a pool of captions, and how a batch is encoded beside it: what RoCLIP trains."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from bezoar.core.rows import rows
from bezoar.training.batch import Batch, Features, together
from bezoar.training.state import State

if TYPE_CHECKING:
    from bezoar.core.rows import Rows
    from bezoar.models.clip import Clip
    from bezoar.training.pool import Pool


class Pooled(State):
    """The features of captions seen lately; their tokens too, where matched captions are read again."""

    tokens: Tensor | None
    """``int64 [size, context]``: of the caption that each entry of the pool was made from."""

    def __init__(self, model: Clip, pairs: int, pool: Pool, *, keeps_tokens: bool) -> None:
        super().__init__(model, pairs)
        self.pool = pool
        context = model.tokenize.engine.context_length
        self.register_buffer("tokens", torch.zeros(len(pool), context, dtype=torch.int64) if keeps_tokens else None)

    @torch.no_grad()
    def push(self, features: Features) -> None:
        """Put the captions of the whole batch into the pool: the first text features, with the last as their tokens."""
        texts = features.texts[0].all
        if self.tokens is not None:
            slots, taken = self.pool.slots(len(texts))
            self.tokens.index_copy_(0, slots, features.texts[-1].all[taken].to(self.tokens))
        self.pool.push(texts)

    def matched(self, images: Tensor, instead: Tensor) -> Tensor:
        """The tokens of the caption nearest to each picture, or its row of ``instead`` while there is none."""
        assert self.tokens is not None
        found = torch.where(self.pool.filled > 0, self.tokens[self.pool.find(images)], instead)
        if not self.model.tokenize.cut:
            return found
        # The one place where the device is waited for: a full context costs the text tower several times as much.
        return found[:, : int((found != 0).any(0).nonzero().max()) + 1]


def with_tokens(state: Pooled, batch: Batch) -> Features:
    """Every view; where the state keeps tokens, the last of the texts are those of the first caption view."""
    features = together(state, batch)
    if state.tokens is None:
        return features
    return replace(features, texts=(*features.texts, rows(_numbers(state, batch))))


def text_at_rest(state: Pooled, batch: Batch) -> Features:
    """Every view, captions without gradient: the text tower has none at all, so the optimizer leaves it alone."""
    with torch.no_grad():
        texts = with_tokens(state, replace(batch, images=())).texts
    return Features(images=_images(state, batch), texts=texts)


def matched_read(state: Pooled, batch: Batch) -> Features:
    """Every view, then the captions of the pool that are nearest to the pictures, then the tokens.

    Own captions have a gradient only where a second view of them is there to be compared with.
    """
    images, tokens = _images(state, batch), _numbers(state, batch)
    # Before the own captions: autocast keeps the weights it has cast, and those cast without gradient have none later.
    nearest = state.model.encode_text(state.matched(images[0].own, tokens.long()))
    with torch.set_grad_enabled(len(batch.texts) > 1):
        texts = together(state, replace(batch, images=())).texts
    return Features(images=images, texts=(*texts, rows(nearest), rows(tokens)))


def _images(state: Pooled, batch: Batch) -> tuple[Rows, ...]:
    return together(state, replace(batch, texts=())).images


def _numbers(state: Pooled, batch: Batch) -> Tensor:
    """The tokens of the first caption view in the full context, as numbers that travel between ranks with features.

    Float32 is exact to 2^24, and no vocabulary is nearly as large.
    """
    assert state.tokens is not None
    words = batch.texts[0]
    return F.pad(words, (0, state.tokens.shape[1] - words.shape[1])).to(torch.float32)
