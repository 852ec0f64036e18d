"""Retrieval: does a caption find its picture, and a picture one of its captions? (Radford et al. 2021, table 13)

The clean measure of data that has captions and no classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bezoar.core.records import Measure
from bezoar.core.settings import settings
from bezoar.evaluation.base import CHUNK, Evaluation, Evaluator, Rank

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from torch import Tensor

    from bezoar.attacks import Aim
    from bezoar.data.pairs import LabeledSet, Pairs
    from bezoar.evaluation.base import Context, HeldOut
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
        from bezoar.metrics import retrieval_ranks

        scores = {}
        for name, held in context.held_out.items():
            pictures = held.pictures()
            images, texts = features(model, context, held, pictures)
            ranks = retrieval_ranks(images, texts, _tensor(pictures))
            scores[name] = _table(held, pictures, ranks.texts, ranks.images)
        return Evaluation(tuple(m for name, rows in scores.items() for m in self.measure(rows, name)), scores)

    def check(self, sets: Mapping[str, LabeledSet], held_out: Mapping[str, Pairs], aim: Aim, size: int) -> None:
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


def features(model: Clip, context: Context, held: HeldOut, pictures: list[int]) -> tuple[Tensor, Tensor]:
    """L2-normalized features of each picture, once, and of each caption, on the CPU."""
    import torch

    first = {picture: index for index, picture in reversed(list(enumerate(pictures)))}
    order = [first[picture] for picture in range(len(first))]
    starts = range(0, len(order), CHUNK)
    chunks = ((torch.stack([held.prepared[i] for i in order[start : start + CHUNK]]),) for start in starts)
    (images,) = context.encode_pictures(model, chunks)
    texts = context.encode_captions(model, [held.pairs.caption(i) for i in range(len(held.pairs))])
    return images.cpu(), texts.cpu()


def _tensor(values: list[int]) -> Tensor:
    import torch

    return torch.tensor(values)


def _table(held: HeldOut, pictures: list[int], texts: Tensor, images: Tensor) -> pa.Table:
    """One row a query: its id, whether a picture or a caption asks, and the rank of the answer."""
    import pyarrow as pa

    first = {picture: held.pairs.id(index) for index, picture in reversed(list(enumerate(pictures)))}
    asks = ["image"] * len(texts) + ["text"] * len(images)
    ids = [first[n] for n in range(len(texts))] + [held.pairs.id(i) for i in range(len(images))]
    rows = {"id": ids, "query": asks, "rank": pa.array([*texts.tolist(), *images.tolist()], pa.int32())}
    return pa.table(rows).replace_schema_metadata({"images": str(len(texts)), "texts": str(len(images))})
