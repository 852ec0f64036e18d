"""SigLIP: is this the caption of that picture, asked of every two (Zhai et al. 2023, §3.2)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from bezoar.core.settings import settings
from bezoar.training.method import Positive, Weight
from bezoar.training.two_views import InModal

if TYPE_CHECKING:
    from bezoar.data.pairs import Pairs
    from bezoar.models.clip import Clip
    from bezoar.training.batch import Batch, Features
    from bezoar.training.method import Terms
    from bezoar.training.state import State


@settings
class SigLIP(InModal):
    """``siglip_weight`` · the pairwise sigmoid loss with a learned bias, by default without in-modal terms.

    A tower that has a logit bias learns it. For another one the bias is a part of the training and not of the model
    that comes of it: no zero-shot answer depends on it.
    """

    kind: ClassVar[str] = "siglip"
    siglip_weight: Weight = 1.0
    init_scale: Positive | None = 10.0
    """The inverse temperature to begin with; ``null`` keeps the model's."""
    init_bias: float | None = -10.0
    """The bias to begin with; ``null`` keeps the model's, which must have one."""
    max_scale: Annotated[float, Field(gt=1)] | None = None
    """The learned inverse temperature is clamped to [1, max_scale] after every step; ``null``, as in the paper, leaves
    it alone."""

    def check(self, model: Clip) -> None:
        from bezoar.training.locking import lock

        super().check(model)
        bias = getattr(model.tower, "logit_bias", None)
        if bias is not None and bias.ndim:
            raise ValueError(
                f"kind: needs a logit bias that is one number; {model.architecture} has one of shape {list(bias.shape)}"
            )
        locks = lock(model, self.lock)
        locks.release()
        for field, name in (("init_scale", "logit_scale"), ("init_bias", "logit_bias")):
            if getattr(self, field) is not None and name in locks.names:
                raise ValueError(f"{field}: the model's {name} is locked; null leaves it as it is")
        if bias is None and self.init_bias is None:
            raise ValueError(f"init_bias: {model.architecture} has no logit bias to keep; the paper begins with -10")

    def build(self, model: Clip, pairs: Pairs, seed: int) -> State:
        import torch
        from torch import nn

        from bezoar.training.state import State

        state, tower = State(model, len(pairs)), model.tower
        scale, bias = tower.logit_scale, getattr(tower, "logit_bias", None)
        assert isinstance(scale, nn.Parameter), model.architecture
        state.logit_bias = nn.Parameter(torch.zeros_like(scale)) if bias is None else bias
        with torch.no_grad():
            if self.init_scale is not None:
                scale.fill_(math.log(self.init_scale))
            if self.init_bias is not None:
                state.logit_bias.fill_(self.init_bias)
        return state

    def loss(self, state: Any, features: Features, batch: Batch) -> Terms:
        """``sigmoid`` and the in-modal terms, each with its weight."""
        from bezoar.losses import siglip

        sigmoid = siglip(features.images[0], features.texts[0], state.model.scale, state.logit_bias)
        return {"sigmoid": self.siglip_weight * sigmoid, **super().loss(state, features, batch)}
