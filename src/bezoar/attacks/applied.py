"""Pairs as an attacker leaves them: which pair stands where under a plan, with which picture and which caption."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from bezoar.data.images import fit, load, to_tensor
from bezoar.data.pairs import check_caption

if TYPE_CHECKING:
    from collections.abc import Callable, Set

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from bezoar.attacks.base import Stage
    from bezoar.attacks.plan import Mark, PoisonPlan, PoisonRow
    from bezoar.core.frame import Frame
    from bezoar.data.pairs import Images, Pairs
    from bezoar.data.prepared import Pictures


class Applied:
    """``pairs`` under ``plan``: pairs in their order, poisoned ones in their places, appended ones at the end.

    Raises ``ValueError`` when the plan was made for other pairs.
    """

    def __init__(self, pairs: Pairs, plan: PoisonPlan) -> None:
        if plan.source != pairs.fingerprint:
            raise ValueError(
                f"poison: the plan was made for pairs {plan.source}, these are {pairs.fingerprint}: plan again"
            )
        self.pairs, self.plan = pairs, plan
        self._kept = _kept(plan) if plan.size is not None else None

    def __len__(self) -> int:
        return self.plan.length

    def row(self, index: int) -> PoisonRow | None:
        """What the plan does to pair ``index``; ``None`` where it is clean."""
        place = self._place(index)
        return (
            self.plan.appended[place - self.plan.total] if place >= self.plan.total else self.plan.replaced.get(place)
        )

    def id(self, index: int) -> str:
        """The id of pair ``index``; appended ones have new ids."""
        place = self._place(index)
        return self.plan.appended[place - self.plan.total].id if place >= self.plan.total else self.pairs.id(place)

    def caption(self, index: int) -> str:
        """The caption of pair ``index``."""
        row = self.row(index)
        if row is not None:
            return row.caption
        place = self._place(index)
        return check_caption(self.pairs.caption(place), "pairs", self.pairs.id(place))

    def picture(self, index: int, prepared: Pictures) -> Tensor:
        """The picture of pair ``index`` before any view: uint8 ``[3, S, S]``, the size of ``prepared``.

        A trigger that is put on after a view's random crop is not on it yet.
        """
        row = self.row(index)
        if row is None:
            return prepared[self._place(index)]
        mark = self._mark(row)
        if mark is not None and mark.stage == "file":
            return fit(mark.trigger.apply(self.native(row), row.image), prepared.frame)
        own = row.images is None
        clean = prepared[row.index] if own else load(self._source(row), row.index, prepared.frame)
        return on_model(mark, clean, row.image) if mark is not None and mark.stage == "model" else clean

    def after_crop(self, index: int) -> Callable[[Tensor], Tensor] | None:
        """What is put on pair ``index`` after a view's random crop, where something is."""
        row = self.row(index)
        mark = self._mark(row) if row is not None else None
        if row is None or mark is None or mark.stage != "after_random_crop":
            return None
        return functools.partial(mark.trigger.apply, image_id=row.image)

    def check_copy(self) -> None:
        """Raise ``ValueError`` for a plan that no copy in files can hold."""
        refuse_uncopied({mark.stage for mark in self.plan.marks})

    def stored(self, index: int, frame: Frame) -> Tensor:
        """The picture of pair ``index`` as a file of a poisoned copy holds it: uint8 ``[3, H, W]``.

        Where the plan's triggers are put on at native size all pictures keep theirs; else all are the
        ``[3, size, size]`` that training makes of them on the fly, for a model of ``frame``.
        """
        row, on_file = self.row(index), any(mark.stage == "file" for mark in self.plan.marks)
        if row is None:
            place = self._place(index)
            return to_tensor(self.pairs.image(place)) if on_file else load(self.pairs, place, frame)
        mark = self._mark(row)
        clean = self.native(row) if on_file else load(self._source(row), row.index, frame)
        if mark is None:
            return clean
        return mark.trigger.apply(clean, row.image) if on_file else on_model(mark, clean, row.image)

    def _source(self, row: PoisonRow) -> Images:
        """Where the picture of ``row`` is."""
        return self.pairs if row.images is None else self._gallery(row.images)

    def native(self, row: PoisonRow) -> Tensor:
        """The clean picture that ``row`` shows, at its native size: uint8 ``[3, H, W]``."""
        images = self._source(row)
        assert images.id(row.index) == row.image, (images.id(row.index), row.image)
        return to_tensor(images.image(row.index))

    def _mark(self, row: PoisonRow) -> Mark | None:
        return None if row.mark is None else self.plan.marks[row.mark]

    def _place(self, index: int) -> int:
        """Position in the pairs; behind their last, one of the appended rows."""
        return index if self._kept is None else int(self._kept[index])

    @functools.cached_property
    def _galleries(self) -> dict[int, Images]:
        return {}

    def _gallery(self, number: int) -> Images:
        if number not in self._galleries:
            self._galleries[number] = self.plan.images[number].open()
        return self._galleries[number]


def refuse_uncopied(stages: Set[Stage]) -> None:
    """Raise ``ValueError`` where triggers that are put on at ``stages`` cannot be in the files of one copy."""
    if "after_random_crop" in stages:
        raise ValueError(
            "stage: a trigger that is put on after the random crop is never in a file, and cannot be materialized"
        )
    if len(stages) > 1:
        raise ValueError(
            "stage: some triggers are put on at native size and some at the model's: the sizes of the pictures "
            "would tell them apart, so the plan cannot be materialized"
        )


def _kept(plan: PoisonPlan) -> NDArray[np.int64]:
    """Which places are in a poisoned set that leaves clean pairs out: all poison, and as many others as fit."""
    import numpy as np
    import torch

    from bezoar.core.seeds import torch_generator

    assert plan.size is not None
    order = torch.randperm(plan.total, generator=torch_generator(plan.seed, "kept")).numpy()
    poison = np.fromiter(plan.replaced, np.int64, len(plan.replaced))
    clean = order[~np.isin(order, poison)][: plan.size - len(plan.rows)]
    places = np.sort(np.concatenate([clean, poison]))
    return np.concatenate([places, np.arange(plan.total, plan.total + len(plan.appended))])


def put_on(images: Images, index: int, frame: Frame, mark: Mark) -> Tensor:
    """Picture ``index`` at model resolution under ``mark``, as at test time: uint8 ``[3, size, size]``."""
    native = to_tensor(images.image(index))
    if mark.stage == "file":
        return fit(mark.trigger.apply(native, images.id(index)), frame)
    return on_model(mark, fit(native, frame), images.id(index))


def on_model(mark: Mark, image: Tensor, image_id: str) -> Tensor:
    """``image`` at model resolution with the trigger on it; raises ``ValueError`` for one that reshapes it."""
    triggered = mark.trigger.apply(image, image_id)
    if triggered.shape != image.shape:
        raise ValueError(
            f"stage: trigger '{mark.trigger.kind}' makes pictures of {triggered.shape[-1]}×{triggered.shape[-2]} px, "
            f"as the released code did: put it on at stage 'file', not '{mark.stage}'"
        )
    return triggered
