"""How much poison is among the pairs that a method holds for safe, and how well cosines tell it from clean pairs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar

from bezoar.core.settings import settings
from bezoar.evaluation.base import Evaluation, Evaluator
from bezoar.evaluation.removed_poison import PAIRS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    import pyarrow as pa
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from bezoar.attacks import Aim
    from bezoar.core.records import Measure
    from bezoar.data.pairs import LabeledSet, Pairs
    from bezoar.evaluation.base import Context
    from bezoar.metrics import Interval
    from bezoar.models.clip import Clip
    from bezoar.training.method import Diagnostics

SAFE, COSINE, MIXTURE = "safe", "cosine", "mixture"
"""The diagnostics that a method offers once it has split its pairs, poison and all: which it holds for safe (``bool`` a
pair) and the cosine of image and caption by which it does (``float`` a pair); of the two normal distributions that it
has fitted to the cosines, where it has, weight, mean and variance (``float [2, 3]``), the one of larger mean last."""
PICTURES = "poisoned_pictures"
"""In the table's metadata: the pictures that the poisoned pairs show; a targeted attack gives one many captions."""
BINS = 1000
"""Bins of a cosine of 1: far narrower than any cosines are spread."""


@settings
class SafeSet(Evaluator):
    """``safe_share``: share of the pairs that the method holds for safe; of these ``poison_in_safe`` is poison.

    ``poison_in_safe_by_chance`` is the share of all pairs that is poison, ``poison_called_safe`` the share of the
    poison that is held for safe, to be read against ``safe_share``. ``cosine_auroc`` is how often a clean pair has a
    higher cosine than a poisoned one, where pairs in one bin of a thousandth count half. The intervals of these count
    poisoned pictures, not pairs: the pairs of one picture are not independent. It joins the plan by id, so it is for
    experiments that know it; the method does not. Without a plan there is ``safe_share`` alone, and nothing where the
    method has not split its pairs.
    """

    kind: ClassVar[str] = "safe_set"

    def evaluate(self, model: Clip, context: Context) -> Evaluation:
        if SAFE not in context.diagnostics:
            return Evaluation((), {})
        assert context.pairs is not None
        total = context.plan.length if context.plan is not None else len(context.pairs)
        safe, cosine = _told(context.diagnostics, total)
        rows = _histogram(safe, cosine, *_poison(context, total), _mixture(context.diagnostics))
        return Evaluation(self.measure(rows, PAIRS), {PAIRS: rows})

    def measure(self, scores: pa.Table, data: str) -> tuple[Measure, ...]:
        """From a row for each bin of cosines that has pairs: how many are safe and risky, and of these are poison."""
        from bezoar.evaluation.tables import fact, to_measure
        from bezoar.metrics import auroc, wilson
        from bezoar.metrics.intervals import of_share

        safe, risky = (scores[name].to_numpy() for name in ("safe", "risky"))
        shares = [("safe_share", safe.sum(), (safe + risky).sum())]
        known = "poison_safe" in scores.column_names
        if known:
            caught, missed = scores["poison_risky"].to_numpy(), scores["poison_safe"].to_numpy()
            poison = caught + missed
            shares.append(("poison_in_safe_by_chance", poison.sum(), (safe + risky).sum()))
        measures = [to_measure(name, wilson(int(part), int(whole)), data) for name, part, whole in shares if whole]
        if known and poison.sum():
            pictures = fact(scores, PICTURES)
            called = of_share(int(missed.sum()) / int(poison.sum()), pictures)
            measures.append(to_measure("poison_called_safe", called, data))
            if safe.sum():
                within = _within(called, int(poison.sum()), int((safe - missed).sum()))
                measures.append(to_measure("poison_in_safe", within, data))
            if poison.sum() < (safe + risky).sum():
                area = auroc(safe + risky - poison, poison)
                measures.append(to_measure("cosine_auroc", of_share(area.value, min(area.n, pictures)), data))
        return tuple(measures)

    def expected(
        self, sets: Mapping[str, LabeledSet], held_out: Mapping[str, Pairs], aim: Aim
    ) -> Iterable[tuple[str, str]]:
        # Whether the method splits its pairs cannot be said before, and no model is to be chosen by it.
        return ()


def _within(called: Interval, poison: int, clean: int) -> Interval:
    """The share of the safe pairs that is poison, from that of the ``poison`` called safe beside ``clean`` safe pairs.

    Which poison is called safe is what another draw of the poison would change, so its interval is carried over.
    """
    value, low, high = (end * poison / (end * poison + clean) if end else 0.0 for end in called[:3])
    return called._replace(value=value, low=low, high=high)


def _histogram(
    safe: NDArray[np.bool_],
    cosine: NDArray[np.float64],
    poison: NDArray[np.bool_] | None,
    pictures: int,
    mixture: list[list[float]] | None,
) -> pa.Table:
    """``bin``: cosines in [bin, bin + 1) / BINS; ``safe`` and ``risky`` pairs there; with a plan, poison of both."""
    import numpy as np
    import pyarrow as pa

    bins, place = np.unique(np.floor(cosine * BINS).astype(np.int32), return_inverse=True)

    def count(which: NDArray[np.bool_]) -> pa.Array:
        return pa.array(np.bincount(place[which], minlength=len(bins)), pa.int64())

    facts: dict[str, str] = {}
    columns = {"bin": pa.array(bins, pa.int32()), "safe": count(safe), "risky": count(~safe)}
    if poison is not None:
        columns |= {"poison_safe": count(safe & poison), "poison_risky": count(~safe & poison)}
        facts[PICTURES] = str(pictures)
    facts |= {"bins": str(BINS)} | ({MIXTURE: json.dumps(mixture)} if mixture is not None else {})
    return pa.table(columns).replace_schema_metadata(facts)


def _poison(context: Context, total: int) -> tuple[NDArray[np.bool_] | None, int]:
    """Which pairs are poison, as far as that is known, and how many pictures they show."""
    import numpy as np

    from bezoar.attacks.applied import Applied
    from bezoar.data.pairs import SharesPictures

    if context.plan is None:
        return None, 0
    pairs = context.pairs
    assert pairs is not None
    applied = Applied(pairs, context.plan)
    rows = [applied.row(index) for index in range(total)]
    # By what a source holds: of several attacks two may show pictures of one.
    told = [
        (images.fingerprint, images.picture if isinstance(images, SharesPictures) else int)
        for images in (pairs, *(gallery.open() for gallery in context.plan.images))
    ]
    shown = [(told[0 if row.images is None else 1 + row.images], row.index) for row in rows if row]
    pictures = {(name, number(index)) for (name, number), index in shown}
    return np.array([row is not None for row in rows], bool), len(pictures)


def _told(diagnostics: Diagnostics, total: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Safe and cosine of each pair; raises ``ValueError`` for what is none."""
    import torch

    safe = _each(diagnostics.get(SAFE), SAFE, "true or false", total, torch.bool)
    cosine = _each(diagnostics.get(COSINE), COSINE, "a finite number", total, torch.float32, torch.float64)
    return safe.cpu().numpy(), cosine.double().cpu().numpy()


def _each(told: object, name: str, what: str, total: int, *kinds: torch.dtype) -> Tensor:
    """A diagnostic that has an entry for each of ``total`` pairs."""
    import torch

    found = repr(told)
    if isinstance(told, torch.Tensor):
        if told.shape == (total,) and told.dtype in kinds and bool(told.isfinite().all()):
            return told
        found = f"shape {tuple(told.shape)} of {told.dtype}"
    raise ValueError(
        f"safe_set: the method's diagnostic '{name}' must be {what} for each of the {total} pairs, got {found}"
    )


def _mixture(diagnostics: Diagnostics) -> list[list[float]] | None:
    import torch

    told = diagnostics.get(MIXTURE)
    if told is None:
        return None
    if not isinstance(told, torch.Tensor) or told.shape != (2, 3):
        raise ValueError(f"safe_set: the method's diagnostic '{MIXTURE}' must be of shape (2, 3), got {told!r}")
    found: list[list[float]] = told.double().cpu().tolist()
    return found
