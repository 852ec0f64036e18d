"""Poison in a labeled set: triggered pictures of other classes with the label of the target (CleanCLIP's 1,000)."""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING, ClassVar

from bezoar.attacks.choosing import Rate, without
from bezoar.attacks.plan import PoisonPlan, PoisonRow
from bezoar.attacks.triggered import Triggered
from bezoar.core.settings import digest, settings
from bezoar.data.captioned import WORDING, Captioned, CaptionedLabels
from bezoar.data.class_names import twins
from bezoar.data.pairs import class_index

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.attacks.choosing import Numbers
    from bezoar.core.frame import Frame
    from bezoar.data.pairs import LabeledSet, Pairs
    from bezoar.data.prepared import Pictures

_CLASSES = 30_000
"""No labeled set has as many classes: the largest ImageNet has 21,841."""


@settings
class Labels(Triggered):
    """``count`` pictures of other classes, or a share ``rate`` of all, get a trigger and the label ``target``.

    The pairs must be a labeled set whose captions are the class names, ``LabelPairs``.
    """

    kind: ClassVar[str] = "labels"
    rate: Rate = 0.02
    """Share of all pictures, CleanCLIP's 1,000 of 50,000; used where ``count`` is not given."""

    def plan(self, pairs: Pairs, seed: int, taken: Set[str] = frozenset()) -> PoisonPlan:
        import numpy as np

        labels, classes = _labels(pairs)
        target = class_index(self.target, classes, "attack.target")
        candidates = without(pairs, np.flatnonzero(labels != target), taken)
        why = f"of {len(pairs)} pictures are free and of another class than '{self.target}'"
        rows = [
            PoisonRow(
                id=pairs.id(index), role="labels", target=self.target, original=pairs.caption(index),
                caption=self.target, image=pairs.id(index), index=index, mark=0,
            )
            for index in self.drawn(candidates, self.wanted(pairs), seed, why)
        ]  # fmt: skip
        return self.poisoned(pairs, seed, rows)


def _labels(pairs: Pairs) -> tuple[Numbers, tuple[str, ...]]:
    """Which of the different captions each pair has, and these; ``ValueError`` for captions that are no labels."""
    import numpy as np

    numbers: dict[str, int] = {}
    found = np.empty(len(pairs), np.int64)
    for index in range(len(pairs)):
        found[index] = numbers.setdefault(pairs.caption(index), len(numbers))
        if len(numbers) > _CLASSES:
            raise ValueError(
                f"attack: 'labels' poisons labeled sets, and these pairs have more than {_CLASSES:,} different "
                "captions: make them of one with {kind: labels, of: …}"
            )
    return found, tuple(numbers)


class PoisonedLabels:
    """A labeled set under a plan made for it as pairs: some labels changed, some pictures with a trigger.

    Not a ``LabeledSet``: a trigger that is put on after resize and crop is on no picture of native size.
    """

    def __init__(self, labeled: LabeledSet, plan: PoisonPlan) -> None:
        """Raises ``ValueError`` when the plan was made for another set, or says of a picture what is no class."""
        from bezoar.attacks.applied import Applied

        if plan.appended or plan.size is not None:
            raise ValueError("poison: a labeled set keeps its pictures: this plan adds some or leaves some out")
        self._labeled = labeled
        self._applied = Applied(CaptionedLabels(labeled, WORDING, Captioned.seed), plan)
        self.classes, self.templates = labeled.classes, labeled.templates
        self.fingerprint = digest("poisoned labels", 1, labeled.fingerprint, plan.digest)
        double = set(twins(self.classes))
        for row in plan.rows:
            if row.caption in double:
                raise ValueError(f"poison: two classes are called '{row.caption}': their names cannot tell them apart")
        self._changed = {row.index: class_index(row.caption, self.classes, "poison") for row in plan.rows}

    def __len__(self) -> int:
        return len(self._labeled)

    def id(self, index: int) -> str:
        """The id of picture ``index``."""
        return self._labeled.id(index)

    def label(self, index: int) -> int:
        """Index of what the set says is the picture's class, in ``classes``."""
        return self._changed.get(index, self._labeled.label(index))

    def picture(self, index: int, prepared: Pictures) -> Tensor:
        """Picture ``index`` before any view: uint8 ``[3, S, S]``, the size of ``prepared``."""
        return self._applied.picture(index, prepared)

    def stored(self, index: int, frame: Frame) -> Tensor:
        """Picture ``index`` as a file would hold it for a model of ``frame``: uint8 ``[3, H, W]``."""
        return self._applied.stored(index, frame)
