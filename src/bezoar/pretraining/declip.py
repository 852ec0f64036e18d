"""DeCLIP: every pair teaches through two views of its picture, two of its caption, masked words and nearest captions.

Li et al. 2022, "Supervision Exists Everywhere" (arXiv 2110.05208); the code attacked by "backdoored DeCLIP".
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from bezoar.core.settings import settings
from bezoar.training.continued import Continued
from bezoar.training.declip_method import DeclipMethod
from bezoar.training.method import BatchSize, Count, Rate, Warmup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bezoar.data.pairs import Pairs
    from bezoar.models.clip import Clip
    from bezoar.training.declip_state import Declip
    from bezoar.training.method import Pass


@settings
class DeCLIP(Continued, DeclipMethod):
    """DeCLIP's loss; budget and learning rates are those of the released R50 on YFCC15M."""

    kind: ClassVar[str] = "declip"
    epochs: Count = 32
    batch_size: BatchSize = 4096
    lr: Rate = 1e-3
    warmup_steps: Warmup = 2500
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.98
    min_scale: Annotated[float, Field(ge=1, allow_inf_nan=False)] = math.exp(3)
    normalization: Literal["imagenet", "model"] = "imagenet"
    """By which mean and deviation of the channels pictures are normalized: those of ImageNet, or as the model has it.
    """

    def build(self, model: Clip, pairs: Pairs, seed: int) -> Declip:
        from bezoar.models.layouts.declip import MEAN, STD

        if self.normalization == "imagenet":
            model.normalize_by(MEAN, STD)
        return super().build(model, pairs, seed)

    def passes(self, state: Declip, epoch: int) -> Sequence[Pass]:
        return tuple(map(self.laid_out, super().passes(state, epoch)))
