"""The Method contract: how to train, for pre-training and cleaning alike.

A Method value is stateless. Everything that changes lives in the state that ``build`` returns, an ``nn.Module``
that is checkpointed whole. The loop calls, in this order: ``build`` once; each epoch ``begin_epoch``, ``renewed``, then
``passes``, and for each pass its loss on every batch; ``diagnostics`` after the epoch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from bezoar.core.settings import Settings, settings
from bezoar.data.captions import CaptionView
from bezoar.data.views import ImageView
from bezoar.training.schedule import Schedule
from bezoar.training.shrink_perturb import ShrinkPerturb

if TYPE_CHECKING:
    from typing import Self

    from torch import Tensor, nn

    from bezoar.data.pairs import Pairs
    from bezoar.models.clip import Clip
    from bezoar.training.batch import Batch, Features
    from bezoar.training.scorer import Scorer
    from bezoar.training.state import State

    Terms = Mapping[str, Tensor]
    Diagnostics = Mapping[str, float | Tensor | nn.Module]
    # A method's own state type stands first; the loop hands it back unseen.
    Encode = Callable[[Any, Batch], Features]
    Loss = Callable[[Any, Features, Batch], Terms]

Precision = Literal["auto", "bf16", "fp16", "fp32"]
"""Of the towers' autocast."""
Count = Annotated[int, Field(ge=1)]
BatchSize = Annotated[int, Field(ge=2)]
Warmup = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True)
class Again:
    """Pairs that come again in their batch, after all others, with another picture and views drawn for themselves."""

    share: float
    """Of the pairs of a process in each batch, evenly over it."""
    picture: Callable[[int], Tensor]
    """The other picture by the position of the pair, uint8 ``[3, S, S]``; loader processes are given it by pickle."""

    def which(self, count: int) -> list[int]:
        """The places among ``count`` pairs."""
        chosen = round(self.share * count)
        return [count * number // chosen for number in range(chosen)]


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One run over some of the pairs, with the views, the loss and the schedule that hold for it."""

    name: str
    indices: Tensor
    """Positions in the pairs, ``int64 [n]``; the loop shuffles them."""
    image_views: Sequence[ImageView]
    caption_views: Sequence[CaptionView]
    encode: Encode
    """State and some pairs to their features; pairs do not see each other but through batch normalization."""
    loss: Loss
    """State, the features of the whole batch and this process's pairs to named, weighted terms: means over its rows."""
    schedule: Schedule
    again: Again | None = None


@settings
class Method(Settings):
    """How to train. The fields here are those of every method; a method sets its paper's values and adds its own.

    A budget is ``epochs``, or ``steps`` where given: training then takes as many epochs as they need and ends within
    one.
    """

    added: ClassVar[frozenset[str]] = frozenset({"shrink_perturb", "min_scale"})
    warms_passes: ClassVar[bool] = False
    """Whether kinds of its passes warm up each by itself: then it says itself which of them are too short for it."""

    epochs: Count = 64
    steps: Count | None = None
    batch_size: BatchSize = 128
    """Pairs in one contrastive batch, over all ranks. What is left of an epoch's order after its last whole batch waits
    for the next epoch."""
    chunk_size: Count | None = None
    """Pairs that a rank takes through the towers at a time, to save memory; the contrastive batch stays whole (cached
    features, Gao et al. 2021). Batch normalization then sees a chunk at a time: other gradients than without."""
    lr: Rate = 5e-4
    """The highest learning rate; with 0 no parameter moves, though running statistics do."""
    schedule: Literal["cosine", "constant", "linear"] = "cosine"
    legacy_schedule: bool = False
    """The learning rate runs one epoch ahead, as in the released code: warm-up begins with its second epoch, and in the
    last epoch the rate rises again."""
    warmup_steps: Warmup = 10_000
    weight_decay: Weight = 0.1
    """Of AdamW; norms, biases and the logit scale are never decayed."""
    decay_embeddings: bool = True
    """Whether token and position embeddings are decayed, as in the systems."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    eps: Positive = 1e-8
    clip_norm: Positive | None = None
    """Largest norm of the gradient over all parameters; without it gradients are not clipped."""
    max_scale: Annotated[float, Field(gt=1, allow_inf_nan=False)] | None = 100.0
    """The learned inverse temperature is clamped to [min_scale, max_scale] after every step; ``null`` leaves it alone.
    """
    min_scale: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 1.0
    lock: tuple[str, ...] = ()
    """What stays as it is: ``image``, ``text``, or names of parameters with wildcards, as ``visual.layer1.*``."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of a moving average of the weights, which is then what is measured and kept; none by default."""
    batch_norm: Literal["local", "synchronized"] = "local"
    """Whether each rank normalizes by its own pairs or, on GPUs, by those of all; running statistics are averaged."""
    precision: Precision = "auto"
    """``auto`` is bf16 autocast where the device computes in bf16, else fp32; fp16 scales the loss and needs a GPU."""
    shrink_perturb: ShrinkPerturb | None = None
    """Makes the model a little random before the first step, as {shrink: 0.95, perturb: 1e-4}, or {} for these; not at
    all by default."""

    @model_validator(mode="after")
    def _check_scales(self) -> Self:
        if self.max_scale is not None and self.min_scale > self.max_scale:
            raise ValueError(f"min_scale: {self.min_scale:g} is more than max_scale, {self.max_scale:g}")
        return self

    def pinned(self) -> Self:
        """The same method with what it reads from files named by its content, so that the content is its setting."""
        return self

    def check(self, model: Clip) -> None:
        """Raise ``ValueError`` for a model that this method cannot train; called before the long work starts."""

    def check_pairs(self, pairs: Pairs) -> None:
        """Raise ``ValueError`` for pairs that this method cannot train on; called before the long work starts.

        ``pairs`` are as their source has them; ``build`` is given them as the attacker left them.
        """

    def build(self, model: Clip, pairs: Pairs, seed: int) -> State:
        """The state of a run: the model and whatever else changes while training."""
        from bezoar.training.state import State

        return State(model, len(pairs))

    def begin_epoch(self, state: Any, epoch: int, scorer: Scorer) -> None:
        """Called before epoch ``epoch`` (from 0): may score pairs with the model and re-split, re-cluster, re-teach."""

    def renewed(self, state: Any) -> Sequence[nn.Parameter]:
        """The parameters that ``begin_epoch`` has just made anew, in place: the optimizer forgets what it knew of them.

        Every process goes on with the lead's.
        """
        return ()

    def passes(self, state: Any, epoch: int) -> Sequence[Pass]:
        """What to run over in epoch ``epoch``, from what ``begin_epoch`` has left in the state.

        Asked again when an interrupted epoch goes on, so it may not depend on what changes during the epoch.
        """
        raise NotImplementedError

    def views(self) -> tuple[ImageView | CaptionView, ...]:
        """The views among its settings that it draws."""
        values = (getattr(self, field.name) for field in dataclasses.fields(self))
        return tuple(value for value in values if isinstance(value, (ImageView, CaptionView)))

    def diagnostics(self, state: Any) -> Diagnostics:
        """What evaluators may know of the state: numbers, tensors with one entry a pair, in their order, and heads."""
        return {}

    def check_ranks(self, world: int, where: str = "method") -> None:
        """Raise ``ValueError`` where ``world`` ranks cannot share its batches equally."""
        if self.batch_size % world:
            below = self.batch_size // world * world
            raise ValueError(
                f"{where}.batch_size: {self.batch_size} pairs cannot be shared equally by {world} ranks "
                f"(nearest choices: {below or world}, {below + world})"
            )

    def steps_per_epoch(self, pairs: int) -> int:
        """Whole batches in ``pairs`` pairs; the rest waits for the next epoch's order."""
        return pairs // self.batch_size

    def total_steps(self, pairs: int) -> int:
        """Steps of the whole training, as far as they are known before it; a method with other passes than one over all
        pairs says how many."""
        return self.steps if self.steps is not None else self.epochs * self.steps_per_epoch(pairs)

    def known_steps(self, state: Any) -> int:
        """Steps of the whole training by what ``begin_epoch`` has left in the state: asked anew in every epoch."""
        return self.total_steps(state.pairs)

    def whole_pass(
        self,
        state: State,
        image_views: Sequence[ImageView],
        caption_views: Sequence[CaptionView],
        encode: Encode,
        loss: Loss,
    ) -> Pass:
        """The one pass over all pairs that most methods make."""
        import torch

        total, ahead = self.total_steps(state.pairs), self.steps_per_epoch(state.pairs) if self.legacy_schedule else 0
        return Pass(
            name="all", indices=torch.arange(state.pairs), image_views=image_views, caption_views=caption_views,
            encode=encode, loss=loss,
            schedule=Schedule(shape=self.schedule, lr=self.lr, warmup=self.warmup_steps, total=total, ahead=ahead),
        )  # fmt: skip
