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


def _changed(clean: Tensor, triggered: Tensor) -> float:
    """Share of the image's area that the trigger changes."""
    difference = (clean.int() - triggered.int()).abs().amax(dim=0)
    return float((difference > _VISIBLE).float().mean())


def measure(plan: PoisonPlan, images: Images, size: int, view: ImageView | None = None, limit: int = 256) -> Survival:
    """Survival of the plan's triggers on its first ``limit`` victims at model resolution ``size``.

    The share is the changed area of the model's input, over the changed area of the picture the attacker wrote, both
    in pixels of the resized picture; above 1 (blur, interpolation) counts as 1.
    """
    from bezoar.data.images import fit, to_tensor

    index_of = {images.id(i): i for i in range(len(images))}
    missing = next((row.id for row in plan.rows if row.id not in index_of), None)
    if missing is not None:
        raise ValueError(f"poison: pair '{missing}' of the plan is not in these pairs (fingerprint {plan.source})")
    shares, viewed = [], []
    for row in plan.rows[:limit]:
        native = to_tensor(images.image(index_of[row.id]))
        clean = fit(native, size)
        triggered = plan.load(images, index_of[row.id], size)
        if plan.stage == "file":
            height, width = native.shape[-2:]
            written = _changed(native, plan.triggers[row.trigger].apply(native, row.id))
            # The crop keeps a square of the shorter side; the attacker's area is a share of the whole picture.
            written *= max(height, width) / min(height, width)
        else:
            written = _changed(clean, triggered)
        shares.append(min(1.0, _changed(clean, triggered) / written) if written else 0.0)
        if view is not None:
            seed = stream_seed(plan.seed, "survival", row.id)
            left = _changed(view.apply(clean, seed), view.apply(triggered, seed))
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
