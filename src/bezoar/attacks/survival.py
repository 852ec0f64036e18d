"""Does the trigger reach the model? The share of trigger pixels that is left after the geometry and the views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bezoar.core.seeds import stream_seed

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.attacks.plan import PoisonPlan
    from bezoar.data.pairs import Images
    from bezoar.data.views import ImageView

_VISIBLE = 4
"""Grey levels by which a pixel must differ to count as changed."""


@dataclass(frozen=True, kw_only=True)
class Survival:
    """Over the poisoned images looked at: the share of the trigger's area that reaches the model."""

    mean: float
    minimum: float
    zero: float
    """Share of images on which nothing of the trigger is left."""
    n: int
    under_views: float | None = None
    """Mean share after the method's random views; ``None`` where it was not measured."""


def _changed(clean: Tensor, triggered: Tensor) -> Tensor:
    """Where the trigger is to be seen: bool ``[1, height, width]``."""
    return (clean.int() - triggered.int()).abs().amax(dim=0, keepdim=True) > _VISIBLE


def measure(plan: PoisonPlan, images: Images, size: int, view: ImageView | None = None, limit: int = 256) -> Survival:
    """Survival of the plan's triggers at model resolution ``size``, on ``limit`` victims spread over the plan.

    The share is the area that the attacker changed and that is still to be seen in the model's input, over all the
    area that the attacker changed, both in pixels of the resized picture. Under a view, which may move it and change
    what is beside it, all that is to be seen counts, up to a share of 1.
    """
    from bezoar.data.images import fit, resize, to_tensor

    if not plan.rows:
        raise ValueError("poison: the plan has no pairs")
    index_of = plan.places(images)
    shares, viewed = [], []
    for row in plan.sample(limit):
        native = to_tensor(images.image(index_of[row.id]))
        clean = fit(native, size)
        triggered = plan.load(images, index_of[row.id], size)
        seen = _changed(clean, triggered)
        written = reaching = float(seen.sum())
        if plan.stage == "file":
            # Through the same geometry goes where it was written: the filter blurs what is to be seen beyond that.
            area = _changed(native, plan.triggers[row.trigger].apply(native, row.id)).to(clean.dtype) * 255
            written = float(resize(area, size).sum()) / 255
            reaching = float(fit(area, size)[seen].sum()) / 255
        shares.append(reaching / written if written else 0.0)
        if view is not None:
            seed = stream_seed(plan.seed, "survival", row.id)
            left = float(_changed(view.apply(clean, seed), view.apply(triggered, seed)).sum())
            viewed.append(min(1.0, left / written) if written else 0.0)
    return Survival(
        mean=sum(shares) / len(shares), minimum=min(shares), zero=sum(s == 0 for s in shares) / len(shares),
        n=len(shares), under_views=sum(viewed) / len(viewed) if viewed else None,
    )  # fmt: skip


def refuse_dead(survival: Survival, allow: bool) -> None:
    """Raise ``ValueError`` when no trigger pixel reaches the model on any image looked at, unless ``allow``."""
    if survival.zero == 1 and not allow:
        raise ValueError(
            f"attack.trigger: no pixel of the trigger reaches the model on any of {survival.n} poisoned images "
            "(it is cropped away or invisible); move it, set stage to 'model', or set allow_dead_trigger"
        )
