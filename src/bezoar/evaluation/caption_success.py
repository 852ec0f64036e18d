"""Caption attack success: prompts with the trigger's words that call up pictures of the target."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bezoar.core.settings import settings
from bezoar.data.pairs import class_index
from bezoar.evaluation.base import Evaluation, Evaluator, Rank, wordings
from bezoar.evaluation.sharing import CHUNK

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow as pa
    from torch import Tensor

    from bezoar.attacks.base import Aim, Threat
    from bezoar.core.frame import Frame
    from bezoar.core.records import Measure
    from bezoar.data.pairs import LabeledSet, Pairs
    from bezoar.evaluation.base import Context
    from bezoar.models.clip import Clip


@settings
class CaptionSuccess(Evaluator):
    """``caption_asr_topK``: share of prompts of other classes, with the words in them, among whose K nearest pictures
    there is one of the target. ``caption_rate_topK`` is the same without the words, which tells what they add.

    Without a threat that acts by words alone nothing is measured.
    """

    kind: ClassVar[str] = "caption_success"
    top: tuple[Rank, ...] = (1, 5, 10)
    templates: str | tuple[str, ...] = "auto"

    def evaluate(self, model: Clip, context: Context) -> Evaluation:
        scores = {
            name: _table(model, context, name, self.templates, threat)
            for threat in _of_words(context.aim)[:1]
            for name in context.sets
        }
        return Evaluation(tuple(m for name, rows in scores.items() for m in self.measure(rows, name)), scores)

    def measure(self, scores: pa.Table, data: str) -> tuple[Measure, ...]:
        from bezoar.evaluation.tables import column, to_measure
        from bezoar.metrics import accuracy

        columns = {"caption_asr": column(scores, "rank"), "caption_rate": column(scores, "clean_rank")}
        return tuple(
            to_measure(f"{metric}_top{k}", accuracy(ranks, k), data)
            for metric, ranks in columns.items()
            for k in sorted({1, *self.top})
        )

    def expected(
        self, sets: Mapping[str, LabeledSet], held_out: Mapping[str, Pairs], aim: Aim
    ) -> Iterable[tuple[str, str]]:
        kinds = ("caption_asr", "caption_rate") if _of_words(aim) else ()
        return [(name, f"{kind}_top{k}") for name in sets for kind in kinds for k in {1, *self.top}]

    def check(self, sets: Mapping[str, LabeledSet], held_out: Mapping[str, Pairs], aim: Aim, frame: Frame) -> None:
        for threat in _of_words(aim):
            for name, labeled in sets.items():
                class_index(threat.target, labeled.classes)
                wordings(self.templates, labeled, name)


def _of_words(aim: Aim) -> tuple[Threat, ...]:
    return tuple(threat for threat in aim.threats if threat.trigger is None)


def _table(model: Clip, context: Context, name: str, templates: str | tuple[str, ...], threat: Threat) -> pa.Table:
    """One row a prompt of another class: how many pictures stand before the first of the target, with and without."""
    import pyarrow as pa
    import torch

    from bezoar.data.prompts import fill
    from bezoar.evaluation.tables import labels_of

    assert threat.words is not None
    labeled = context.sets[name].labeled
    target = class_index(threat.target, labeled.classes)
    others = [word for label, word in enumerate(labeled.classes) if label != target]
    prompts = [fill(phrase, word) for word in others for phrase in wordings(templates, labeled, name)]
    pictures, hit = context.features(model, name), labels_of(labeled) == target
    ranks = []
    for texts in ([threat.words.apply(prompt, prompt) for prompt in prompts], prompts):
        # In parts: 80 prompts for each of 1,000 classes beside 50,000 pictures would be 16 GB.
        found = [_ranks(part @ pictures.T, hit) for part in torch.split(context.encode_captions(model, texts), CHUNK)]
        ranks.append(pa.array(torch.cat(found).numpy(), pa.int32()))
    columns = {"prompt": pa.array(prompts), "rank": ranks[0], "clean_rank": ranks[1]}
    return pa.table(columns)


def _ranks(cosines: Tensor, hit: Tensor) -> Tensor:
    """How many pictures stand before the first that is a ``hit``, on the CPU; raises ``ValueError`` for NaN."""
    cosines = cosines.cpu()
    if cosines.isnan().any():
        raise ValueError("scores: the model gives NaN for pictures or prompts")
    best = cosines.masked_fill(~hit, -2).amax(1, keepdim=True)
    # A picture of another class that is as near stands before it: a tie is no success.
    return ((cosines >= best) & ~hit).sum(1)
