"""RoCLIP: in some epochs a picture is trained against the caption of a pool that is nearest to it, not its own.

Yang et al. 2023, "Robust Contrastive Language-Image Pretraining against Data Poisoning and Backdoor Attacks".
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from bezoar.core.settings import settings
from bezoar.data.captions import AnyCaptionView, Eda
from bezoar.data.views import AnyImageView, SimClr
from bezoar.training.contrastive import Contrastive
from bezoar.training.method import BatchSize, Count, Method, Rate, Weight

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from bezoar.core.rows import Rows
    from bezoar.data.pairs import Pairs
    from bezoar.models.clip import Clip
    from bezoar.training.batch import Batch, Features
    from bezoar.training.method import Pass, Terms
    from bezoar.training.pooled import Pooled


@settings
class RoCLIP(Contrastive):
    """Symmetric InfoNCE on augmented pairs; in every ``match_every``-th epoch between the pictures and, of a pool of
    captions seen lately, the one nearest to each.

    Budget and learning rate are the released parser's.
    """

    kind: ClassVar[str] = "roclip"
    added: ClassVar[frozenset[str]] = Method.added
    epochs: Count = 24
    batch_size: BatchSize = 512
    lr: Rate = 5e-5
    image_view: AnyImageView = SimClr()
    """What stands in each epoch in the place of a picture, drawn anew."""
    caption_view: AnyCaptionView = Eda()
    """What stands in each epoch in the place of a caption, drawn anew."""
    match_every: Count = 2
    """Epochs match whose number, from 1, is a multiple of this; the others train as CLIP does."""
    pool_share: Annotated[float, Field(gt=0, le=1)] = 0.02
    """How many captions the pool holds, as a share of the pairs; one at least."""
    pool_size: Count | None = None
    """How many it holds, whatever ``pool_share`` says."""
    pool_start: Literal["empty", "random"] = "empty"
    """Whether it begins without entries, or with random directions."""
    pool_end: Literal["wrap", "cut"] = "wrap"
    """What of a batch lies beyond the end of the pool goes to its beginning, or is left out."""
    pool_fed: Literal["always", "matching"] = "always"
    """Whether captions go into it in all epochs, or in those that match."""
    text_tower: Literal["frozen", "trained", "drifting"] = "frozen"
    """In epochs that match, ``frozen`` stays as it is. ``trained`` reads the matched captions again and learns from
    them. ``drifting`` has a gradient of zero: what its momentum and the decay do to it goes on."""
    in_modal_weight: Weight = 0.0
    """Of the mean of an image and a text in-modal term between two views; with 0 there is one view."""

    def __post_init__(self) -> None:
        if self.text_tower != "trained":
            return
        if self.chunk_size is not None:
            raise ValueError(
                f"chunk_size: {self.chunk_size} pairs at a time go through the towers twice, and text_tower 'trained' "
                "would match other captions the second time (choices: null)"
            )
        if self.pool_start == "random":
            raise ValueError(
                "pool_start: random directions are no captions that text_tower 'trained' could read (choices: empty)"
            )

    def check(self, model: Clip) -> None:
        from bezoar.training.locking import lock

        super().check(model)
        locks = lock(model, self.lock)
        locks.release()
        parameters = model.tower.named_parameters()
        tower = {name for name, one in parameters if name.startswith("visual.") and one.requires_grad}
        still = self.text_tower == "frozen" or (self.text_tower == "drifting" and not self.in_modal_weight)
        if still and tower <= {*locks.names}:
            raise ValueError(
                f"lock: with {', '.join(map(repr, self.lock))} nothing would learn in the epochs that match, where "
                f"text_tower is '{self.text_tower}' (choices: text_tower: trained, or another lock)"
            )

    def check_pairs(self, pairs: Pairs) -> None:
        count = len(pairs)
        if self.pool_size is not None and self.pool_size > count:
            raise ValueError(f"pool_size: {self.pool_size:,} captions are more than the {count:,} pairs of the source")
        epochs = self.epochs if self.steps is None else -(-self.steps // max(1, self.steps_per_epoch(count)))
        if epochs < self.match_every:
            budget = f"epochs: {epochs}" if self.steps is None else f"steps: {self.steps}"
            raise ValueError(
                f"{budget} end before the first epoch that matches, number {self.match_every} (match_every): nothing "
                "would be defended"
            )

    def build(self, model: Clip, pairs: Pairs, seed: int) -> Pooled:
        from bezoar.core.seeds import torch_generator
        from bezoar.training.head import width_of
        from bezoar.training.pool import Pool
        from bezoar.training.pooled import Pooled

        self.check_pairs(pairs)  # again: an attacker may have added pairs, which make epochs longer, or left fewer
        size = max(1, int(self.pool_share * len(pairs))) if self.pool_size is None else self.pool_size
        if size < self.batch_size:
            logging.getLogger(__name__).warning(
                "method.pool_size: the pool of %s captions is smaller than a batch of %s: in epochs that match, "
                "pictures of a batch share captions, and are wrong answers for each other",
                f"{size:,}", f"{self.batch_size:,}",
            )  # fmt: skip
        pool = Pool(
            size, width_of(model), generator=torch_generator(seed, "roclip", "pool"), start=self.pool_start,
            end=self.pool_end,
        )  # fmt: skip
        return Pooled(model, len(pairs), pool, keeps_tokens=self.text_tower == "trained")

    def passes(self, state: Any, epoch: int) -> Sequence[Pass]:
        from bezoar.training.pooled import matched_read, text_at_rest, with_tokens

        matching = self.matches(epoch)
        encodes = {"frozen": text_at_rest, "trained": matched_read, "drifting": with_tokens}
        images = captions = 2 if self.in_modal_weight else 1
        if matching and self.text_tower == "frozen":
            captions = 1  # of a tower that stays as it is no term needs another
        whole = self.whole_pass(
            state, (self.image_view,) * images, (self.caption_view,) * captions,
            encodes[self.text_tower] if matching else with_tokens, self._matched if matching else self.loss,
        )  # fmt: skip
        return (whole,)

    def matches(self, epoch: int) -> bool:
        """Whether epoch ``epoch``, from 0, matches."""
        return (epoch + 1) % self.match_every == 0

    def loss(self, state: Any, features: Features, batch: Batch) -> Terms:
        """``contrastive`` of an epoch that does not match, ``in_modal_image`` and ``in_modal_text``, with weights."""
        if self.pool_fed == "always":
            state.push(features)
        return {**super().loss(state, features, batch), **self._in_modal(state, features)}

    def _matched(self, state: Any, features: Features, batch: Batch) -> Terms:
        """``matched``, of an epoch that matches, and the in-modal terms, with weights."""
        from bezoar.losses import info_nce

        image, text = features.images[0], features.texts[0]
        if self.text_tower == "trained":
            captions = features.texts[-2]
        else:
            captions = _beside(image, state.pool.nearest(image.all, instead=text.all))
        state.push(features)  # after the pool was asked: no picture finds its own caption
        matched = info_nce(image, captions, state.model.scale)
        if self.text_tower == "drifting":
            matched = matched + 0 * text.own.sum()
        return {"matched": matched, **self._in_modal(state, features)}

    def _in_modal(self, state: Any, features: Features) -> Terms:
        from bezoar.losses import in_modal

        if not self.in_modal_weight:
            return {}
        scale, half = state.model.scale, self.in_modal_weight / 2
        image, image_view = features.images
        terms = {"in_modal_image": half * in_modal(image, image_view, scale)}
        if len(features.texts) > 1:
            text, text_view = features.texts[:2]
            terms["in_modal_text"] = half * in_modal(text, text_view, scale)
        return terms


def _beside(features: Rows, found: Tensor) -> Rows:
    """What was found for each of all rows, as rows."""
    from bezoar.core.rows import Rows

    return Rows(found, found) if features.whole else Rows(found[features.labels()], found, features.start)
