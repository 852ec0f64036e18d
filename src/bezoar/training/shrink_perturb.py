"""Shrink and perturb: a trained model made a little random before it is trained on (Ash and Adams 2020, §4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bezoar.core.settings import Settings, settings

if TYPE_CHECKING:
    from bezoar.models.clip import Clip


@settings
class ShrinkPerturb(Settings):
    """``p ← shrink · p + perturb · p0`` for every parameter, the logit scale among them; p0 is of a fresh model.

    Before the first step, with the defaults of "Effective Backdoor Mitigation Depends on the Pre-training Objective".
    Running statistics of normalizations stay as they are, and so do parameters that are not trained.
    """

    shrink: Annotated[float, Field(ge=0, le=1)] = 0.95
    """What is left of each weight; 1 is all of it."""
    perturb: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-4
    """How much of a fresh initialization is added."""

    def apply(self, model: Clip, seed: int) -> None:
        """Change the trainable parameters of ``model`` in place; the fresh ones depend on ``seed`` alone."""
        import torch

        from bezoar.core.seeds import stream_seed
        from bezoar.models.architecture import fresh

        # A stream of its own: from the seed of a victim of this run its very initialization would come back.
        others = dict(fresh(model, stream_seed(seed, "shrink and perturb")).named_parameters())
        with torch.no_grad():
            for name, weights in model.tower.named_parameters():
                if weights.requires_grad:
                    weights.mul_(self.shrink).add_(others[name].to(weights), alpha=self.perturb)
