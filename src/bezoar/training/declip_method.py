"""Methods whose loss is DeCLIP's: pre-training with it, and what goes on from a model that it has trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bezoar.core.settings import settings
from bezoar.training.declip import DeclipLoss
from bezoar.training.method import Method

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bezoar.data.pairs import Pairs
    from bezoar.models.clip import Clip
    from bezoar.training.batch import Batch, Features
    from bezoar.training.declip_state import Declip
    from bezoar.training.method import Pass, Terms


@settings
class DeclipMethod(DeclipLoss, Method):
    """DeCLIP's loss in one pass over all pairs.

    A model that it has trained brings its heads along: trained again, it goes on with them; the queue begins anew.
    """

    def check(self, model: Clip) -> None:
        self.check_model(model)

    def check_pairs(self, pairs: Pairs) -> None:
        self.check_data(pairs)

    def build(self, model: Clip, pairs: Pairs, seed: int) -> Declip:
        return self.begin(model, len(pairs), seed)

    def passes(self, state: Declip, epoch: int) -> Sequence[Pass]:
        return (self.whole_pass(state, self.image_views, self.caption_views, self.encoder(epoch), self.loss),)

    def loss(self, state: Declip, features: Features, batch: Batch) -> Terms:
        """The terms of DeCLIP's loss, each with its weight."""
        terms = self.terms(state, features)
        self.remember(state, features)
        return terms
