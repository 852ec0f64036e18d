"""Retrieval: does a caption find its picture, and a picture one of its captions? (Radford et al. 2021, table 13)

The clean measure of data that has captions and no classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bezoar.core.records import Measure
from bezoar.core.settings import settings
from bezoar.evaluation.base import Evaluation, Evaluator, Rank

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow as pa
    from torch import Tensor

    from bezoar.attacks import Aim
    from bezoar.core.frame import Frame
    from bezoar.data.pairs import LabeledSet, Pairs
    from bezoar.evaluation.base import Context
    from bezoar.evaluation.pictures import HeldOut
    from bezoar.models.clip import Clip


@settings
class Retrieval(Evaluator):
    """``text_recall_topK``: share of pictures that have one of their own captions among the K nearest of all captions.
    ``image_recall_topK``: share of captions that have their picture among the K nearest of all pictures.

    On the held-out pairs of the experiment, all of them in one pool: a smaller pool is easier.
    """

    kind: ClassVar[str] = "retrieval"
    top: tuple[Rank, ...] = (1, 5, 10)

    def evaluate(self, model: Clip, context: Context) -> Evaluation:
        import torch

        from bezoar.metrics import retrieval_ranks

        scores = {}
        for name, held in context.held_out.items():
            images, texts = context.held_out_features(model, name)
            ranks = retrieval_ranks(images, texts, torch.tensor(held.pictures))
            scores[name] = _table(held, ranks.texts, ranks.images)
        return Evaluation(tuple(m for name, rows in scores.items() for m in self.measure(rows, name)), scores)

    def expected(
        self, sets: Mapping[str, LabeledSet], held_out: Mapping[str, Pairs], aim: Aim
    ) -> Iterable[tuple[str, str]]:
        from bezoar.data.prepared import count
        from bezoar.metrics import choices

        pools = [
            (name, metric, pool)
            for name, pairs in held_out.items()
            for metric, pool in (("text_recall", len(pairs)), ("image_recall", count(pairs)))
        ]
        return [(name, f"{metric}_top{k}") for name, metric, pool in pools for k in choices(self.top, pool)]

    def check(self, sets: Mapping[str, LabeledSet], held_out: Mapping[str, Pairs], aim: Aim, frame: Frame) -> None:
        if not held_out:
            raise ValueError("evaluators: retrieval needs held-out pairs, and there are none: name some in held_out")

    def measure(self, scores: pa.Table, data: str) -> tuple[Measure, ...]:
        import pyarrow.compute as pc

        from bezoar.evaluation.tables import column, fact, to_measure
        from bezoar.metrics import choices, recall

        found: list[Measure] = []
        pool = {"image": fact(scores, "texts"), "text": fact(scores, "images")}
        for query, metric in (("image", "text_recall"), ("text", "image_recall")):
            ranks = column(scores.filter(pc.equal(scores["query"], query)), "rank")
            for k in choices(self.top, pool[query]):
                interval = recall(ranks, k, fact(scores, "images"))
                found.append(to_measure(f"{metric}_top{k}", interval, data))
        return tuple(found)


def _table(held: HeldOut, texts: Tensor, images: Tensor) -> pa.Table:
    """One row a query: its id, whether a picture or a caption asks, and the rank of the answer."""
    import pyarrow as pa

    asks = ["image"] * len(texts) + ["text"] * len(images)
    ids = [held.pairs.id(index) for index in (*held.firsts, *range(len(images)))]
    rows = {"id": ids, "query": asks, "rank": pa.array([*texts.tolist(), *images.tolist()], pa.int32())}
    return pa.table(rows).replace_schema_metadata({"images": str(len(texts)), "texts": str(len(images))})
