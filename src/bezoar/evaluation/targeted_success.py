"""Targeted success: chosen single images that are taken for the class they were poisoned towards (RoCLIP, PSR)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bezoar.core.settings import settings
from bezoar.data.pairs import class_index
from bezoar.evaluation.base import Evaluation, Evaluator, Rank, wordings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow as pa
    from torch import Tensor

    from bezoar.attacks.base import Aim, Chosen
    from bezoar.core.frame import Frame
    from bezoar.core.records import Measure
    from bezoar.data.pairs import Images, LabeledSet, Pairs
    from bezoar.evaluation.base import Context
    from bezoar.models.clip import Clip


@settings
class TargetedSuccess(Evaluator):
    """``targeted_topK``: share of the chosen images that have their target class among their top K.

    The images are shown untouched, and classified among the classes of each labeled set. Few images make wide
    intervals: with 16 of them one is 6.25 points. Without chosen images nothing is measured.
    """

    kind: ClassVar[str] = "targeted_success"
    top: tuple[Rank, ...] = (1, 3, 5)
    templates: str | tuple[str, ...] = "auto"

    def evaluate(self, model: Clip, context: Context) -> Evaluation:
        import pyarrow as pa
        import torch

        from bezoar.data.images import fit, to_tensor
        from bezoar.metrics import rank_of

        if not context.aim.chosen:
            return Evaluation((), {})
        opened = [_opened(chosen) for chosen in context.aim.chosen]
        shown = [(images, place) for images, places in opened for place in places]

        def stack(span: range) -> tuple[Tensor]:
            some = shown[span.start : span.stop]
            return (torch.stack([fit(to_tensor(images.image(place)), model.frame) for images, place in some]),)

        (features,) = context.encode_pictures(model, len(shown), stack)
        ids = [image_id for chosen in context.aim.chosen for image_id in chosen.ids]
        targets = [target for chosen in context.aim.chosen for target in chosen.targets]
        scores = {}
        for name, images in context.sets.items():
            classes = images.labeled.classes
            wanted = torch.tensor([class_index(target, classes) for target in targets])
            cosines = (features @ context.head(model, name, self.templates).T).cpu()
            columns = {
                "id": pa.array(ids), "target": pa.array(wanted.numpy(), pa.int32()),
                "predicted": pa.array(cosines.argmax(1).numpy(), pa.int32()),
                "rank": pa.array(rank_of(cosines, wanted).numpy(), pa.int32()),
            }  # fmt: skip
            scores[name] = pa.table(columns).replace_schema_metadata({"classes": str(len(classes))})
        return Evaluation(tuple(m for name, rows in scores.items() for m in self.measure(rows, name)), scores)

    def measure(self, scores: pa.Table, data: str) -> tuple[Measure, ...]:
        from bezoar.evaluation.tables import column, fact, to_measure
        from bezoar.metrics import accuracy, choices

        ranks = column(scores, "rank")
        return tuple(
            to_measure(f"targeted_top{k}", accuracy(ranks, k), data) for k in choices(self.top, fact(scores, "classes"))
        )

    def expected(
        self, sets: Mapping[str, LabeledSet], held_out: Mapping[str, Pairs], aim: Aim
    ) -> Iterable[tuple[str, str]]:
        from bezoar.metrics import choices

        shown = sets.items() if aim.chosen else ()
        return [(name, f"targeted_top{k}") for name, labeled in shown for k in choices(self.top, len(labeled.classes))]

    def check(self, sets: Mapping[str, LabeledSet], held_out: Mapping[str, Pairs], aim: Aim, frame: Frame) -> None:
        for name, labeled in sets.items() if aim.chosen else ():
            wordings(self.templates, labeled, name)
            for chosen in aim.chosen:
                _opened(chosen)
                for target in chosen.targets:
                    class_index(target, labeled.classes, "attack.targets")


def _opened(chosen: Chosen) -> tuple[Images, list[int]]:
    """The source of chosen images, and where they stand in it."""
    images = chosen.source.open()
    wanted = set(chosen.ids)
    found = {image_id: i for i in range(len(images)) if (image_id := images.id(i)) in wanted}
    missing = next((image_id for image_id in chosen.ids if image_id not in found), None)
    if missing is not None:
        raise ValueError(f"attack.images: the chosen image '{missing}' is not in its source any more")
    return images, [found[image_id] for image_id in chosen.ids]
