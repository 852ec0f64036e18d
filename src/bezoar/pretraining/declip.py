"""DeCLIP: every pair teaches through two views of its picture, two of its caption, masked words and nearest captions.

Li et al. 2022, "Supervision Exists Everywhere" (arXiv 2110.05208); the code attacked by "backdoored DeCLIP".
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from bezoar.core.settings import settings
from bezoar.training.continued import Continued
from bezoar.training.declip import DeclipLoss
from bezoar.training.method import BatchSize, Count, Method, Rate, Warmup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bezoar.data.pairs import Pairs
    from bezoar.models.clip import Clip
    from bezoar.training.batch import Batch, Features
    from bezoar.training.declip_state import Declip
    from bezoar.training.method import Pass, Terms


@settings
class DeCLIP(DeclipLoss, Continued, Method):
    """DeCLIP's loss; budget and learning rates are those of the released R50 on YFCC15M.

    A model that it has trained brings its heads along: trained again, it goes on with them; the queue begins anew.
    """

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

    def check(self, model: Clip) -> None:
        self.check_model(model)

    def check_pairs(self, pairs: Pairs) -> None:
        self.check_data(pairs)

    def build(self, model: Clip, pairs: Pairs, seed: int) -> Declip:
        from bezoar.models.layouts.declip import MEAN, STD

        if self.normalization == "imagenet":
            model.normalize_by(MEAN, STD)
        return self.begin(model, len(pairs), seed)

    def passes(self, state: Declip, epoch: int) -> Sequence[Pass]:
        whole = self.whole_pass(state, self.image_views, self.caption_views, self.encoder(epoch), self.loss)
        return (self.laid_out(whole),)

    def loss(self, state: Declip, features: Features, batch: Batch) -> Terms:
        """The terms of DeCLIP's loss, each with its weight."""
        terms = self.terms(state, features)
        self.remember(state, features)
        return terms
