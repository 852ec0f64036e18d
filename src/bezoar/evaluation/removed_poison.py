"""How much of the poison a method has left out of training, and how much of what it left out was poison."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bezoar.core.settings import settings
from bezoar.evaluation.base import Evaluation, Evaluator

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from bezoar.attacks import Aim
    from bezoar.core.records import Measure
    from bezoar.data.pairs import LabeledSet, Pairs
    from bezoar.evaluation.base import Context
    from bezoar.models.clip import Clip

DROPPED = "dropped"
"""The diagnostic that a method offers: a tensor with the epoch before which each pair was dropped, -1 where it is in.

A method that takes pairs back tells what is dropped now. Pairs are those that it trains on, poison and all.
"""
PAIRS = "pairs"
"""What the measures are of, instead of a labeled set: the pairs of the training."""


@settings
class RemovedPoison(Evaluator):
    """``removed_recall``: share of the poison that was dropped; ``removed_precision``: share of the dropped that was
    poison.

    Each with what as many pairs drawn at random would have by chance, ``…_by_chance``: the share of all pairs that was
    dropped, and the share of all that is poison. It joins the plan by id, so it is for experiments that know it; the
    method does not. Where a method drops nothing, has not dropped anything yet, or no plan lies over its pairs, what
    cannot be told is left out.
    """

    kind: ClassVar[str] = "removed_poison"

    def evaluate(self, model: Clip, context: Context) -> Evaluation:
        import numpy as np
        import pyarrow as pa

        from bezoar.attacks.applied import Applied

        if DROPPED not in context.diagnostics or context.plan is None:
            return Evaluation((), {})
        assert context.pairs is not None
        applied, total = Applied(context.pairs, context.plan), context.plan.length
        dropped = _dropped(context.diagnostics[DROPPED], total)
        poison = np.fromiter((applied.row(index) is not None for index in range(total)), bool, total)
        told = np.flatnonzero(poison | (dropped >= 0))
        rows = pa.table({
            "id": pa.array([applied.id(index) for index in told.tolist()], pa.string()),
            "dropped": pa.array(dropped[told], pa.int32()),
            "poison": pa.array(poison[told]),
        }).replace_schema_metadata({"pairs": str(total)})  # fmt: skip
        return Evaluation(self.measure(rows, PAIRS), {PAIRS: rows})

    def measure(self, scores: pa.Table, data: str) -> tuple[Measure, ...]:
        """From the rows of all pairs that are poison, dropped, or both; the schema says how many pairs there are."""
        from bezoar.evaluation.tables import fact, to_measure
        from bezoar.metrics import wilson

        total = fact(scores, "pairs")
        dropped, poison = scores["dropped"].to_numpy() >= 0, scores["poison"].to_numpy()
        both = int((dropped & poison).sum())
        shares = (
            ("removed_recall", both, int(poison.sum())),
            ("removed_recall_by_chance", int(dropped.sum()), total),
            ("removed_precision", both, int(dropped.sum())),
            ("removed_precision_by_chance", int(poison.sum()), total),
        )
        return tuple(to_measure(metric, wilson(part, whole), data) for metric, part, whole in shares if whole)

    def expected(
        self, sets: Mapping[str, LabeledSet], held_out: Mapping[str, Pairs], aim: Aim
    ) -> Iterable[tuple[str, str]]:
        # Whether the method drops anything cannot be said before, and no model is to be chosen by it.
        return ()


def _dropped(told: object, total: int) -> NDArray[np.int64]:
    """The diagnostic as numbers; raises ``ValueError`` for one that is not an entry for each of ``total`` pairs."""
    import torch

    kinds = (torch.int8, torch.int16, torch.int32, torch.int64)
    if not isinstance(told, torch.Tensor) or told.shape != (total,) or told.dtype not in kinds:
        found = f"shape {tuple(told.shape)} of {told.dtype}" if isinstance(told, torch.Tensor) else repr(told)
        raise ValueError(
            f"removed_poison: the method's diagnostic '{DROPPED}' must be a whole number for each of the {total} "
            f"pairs, got {found}"
        )
    numbers: NDArray[np.int64] = told.cpu().long().numpy()
    return numbers
