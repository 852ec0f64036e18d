"""DeCLIP's loss: what pre-training with it and everything that goes on from it have in common.

Li et al. 2022, "Supervision Exists Everywhere" (arXiv 2110.05208), section 3.
"""

from __future__ import annotations

import logging
import math
import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from bezoar.core.settings import settings
from bezoar.data.captions import AnyCaptionView, CaptionView, Eda
from bezoar.data.captions import Plain as PlainCaption
from bezoar.data.views import AnyImageView, ImageView, Moco
from bezoar.training.method import Count, Weight
from bezoar.training.objective import Objective

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.core.rows import Rows
    from bezoar.data.pairs import Pairs
    from bezoar.models.clip import Clip
    from bezoar.training.batch import Batch, Features
    from bezoar.training.declip_state import Declip
    from bezoar.training.method import Encode, Terms

_LETTER = re.compile("[a-z]")
"""Without one there is nothing to augment."""
_read: set[str] = set()
"""Fingerprints of pairs whose captions were looked at: there may be millions."""

Share = Annotated[float, Field(ge=0, le=1)]


@settings
class DeclipLoss(Objective):
    """``clip_weight`` · contrastive of two views of the picture with two of the caption + ``nearest_weight`` · the
    pictures with the captions seen lately that are nearest to their own + ``simsiam_weight`` · SimSiam of the pictures
    + ``masked_weight`` · masked language modelling.

    Weights, widths and sizes are those of the released R50 on YFCC15M.
    """

    kind: ClassVar[str] = "declip"
    clip_weight: Weight = 0.4
    """Of the mean over the four pairs of an image view with a caption, one masked and one augmented."""
    nearest_weight: Weight = 0.2
    simsiam_weight: Weight = 0.2
    masked_weight: Weight = 0.2
    """With 0 no word is masked."""
    in_modal_weight: Weight = 0.0
    """Of CleanCLIP's mean of an image and a text in-modal term, here between the two views."""
    image_view: AnyImageView = Moco()
    """What stands in each epoch in the place of a picture: two draws of it."""
    caption_view: AnyCaptionView = Eda(operations=("synonym", "swap", "delete"), alpha_synonym=0.0, alpha_swap=0.0)
    """What a caption is beside itself."""
    masked: Share = 0.15
    """Probability of each token to be asked for; start, end and padding are not."""
    hidden: Share = 0.8
    """Share of these that is masked in the caption."""
    swapped: Share = 0.1
    """Share of these that becomes another token, any of the vocabulary; the rest stays as it is."""
    queue_size: Count = 65_536
    """Captions seen lately, two of each pair."""
    queue_start: Literal["empty", "random"] = "empty"
    """``random`` directions, as in the released code, or ``empty``: captions of the first batch are their own nearest.
    """
    queue_end: Literal["wrap", "cut"] = "wrap"
    """A batch that reaches the end of the queue goes on at its beginning, or is ``cut`` there."""
    projector_width: Count = 1024
    predictor_width: Count = 512
    joint_views: bool = True
    """Both image views in one forward: batch normalization then mixes their statistics; the released code has each
    apart."""

    @model_validator(mode="after")
    def _check_shares(self) -> DeclipLoss:
        if self.hidden + self.swapped > 1 + 1e-9:
            raise ValueError(f"swapped: {self.swapped:g} and hidden, {self.hidden:g}, are more than 1 together")
        if not self.sees_pictures and not self.masked_weight:
            raise ValueError(
                "clip_weight: every term of the loss has weight 0 (choices: a weight above 0 of one of them)"
            )
        return self

    @property
    def sees_pictures(self) -> bool:
        return any((self.clip_weight, self.nearest_weight, self.simsiam_weight, self.in_modal_weight))

    @property
    def image_views(self) -> tuple[ImageView, ...]:
        """Those of each picture in a batch."""
        return (self.image_view, self.image_view)

    @property
    def caption_views(self) -> tuple[CaptionView, ...]:
        """Those of each caption in a batch."""
        return (PlainCaption(), self.caption_view)

    def check_model(self, model: Clip) -> None:
        from bezoar.models.words import text_tower
        from bezoar.training.declip_state import say_anew

        super().check_model(model)
        text_tower(model)  # where words are masked
        say_anew(model, self.projector_width, self.predictor_width)

    def check_data(self, pairs: Pairs) -> None:
        """Raise ``ValueError`` where the queue does not fit, or captions have nothing that could be learned from."""
        count = len(pairs)
        if self.queue_size > 2 * count:
            raise ValueError(
                f"queue_size: {self.queue_size:,} captions are more than the {2 * count:,} that {count:,} pairs have, "
                "two of each"
            )
        if self.caption_view == PlainCaption() or pairs.fingerprint in _read:
            return
        without = [index for index in range(count) if not _LETTER.search(pairs.caption(index).lower())]
        if without:
            said = (
                f"{len(without):,} of {count:,} captions have no letter from a to z (first: '{pairs.id(without[0])}')"
            )
            if len(without) == count:
                raise ValueError(f"caption_view: {said}: there is nothing to augment (choices: plain)")
            logging.getLogger(__name__).warning("pairs: %s: they are not augmented", said)
        _read.add(pairs.fingerprint)

    def begin(self, model: Clip, pairs: int, seed: int) -> Declip:
        """The state of a training: heads that ``model`` brings along go on where they were."""
        from bezoar.training.declip_state import Declip

        return Declip(
            model, pairs, seed, hidden=self.projector_width, bottleneck=self.predictor_width, queue=self.queue_size,
            start=self.queue_start, end=self.queue_end,
        )  # fmt: skip

    def tutor(self, state: Declip, teacher: Clip) -> Declip:
        """With the teacher's own heads and the pupil's queue."""
        from bezoar.training.declip_state import say_anew

        say_anew(teacher, self.projector_width, self.predictor_width, "teacher")
        found = self.begin(teacher, state.pairs, state.seed).requires_grad_(False).to(teacher.device).eval()
        found.queue = state.queue
        return found

    def encoder(self, epoch: int) -> Encode:
        """What encodes the batches of epoch ``epoch``: words are masked anew in each."""
        return partial(self._encode, epoch)

    def _encode(self, epoch: int, state: Declip, batch: Batch) -> Features:
        import torch
        from torch.nn import functional as F

        from bezoar.core.rows import rows
        from bezoar.models.words import read
        from bezoar.training.batch import Features

        views = (torch.cat(batch.images),) if self.joint_views else batch.images
        seen = torch.cat([state.model.image_features(view) for view in views]).chunk(len(batch.images))
        own, augmented = batch.texts
        tokens, asked, covered = self._masked(epoch, state, own, batch.draws(state.pairs))
        count = len(own)
        covered = torch.cat([covered, torch.zeros_like(covered)])
        texts, hidden = read(state.model, torch.cat([tokens, augmented]), covered, state.mask)
        units = [F.normalize(view, dim=-1) for view in seen]
        return Features(
            # Views before normalization, and how many words are asked for, travel between ranks with the features.
            images=tuple(map(rows, (*units, *seen) if self.simsiam_weight else units)),
            texts=(*map(rows, F.normalize(texts, dim=-1).chunk(2)), rows(asked.sum(1, keepdim=True).float())),
            others={"hidden": hidden[:count], "tokens": own, "asked": asked} if self.masked_weight else {},
        )

    def _masked(self, epoch: int, state: Declip, tokens: Tensor, draws: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The tokens with some swapped, which are asked for, and which the tower shall not see."""
        import torch

        from bezoar.core.seeds import stream_seed, uniform
        from bezoar.models.words import words_in

        at = torch.arange(tokens.shape[1], device=tokens.device)
        if not self.masked_weight:
            nothing = torch.zeros_like(tokens, dtype=torch.bool)
            return tokens, nothing, nothing
        choice, fate, other = (
            uniform(stream_seed(state.seed, "masked words", epoch, what), draws[:, None], at)
            for what in ("choice", "fate", "other")
        )
        asked = words_in(state.model, tokens, state.words) & (choice < self.masked)
        covered = asked & (fate < self.hidden)
        swapped = asked & ~covered & (fate < self.hidden + self.swapped)
        return torch.where(swapped, state.words[(other * len(state.words)).long()], tokens), asked, covered

    def terms(self, state: Declip, features: Features) -> Terms:
        """``contrastive``, ``nearest``, ``simsiam``, ``masked``, ``in_modal_image`` and ``in_modal_text``, each with
        its weight; none without.
        """
        from bezoar.losses import in_modal, info_nce, simsiam

        scale, (own, augmented, asked) = state.model.scale, features.texts
        images, raw = features.images[:2], features.images[2:]
        terms: dict[str, Tensor] = {}
        if self.clip_weight:
            pairs = [info_nce(image, text, scale) for image in images for text in (own, augmented)]
            terms["contrastive"] = self.clip_weight * sum(pairs[1:], pairs[0]) / len(pairs)
        if self.nearest_weight:
            found = [self._nearest(state, text) for text in (own, augmented)]
            each = [in_modal(image, text, scale) for image in images for text in found]
            terms["nearest"] = self.nearest_weight * sum(each[1:], each[0]) / len(each)
        if self.simsiam_weight:
            # Of the whole batch in every process: the heads normalize over it.
            first, second = (state.heads.projector(view.all) for view in raw)
            predict = state.heads.predictor
            terms["simsiam"] = self.simsiam_weight * simsiam(predict(first), first, predict(second), second)
        if self.masked_weight:
            terms["masked"] = self.masked_weight * self._guessed(state, features, asked)
        if self.in_modal_weight:
            half = self.in_modal_weight / 2
            terms["in_modal_image"] = half * in_modal(images[0], images[1], scale)
            terms["in_modal_text"] = half * in_modal(own, augmented, scale)
        return terms

    def remember(self, state: Declip, features: Features) -> None:
        """Both captions of each pair join the queue, the augmented ones first."""
        own, augmented, _ = features.texts
        state.queue.push(augmented.all)
        state.queue.push(own.all)

    def _nearest(self, state: Declip, text: Rows) -> Rows:
        found = state.queue.nearest(text.all, instead=text.all)
        return replace(text, own=found[text.start : text.start + len(text.own)], all=found)

    def _guessed(self, state: Declip, features: Features, asked: Rows) -> Tensor:
        """The mean over all words that are asked for in the whole batch, as the mean over the processes."""
        from bezoar.losses import masked_words

        other, share = features.others, len(asked.all) / len(asked.own)
        places, likely = other["tokens"].numel(), self.masked
        # Six deviations more than are to be expected: a device that is asked for the number has to be waited for.
        room = min(places, math.ceil(likely * places + 6 * math.sqrt(likely * (1 - likely) * places)) + 8)
        total = masked_words(other["hidden"], other["tokens"], other["asked"], state.heads.text_label_predictor, room)
        return share * total / asked.all.sum().clamp(min=1)
