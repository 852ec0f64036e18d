"""Does the trigger reach the model, and does it show? What is left of it after the geometry, the views, the cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

from bezoar.core.seeds import stream_seed

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.attacks.applied import Applied
    from bezoar.attacks.plan import Mark, PoisonPlan, PoisonRow
    from bezoar.core.frame import Frame
    from bezoar.data.views import ImageView
    from bezoar.models.tokenizer import Tokenizer

VISIBLE = 4
"""Grey levels by which a pixel must differ to count as changed, where a trigger changes any by more."""


@dataclass(frozen=True, kw_only=True)
class Survival:
    """Over the poisoned pairs looked at: what of the trigger reaches the model, and how much it changes pictures."""

    mean: float | None = None
    """Mean share of the area that the attacker changed; ``None``, here and below, where no picture is changed."""
    minimum: float | None = None
    zero: float | None = None
    """Share of images on which nothing of the trigger is left."""
    n: int = 0
    """Images looked at."""
    under_views: float | None = None
    """Mean share after the method's random views; ``None`` where it was not measured."""
    psnr: float | None = None
    """Mean over the changed images of the peak signal-to-noise ratio at model resolution, in dB."""
    ssim: float | None = None
    """Mean structural similarity (Wang et al. 2004), at model resolution."""
    linf: float | None = None
    """Largest change of any pixel in grey levels, 0 to 255; mean over images."""
    words: float | None = None
    """Share of the captions with words in them in which the tokenizer leaves the words whole."""
    captions: int = 0
    """Captions looked at."""
    each: tuple[Survival, ...] = ()
    """The same for each trigger, where there are several."""

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Survival:
        """From what ``poison.json`` holds; raises ``TypeError`` for what is none."""
        known = {field.name for field in fields(cls)}
        if not set(data) <= known:
            raise TypeError(f"survival: unknown {', '.join(sorted(set(data) - known))}")
        return cls(**{**data, "each": tuple(map(cls.parse, data.get("each", ())))})


class _Look(NamedTuple):
    """What was seen of one poisoned picture."""

    share: float
    viewed: float | None
    psnr: float
    ssim: float
    linf: float


def measure(
    applied: Applied,
    frame: Frame,
    view: ImageView | None = None,
    tokenizer: Tokenizer | None = None,
    limit: int = 256,
) -> Survival:
    """Survival of the plan's triggers in what a model of ``frame`` gets, on ``limit`` victims spread over the plan.

    The share is the area that the attacker changed and that is still to be seen in the model's input, over all the
    area that the attacker changed, both in pixels of the resized picture. Under a view, which may move it and change
    what is beside it, all that is to be seen counts, up to a share of 1. Words survive where the caption that
    ``tokenizer`` leaves holds the whole of them.
    """
    plan = applied.plan
    if not plan.rows:
        raise ValueError("poison: the plan has no pairs")
    rows = _sample(plan, limit)
    looks: dict[int, list[_Look]] = {number: [] for number in range(len(plan.marks))}
    for row in rows:
        if row.mark is not None:
            looks[row.mark].append(_look(applied, row, frame, view))
    read = [
        plan.words[row.words].survives(tokenizer.read(row.caption))
        for row in rows
        if row.words is not None and tokenizer is not None
    ]
    whole = _sum_up([look for found in looks.values() for look in found], read)
    several = len(looks) > 1
    return whole if not several else _with_each(whole, tuple(_sum_up(found, ()) for found in looks.values()))


def _sample(plan: PoisonPlan, limit: int) -> list[PoisonRow]:
    """About ``limit`` rows: as many for every mark, so that a rare one is not passed over, spread over the plan."""
    kinds: dict[int | None, list[PoisonRow]] = {}
    for row in plan.rows:
        kinds.setdefault(row.mark, []).append(row)
    share = -(-limit // len(kinds))
    return [
        rows[i * len(rows) // count] for rows in kinds.values() for count in [min(share, len(rows))]
        for i in range(count)
    ]  # fmt: skip


def look_at(native: Tensor, image_id: str, mark: Mark, frame: Frame) -> Seen:
    """One picture at its native size, uint8 ``[3, H, W]``, as a model of ``frame`` gets it under ``mark``."""
    from bezoar.attacks.applied import on_model
    from bezoar.data.images import fit, resize
    from bezoar.metrics import linf

    if mark.stage != "file":
        clean = fit(native, frame)
        _check_pure(mark, clean, image_id)
        triggered = on_model(mark, clean, image_id)
        written = float(_changed(clean, triggered).sum())
        return Seen(clean, triggered, written, written)
    _check_pure(mark, native, image_id)
    canvas, changed = mark.trigger.canvas(native), mark.trigger.apply(native, image_id)
    clean, triggered = fit(canvas, frame), fit(changed, frame)
    # Through the same geometry goes where it was written: the filter blurs what is to be seen beyond that.
    area = _changed(canvas, changed).to(clean.dtype) * 255
    seen = _changed(clean, triggered, VISIBLE if linf(canvas, changed) > VISIBLE else 0)
    return Seen(clean, triggered, float(resize(area, frame).sum()) / 255, float(fit(area, frame)[seen].sum()) / 255)


def _check_pure(mark: Mark, image: Tensor, image_id: str) -> None:
    """Raise ``ValueError`` for a trigger that is no pure function of uint8 pictures, as one from outside may be."""
    import torch

    given = image.clone()
    first = mark.trigger.apply(given, image_id)
    if not torch.equal(given, image):
        raise ValueError(
            f"attack.trigger: '{mark.trigger.kind}' changes the picture it is given: it must make a new one"
        )
    if first.dtype != torch.uint8 or first.ndim != 3 or first.shape[0] != 3:
        raise ValueError(
            f"attack.trigger: '{mark.trigger.kind}' must give uint8 [3, height, width], got {first.dtype} "
            f"{list(first.shape)}"
        )
    if not torch.equal(first, mark.trigger.apply(image.clone(), image_id)):
        raise ValueError(
            f"attack.trigger: '{mark.trigger.kind}' draws differently each time: let it draw from a stream of "
            "bezoar.core.seeds, named by its seed and the id"
        )


class Seen(NamedTuple):
    """One picture without and with its trigger at model resolution."""

    clean: Tensor
    triggered: Tensor
    written: float
    """Pixels of the resized picture that the attacker changed."""
    reaching: float
    """Pixels of them that the model gets."""

    @property
    def share(self) -> float:
        """The share of what was changed that reaches the model."""
        return self.reaching / self.written if self.written else 0.0


def _look(applied: Applied, row: PoisonRow, frame: Frame, view: ImageView | None) -> _Look:
    from bezoar.metrics import linf, psnr, ssim

    assert row.mark is not None
    mark = applied.plan.marks[row.mark]
    seen = look_at(applied.native(row), row.image, mark, frame)
    clean, triggered = seen.clean, seen.triggered
    seed = stream_seed(applied.plan.seed, "survival", row.id)
    return _Look(
        seen.share, _viewed(mark, seen, view, seed, row.image), psnr(clean, triggered), ssim(clean, triggered),
        linf(clean, triggered),
    )  # fmt: skip


def _viewed(mark: Mark, seen: Seen, view: ImageView | None, seed: int, image_id: str) -> float | None:
    """The share that is left after one random view."""
    if view is None:
        return None
    if mark.stage == "after_random_crop":
        after = view.apply(seen.clean, seed, lambda picture: mark.trigger.apply(picture, image_id))
    else:
        after = view.apply(seen.triggered, seed)
    left = float(_changed(view.apply(seen.clean, seed), after, VISIBLE).sum())
    return min(1.0, left / seen.written) if seen.written else 0.0


def _changed(clean: Tensor, triggered: Tensor, least: int | None = None) -> Tensor:
    """Where the trigger is to be seen: bool ``[1, height, width]``; changes of up to ``least`` levels do not count.

    By default these are ``VISIBLE``, and none where the whole trigger is as faint as that.
    """
    change = (clean.int() - triggered.int()).abs().amax(dim=0, keepdim=True)
    if least is None:
        least = VISIBLE if int(change.max()) > VISIBLE else 0
    return change > least


def _sum_up(looks: Sequence[_Look], read: Sequence[bool]) -> Survival:
    words = sum(read) / len(read) if read else None
    if not looks:
        return Survival(words=words, captions=len(read))
    shares = [look.share for look in looks]
    viewed = [look.viewed for look in looks if look.viewed is not None]
    seen = [look for look in looks if look.linf]
    return Survival(
        mean=sum(shares) / len(shares), minimum=min(shares), zero=sum(s == 0 for s in shares) / len(shares),
        n=len(shares), under_views=sum(viewed) / len(viewed) if viewed else None,
        psnr=sum(look.psnr for look in seen) / len(seen) if seen else None,
        ssim=sum(look.ssim for look in looks) / len(looks),
        linf=sum(look.linf for look in looks) / len(looks), words=words, captions=len(read),
    )  # fmt: skip


def _with_each(whole: Survival, each: tuple[Survival, ...]) -> Survival:
    from dataclasses import replace

    return replace(whole, each=each)


def refuse_dead(survival: Survival, allow: bool) -> None:
    """Raise ``ValueError`` when nothing of a trigger reaches the model on anything looked at, unless ``allow``."""
    if allow:
        return
    for number, one in enumerate(survival.each or (survival,)):
        if one.zero == 1:
            which = f"trigger {number + 1}" if survival.each else "the trigger"
            raise ValueError(
                f"attack.trigger: no pixel of {which} reaches the model on any of {one.n} poisoned images "
                "(it is cropped away or invisible); move it, set stage to 'model', or set allow_dead_trigger"
            )
    if survival.words == 0:
        raise ValueError(
            f"attack.words: the words are whole in none of {survival.captions} poisoned captions as the model reads "
            "them (they are cut off); put them at the start, or set allow_dead_trigger"
        )
