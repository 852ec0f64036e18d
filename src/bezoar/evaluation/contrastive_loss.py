"""The contrastive loss of held-out pairs: whether a model still learns from pairs, or only remembers its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from bezoar.core.records import Measure
from bezoar.core.settings import settings
from bezoar.evaluation.base import Evaluation, Evaluator

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa
    from torch import Tensor

    from bezoar.attacks import Aim
    from bezoar.core.frame import Frame
    from bezoar.data.pairs import LabeledSet, Pairs
    from bezoar.evaluation.base import Context
    from bezoar.models.clip import Clip


@settings
class ContrastiveLoss(Evaluator):
    """``contrastive_loss``: symmetric InfoNCE of held-out pairs at the model's own scale, in nats; less is better.

    It is a mean over batches of ``batch_size`` pairs, and **depends on that number**: guessing costs
    ln(``batch_size``), 4.85 at 128. Losses of other batch sizes, and those of the training, cannot be compared with it.

    The order of the pairs is a shuffle that their ids decide: the same in every round, for every model and from
    whatever file, and the captions of one picture lie scattered. Where two pairs of one picture, or of one caption,
    fall into a batch all the same, each counts as a wrong answer for the other, as in training. What is left after the
    last whole batch is not used, unless it is all there is.

    The interval is Student's t over batches (over pairs where there is but one batch); it knows nothing of pairs that
    share a picture with those of another batch.
    """

    kind: ClassVar[str] = "contrastive_loss"
    batch_size: Annotated[int, Field(ge=2)] = 128

    def evaluate(self, model: Clip, context: Context) -> Evaluation:
        import pyarrow as pa
        import torch

        scores = {}
        for name, held in context.held_out.items():
            images, texts = context.held_out_features(model, name)
            pictures, scale = torch.tensor(held.pictures), model.scale.detach().float().cpu()
            ids = [held.pairs.id(index) for index in range(len(held.pairs))]
            batches = batches_of(ids, self.batch_size)
            losses = torch.stack([loss_of_each(images[pictures[batch]], texts[batch], scale) for batch in batches])
            if not torch.isfinite(losses).all():
                raise ValueError(f"contrastive_loss: the model gives losses that are not finite on '{name}'")
            scores[name] = pa.table({
                "id": [ids[index] for batch in batches for index in batch],
                "batch": pa.array([number for number, batch in enumerate(batches) for _ in batch], pa.int32()),
                "loss": pa.array(losses.flatten().numpy()),
            })  # fmt: skip
        return Evaluation(tuple(m for name, rows in scores.items() for m in self.measure(rows, name)), scores)

    def measure(self, scores: pa.Table, data: str) -> tuple[Measure, ...]:
        from bezoar.metrics import student_t

        losses = scores["loss"].to_numpy().astype("float64")
        means = losses.reshape(scores["batch"][-1].as_py() + 1, -1).mean(1)
        mean = student_t((means if len(means) > 1 else losses).tolist())
        low = max(0.0, mean.low)
        return (
            Measure(metric="contrastive_loss", value=mean.value, low=low, high=mean.high, n=len(losses), data=data),
        )

    def expected(
        self, sets: Mapping[str, LabeledSet], held_out: Mapping[str, Pairs], aim: Aim
    ) -> Iterable[tuple[str, str]]:
        return [(name, "contrastive_loss") for name in held_out]

    def check(self, sets: Mapping[str, LabeledSet], held_out: Mapping[str, Pairs], aim: Aim, frame: Frame) -> None:
        if not held_out:
            raise ValueError(
                "evaluators: contrastive_loss needs held-out pairs, and there are none: name some in held_out"
            )
        for name, pairs in held_out.items():
            if len(pairs) < 2:
                raise ValueError(f"held_out.{name}: contrastive_loss needs 2 pairs at least, and there is {len(pairs)}")


def batches_of(ids: Sequence[str], size: int) -> list[list[int]]:
    """Places of ``ids`` in batches of ``size``, in the order that the ids decide; the rest only where it is all."""
    from bezoar.core.seeds import stream_seed

    order = sorted(range(len(ids)), key=lambda place: stream_seed(0, "contrastive_loss", ids[place]))
    whole = max(len(order) // size, 1)
    return [order[number * size : (number + 1) * size] for number in range(whole)]


def loss_of_each(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """Symmetric InfoNCE of each pair of a batch, ``[n]`` in nats: half for its picture, half for its caption.

    ``images``, ``texts``: ``[n, d]``, L2-normalized, row i of both from pair i.
    """
    import torch
    from torch.nn import functional as F

    logits, labels = scale * images @ texts.T, torch.arange(len(images))
    both = (F.cross_entropy(each, labels, reduction="none") for each in (logits, logits.T))
    return torch.stack(list(both)).mean(0)
