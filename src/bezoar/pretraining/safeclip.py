"""SafeCLIP: image–text pairs are learned from only where they look safe, the others within their modality (Yang et al.
2024, "Better Safe than Sorry")."""

from __future__ import annotations

import itertools
import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field, model_validator

from bezoar.core.settings import settings
from bezoar.data.captions import AnyCaptionView, CaptionView, Eda
from bezoar.data.captions import Plain as PlainCaption
from bezoar.data.views import AnyImageView, ImageView, Plain, SimClr
from bezoar.training.contrastive import check_towers
from bezoar.training.method import BatchSize, Count, Method, Pass, Rate
from bezoar.training.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

    from bezoar.core.rows import Rows
    from bezoar.data.pairs import Pairs
    from bezoar.models.clip import Clip
    from bezoar.training.batch import Batch, Features
    from bezoar.training.method import Loss, Terms
    from bezoar.training.pool import Pool
    from bezoar.training.safe_split import Parted
    from bezoar.training.scorer import Scorer

Epochs = Annotated[int, Field(ge=0)]
Ratio = Annotated[float, Field(gt=0, le=1)]


class _Leg(NamedTuple):
    """What of a pass is known beforehand."""

    epoch: int
    name: str
    steps: int


@settings
class SafeCLIP(Method):
    """First within each modality, on all pairs; then slowly across, on all; then the pairs are split by their cosines,
    anew in each epoch: CLIP's loss on the safe ones, and on the risky ones that within each modality.

    More pairs are safe in every epoch. Within its modality a picture is known by the nearest of those seen lately, and
    a caption likewise.
    """

    kind: ClassVar[str] = "safeclip"
    revision: ClassVar[int] = 2
    warms_passes: ClassVar[bool] = True
    epochs: Count = 32
    batch_size: BatchSize = 512
    lr: Rate = 5e-4
    """The highest learning rate of CLIP's loss on the safe pairs."""
    in_modal_lr: Rate = 5e-4
    """The highest within a modality."""
    slow_lr: Rate = 5e-6
    """That of the slow epochs, which is constant."""
    in_modal_epochs: Epochs = 5
    slow_epochs: Epochs = 1
    safe_posterior: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """At the first split pairs are safe that come from the upper component with this probability at least."""
    ratio_step: Annotated[float, Field(ge=0, le=1)] = 0.01
    """By how much the share of the safe pairs grows each epoch."""
    ratio_max: Ratio = 0.85
    fallback_ratio: Ratio = 0.15
    """Share of the pairs that is safe first, a batch at least, where the mixture finds less than a batch or all; and by
    which steps are counted before the first split."""
    mixture_seed: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    """Of the k-means with which the mixture begins; by default from the seed of the training and the epoch."""
    bank_size: Annotated[int, Field(ge=0)] = 256
    """Features seen lately of each modality; with 0 a view is known by the other view of the same pair."""
    bank_start: Literal["empty", "random"] = "empty"
    """``random`` directions, or ``empty``: the first batch is then known by its own other views."""
    bank_end: Literal["wrap", "cut"] = "wrap"
    """A batch that reaches the end of a bank goes on at its beginning, or is ``cut`` there."""
    image_view: AnyImageView = SimClr()
    caption_view: AnyCaptionView = Eda()
    joint_views: bool = True
    """All image views in one forward: batch normalization then mixes their statistics, as in the released code."""
    cross_views: Literal["same", "crossed", "plain"] = "same"
    """Across modalities: one view of the picture with one of its caption; ``crossed``: each way its own pair of views,
    as in the released code; ``plain``: pairs as they are."""
    cross_in_modal: bool = True
    """Whether the risky pairs are trained on within each modality; otherwise they are left out."""
    score_views: bool = False
    """Score pairs under a view of each, as in the released code."""

    @model_validator(mode="after")
    def _check_phases(self) -> SafeCLIP:
        if self.steps is None and self.epochs <= self._begins:
            raise ValueError(
                f"epochs: {self.epochs} leave none after the {self.in_modal_epochs} of in_modal_epochs and the "
                f"{self.slow_epochs} of slow_epochs: no pairs would be split"
            )
        if self.fallback_ratio > self.ratio_max:
            raise ValueError(
                f"fallback_ratio: {self.fallback_ratio:g} of the pairs would be safe first, more than at most, "
                f"{self.ratio_max:g} (ratio_max)"
            )
        return self

    @property
    def _begins(self) -> int:
        """The first epoch whose pairs are split."""
        return self.in_modal_epochs + self.slow_epochs

    def check(self, model: Clip) -> None:
        check_towers(model)

    def check_pairs(self, pairs: Pairs) -> None:
        count = len(pairs)
        if self.bank_size > count:
            raise ValueError(f"bank_size: {self.bank_size} features are more than the {count} pairs of the source")
        if _share(self.ratio_max, count) < self.batch_size:
            raise ValueError(
                f"ratio_max: {self.ratio_max:g} of the {count} pairs of the source are fewer than a batch of "
                f"{self.batch_size}: none of the safe pairs would be trained on"
            )
        before = self._begins * self.steps_per_epoch(count)
        if self.steps is not None and self.steps <= before:
            raise ValueError(
                f"steps: {self.steps} leave none after the {before} of the {self._begins} epochs before the split: no "
                "pairs would be split"
            )

    def views(self) -> tuple[ImageView | CaptionView, ...]:
        across = self.cross_views != "plain" or self.score_views
        return super().views() if self.in_modal_epochs or self.cross_in_modal or across else ()

    def total_steps(self, pairs: int) -> int:
        return self.steps if self.steps is not None else sum(leg.steps for leg in self._legs(pairs, 0))

    def known_steps(self, state: Parted) -> int:
        return sum(leg.steps for leg in self._legs(state.pairs, int(state.first)))

    def build(self, model: Clip, pairs: Pairs, seed: int) -> Parted:
        from bezoar.training.safe_split import Parted

        self.check_pairs(pairs)  # again: an attacker may have added pairs, which make epochs longer, or left fewer
        return Parted(model, len(pairs), seed, self.bank_size, self.bank_start, self.bank_end)

    def begin_epoch(self, state: Parted, epoch: int, scorer: Scorer) -> None:
        """Split the pairs by what the model makes of them now; the lead does, for all processes."""
        from bezoar.core.seeds import stream_seed
        from bezoar.training.safe_split import first_split, later_split

        if epoch == 0 and self._begins and scorer.peers.lead:
            for name, steps in self._short(state.pairs, self._fallback(state.pairs)).items():
                self._say_short(name, steps, guessed=name != "in_modal")
        if epoch < self._begins:
            return
        if self.score_views:
            cosines = scorer.cosines_under(self.image_view, self.caption_view, state.seed, epoch)
        else:
            cosines = scorer.cosines()
        seed = stream_seed(state.seed, "mixture", epoch) % 2**32 if self.mixture_seed is None else self.mixture_seed
        first, pairs = int(state.first), state.pairs
        if first:
            count = self._safe(pairs, first, epoch)
            split = scorer.peers.led(lambda: later_split(cosines, seed, count, state.mixture))
        else:
            posterior, least, fallback = self.safe_posterior, self.batch_size, self._fallback(pairs)
            split = scorer.peers.led(
                lambda: first_split(cosines, seed, posterior=posterior, least=least, fallback=fallback)
            )
        state.part(split, cosines, epoch)
        if not first and scorer.peers.lead:
            told = self._short(pairs, self._fallback(pairs)) if self._begins else {}
            for name, steps in self._short(pairs, int(state.first)).items():
                if name not in told:
                    self._say_short(name, steps)

    def passes(self, state: Parted, epoch: int) -> Sequence[Pass]:
        """``in_modal`` or ``slow`` on all pairs; then ``risky`` and, after it, ``safe``, as in the released code."""
        import torch

        everybody = torch.arange(state.pairs)
        if epoch < self.in_modal_epochs:
            return (self._in_modal("in_modal", everybody, state, epoch),)
        if epoch < self._begins:
            return (self._across("slow", everybody, state, epoch),)
        safe = state.safe.cpu()
        passes = (self._across("safe", everybody[safe], state, epoch),)
        return (self._in_modal("risky", everybody[~safe], state, epoch), *passes) if self.cross_in_modal else passes

    def in_modal(self, state: Parted, features: Features, batch: Batch) -> Terms:
        """``in_modal_image`` and ``in_modal_text``: second views find what is nearest to the first in the bank."""
        from bezoar.losses import in_modal

        (image, other_image), (text, other_text) = features.images, features.texts
        scale = state.model.scale
        return {
            "in_modal_image": in_modal(other_image, _nearest(state.image_bank, image), scale) / 2,
            "in_modal_text": in_modal(other_text, _nearest(state.text_bank, text), scale) / 2,
        }

    def across(self, state: Parted, features: Features, batch: Batch) -> Terms:
        """``contrastive``, over the safe pairs or, in the slow epochs, all."""
        from bezoar.losses import in_modal, info_nce

        scale = state.model.scale
        if self.cross_views != "crossed":
            return {"contrastive": info_nce(features.images[0], features.texts[0], scale)}
        (image, other_image), (text, other_text) = features.images, features.texts
        return {"contrastive": (in_modal(image, other_text, scale) + in_modal(text, other_image, scale)) / 2}

    def diagnostics(self, state: Parted) -> Mapping[str, float | Tensor]:
        """``dropped`` always; from the first split on ``safe``, ``safe_share``, ``cosine`` and ``mixture`` too.

        ``dropped``: the epoch (from 0) before which a pair was last put among the risky, -1 while it is not.
        """
        if not state.first:
            return {"dropped": state.dropped}
        share = int(state.safe.sum()) / state.pairs
        now = {"dropped": state.dropped, "safe": state.safe, "cosine": state.cosine, "mixture": state.mixture}
        return {**now, "safe_share": share}

    def _in_modal(self, name: str, indices: Tensor, state: Parted, epoch: int) -> Pass:
        from bezoar.training.batch import first_asks

        views = (self.image_view,) * 2, (self.caption_view,) * 2
        whole = self._pass(name, indices, *views, self.in_modal, self._schedule(name, state, epoch))
        return replace(whole, encode=partial(first_asks, whole.encode)) if self.bank_size else whole

    def _across(self, name: str, indices: Tensor, state: Parted, epoch: int) -> Pass:
        count = 2 if self.cross_views == "crossed" else 1
        views = (self.image_view,) * count, (self.caption_view,) * count
        if self.cross_views == "plain":
            views = (Plain(),), (PlainCaption(),)
        return self._pass(name, indices, *views, self.across, self._schedule(name, state, epoch))

    def _pass(
        self,
        name: str,
        indices: Tensor,
        images: tuple[ImageView, ...],
        captions: tuple[CaptionView, ...],
        loss: Loss,
        schedule: Schedule,
    ) -> Pass:
        from bezoar.training.batch import apart, together

        return Pass(
            name=name, indices=indices, image_views=images, caption_views=captions,
            encode=together if self.joint_views else apart, loss=loss, schedule=schedule,
        )  # fmt: skip

    def _schedule(self, name: str, state: Parted, epoch: int) -> Schedule:
        """That of the pass ``name`` in ``epoch``: it counts the steps of passes of this name, in all epochs."""
        if name == "slow":
            return Schedule(shape="constant", lr=self.slow_lr, warmup=0, total=1)
        lr = self.lr if name == "safe" else self.in_modal_lr
        first = int(state.first)
        legs = list(self._legs(state.pairs, first))
        at = next(number for number, leg in enumerate(legs) if (leg.epoch, leg.name) == (epoch, name))
        begin, total, ahead = sum(leg.steps for leg in legs[:at]), 0.0, 0
        if self.legacy_schedule:
            total, ahead = self._released(name, epoch, state.pairs, first, 1 + legs[-1].epoch)
        else:
            begin -= sum(leg.steps for leg in legs[:at] if leg.name == name)
            total = sum(leg.steps for leg in legs if leg.name == name)
        return Schedule(
            shape=self.schedule, lr=lr, warmup=self.warmup_steps, total=total, begin=begin, ahead=ahead
        )  # fmt: skip

    def _short(self, pairs: int, first: int) -> Mapping[str, int]:
        """Of passes whose schedules, in all epochs, do not get as far as their learning rate, how far they get.

        ``first`` of the ``pairs`` are safe first.
        """
        counted = {"in_modal": 0, "safe": 0, "risky": 0}
        legs = list(self._legs(pairs, first))
        for epoch, name, steps in legs:
            if not steps or name not in counted:
                continue
            if self.legacy_schedule:
                ahead = self._released(name, epoch, pairs, first, 1 + legs[-1].epoch)[1]
                counted[name] = max(counted[name], ahead + steps)
            else:
                counted[name] += steps
        return {name: steps for name, steps in counted.items() if 0 < steps < self.warmup_steps}

    def _say_short(self, name: str, steps: int, *, guessed: bool = False) -> None:
        lr = self.lr if name == "safe" else self.in_modal_lr
        provided = f" if {self.fallback_ratio:g} of the pairs are safe first" if guessed else ""
        logging.getLogger(__name__).warning(
            "method.warmup_steps: the warm-up of %d steps does not end within the %d that are counted for '%s' in all "
            "epochs%s: its learning rate ends at %.2g instead of %g",
            self.warmup_steps, steps, name, provided, lr * steps / self.warmup_steps, lr,
        )  # fmt: skip

    def _released(self, name: str, epoch: int, pairs: int, first: int, epochs: int) -> tuple[float, int]:
        """Of the released code: the steps over which the rate is laid out, and at which of them a pass begins.

        Once pairs are split, both schedules are laid out over the batches of safe pairs, without ``ratio_max``. A pass
        begins at the number of its epoch, counted from 1, times a number of batches: the mean of the safe ones, or
        those that are risky in this epoch.
        """
        batches = self.steps_per_epoch(pairs)
        if name == "in_modal":
            return batches * self._begins, batches * (epoch + 1)
        rounds = epochs - self._begins
        total = sum((first / pairs + number * self.ratio_step) * batches for number in range(rounds))
        risky = self.steps_per_epoch(pairs - self._safe(pairs, first, epoch))
        return total, (int(total // rounds) if name == "safe" else risky) * (epoch + 1)

    def _legs(self, pairs: int, first: int) -> Iterator[_Leg]:
        """Every pass in its order, to the end of the budget; of ``first`` 0, which is not known yet, the fallback."""
        left = self.steps
        for epoch in range(self.epochs) if left is None else itertools.count():
            for name, size in self._sizes(pairs, first or self._fallback(pairs), epoch):
                steps = self.steps_per_epoch(size)
                if left is not None:
                    steps = min(steps, left)
                    left -= steps
                yield _Leg(epoch, name, steps)
            if left == 0:
                return

    def _sizes(self, pairs: int, first: int, epoch: int) -> tuple[tuple[str, int], ...]:
        """The passes of an epoch and how many pairs they have."""
        if epoch < self._begins:
            return (("in_modal" if epoch < self.in_modal_epochs else "slow", pairs),)
        safe = self._safe(pairs, first, epoch)
        return (("risky", pairs - safe), ("safe", safe)) if self.cross_in_modal else (("safe", safe),)

    def _fallback(self, pairs: int) -> int:
        """How many pairs are safe first where the mixture cannot tell."""
        return max(self.batch_size, _share(self.fallback_ratio, pairs))

    def _safe(self, pairs: int, first: int, epoch: int) -> int:
        """How many pairs are safe in ``epoch``, of which ``first`` were at first."""
        later = epoch - self._begins
        return _share(min(first / pairs + later * self.ratio_step, self.ratio_max), pairs) if later else first


def _share(ratio: float, pairs: int) -> int:
    """``ratio`` of ``pairs``, rounded down; rounded first, as a sum of ratios may lie a hair below the whole number."""
    return int(round(ratio * pairs, 6))


def _nearest(bank: Pool | None, views: Rows) -> Rows:
    """The nearest to each of ``views`` among those seen before, which then are seen too; without a bank, ``views``."""
    from bezoar.core.rows import Rows

    if bank is None:
        return views
    found = bank.nearest(views.all, instead=views.all)
    bank.push(views.all)
    return Rows(found[views.start : views.start + len(views.own)], found, views.start)
