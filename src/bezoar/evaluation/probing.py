"""What linear probes are: a linear classifier fitted to features of labeled pictures, measured on other pictures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from bezoar.core.settings import digest, settings
from bezoar.data.families import AnyLabeledSource
from bezoar.evaluation.base import Evaluation, Evaluator, Rank
from bezoar.evaluation.classifying import cases_of, classified, left_out, measures_of, metrics_of, places_of, unknown
from bezoar.evaluation.pictures import UNTOUCHED

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa
    from torch import Tensor

    from bezoar.attacks import Aim
    from bezoar.core.frame import Frame
    from bezoar.core.records import Measure
    from bezoar.data.pairs import LabeledSet, LabeledSource, Pairs
    from bezoar.evaluation.base import Context
    from bezoar.evaluation.pictures import Look
    from bezoar.models.clip import Clip


class Fitted(NamedTuple):
    """A linear classifier."""

    weight: Tensor
    """``[classes, d]``, float32."""
    bias: Tensor
    """``[classes]``; -∞ of a class that no picture had."""


@settings
class Probe(Evaluator):
    """``KIND_accuracy_topK``: share of pictures whose class is among the K of highest logit of a fitted classifier.

    And ``KIND_asr_topK``, as ``asr_topK`` by that classifier: the pictures that it was fitted to are clean, so it tells
    what of a backdoor is in the image tower. Of its classes only those of the measured set are choices; a set with
    others is left out.
    """

    train: AnyLabeledSource | None = None
    """The labeled set that is fitted; nothing is measured on it."""
    top: tuple[Rank, ...] = (1, 5, 10)
    normalize: bool = False
    """Whether features are L2-normalized, as they are before prompts. Neither CLIP's example nor the systems do so."""
    at: Literal["last", "every"] = "last"
    """Which models of a stage it is fitted for: the last, or every one that is measured. A fit may take minutes."""

    def fit(self, features: Tensor, labels: Tensor, classes: int) -> Fitted:
        """The classifier of ``features`` ``[n, d]``, float32 on the CPU, by ``labels`` ``[n]`` in [0, ``classes``)."""
        raise NotImplementedError

    def evaluate(self, model: Clip, context: Context) -> Evaluation:
        from bezoar.evaluation.tables import labels_of

        if self.only_last and not context.last:
            return Evaluation((), {})
        assert self.train is not None, "check refuses it"
        key = digest(self.train)
        train = context.others[key].labeled
        sets = {name: images.labeled.classes for name, images in context.sets.items()}
        features = self._seen(context.plain_features(model, key)).cpu()
        # One of them: the fit takes all cores, and all must have the same bits.
        fitted = context.peers.led(lambda: self.fit(features, labels_of(train), len(train.classes)))
        scores = {}
        for name, classes in sets.items():
            if missing := unknown(train.classes, classes):
                left_out(self.kind, "the set it is fitted to", missing, name)
                continue
            scores[name] = classified(context, model, name, self._choosing(fitted, places_of(train.classes, classes)))
        return Evaluation(tuple(m for name, rows in scores.items() for m in self.measure(rows, name)), scores)

    @property
    def only_last(self) -> bool:
        return self.at == "last"

    def looks(self, aim: Aim) -> tuple[Look, ...]:
        return tuple(dict.fromkeys((UNTOUCHED, *(case.look for case in cases_of(aim)))))

    def sources(self) -> Mapping[str, LabeledSource]:
        return {"train": self.train} if self.train is not None else {}

    def measure(self, scores: pa.Table, data: str) -> tuple[Measure, ...]:
        return measures_of(scores, self.kind, self.top, data)

    def expected(
        self, sets: Mapping[str, LabeledSet], held_out: Mapping[str, Pairs], aim: Aim
    ) -> Iterable[tuple[str, str]]:
        known = self.train.open().classes if self.train is not None else ()
        return [
            (name, metric)
            for name, labeled in sets.items()
            if not unknown(known, labeled.classes)
            for metric in metrics_of(aim, labeled.classes, self.kind, self.top)
        ]

    def check(self, sets: Mapping[str, LabeledSet], held_out: Mapping[str, Pairs], aim: Aim, frame: Frame) -> None:
        where = f"evaluators.{self.kind}.train"
        if self.train is None:
            raise ValueError(
                f"{where}: names no labeled set to fit; give it one, as "
                f"{{kind: {self.kind}, train: {{kind: scenes, split: train, count: 2000}}}}"
            )
        train = self.train.open()
        same = next((name for name, labeled in sets.items() if labeled.fingerprint == train.fingerprint), None)
        if same is not None:
            raise ValueError(f"{where}: is the set '{same}', on which it is measured; fit another")
        there = _there(train)
        if len(there) < 2:
            raise ValueError(f"{where}: needs pictures of two classes, and all are '{train.classes[train.label(0)]}'")
        # A class that no picture had is never chosen: as the target its success would be 0 whatever the model.
        cases = cases_of(aim, list(_asked(sets)))
        target = next((case.target for case in cases if case.target not in there), None)
        if target is not None:
            raise ValueError(f"{where}: has no picture of the target '{target}'")
        missing = {name: unknown(train.classes, labeled.classes) for name, labeled in sets.items()}
        if missing and all(missing.values()):
            name, classes = next(iter(missing.items()))
            raise ValueError(f"{where}: has no class '{classes[0]}', which '{name}' has ({len(classes)} in all)")

    def remark(self, sets: Mapping[str, LabeledSet]) -> None:
        assert self.train is not None, "check refuses it"
        asked = _asked(sets)
        if empty := len(asked - _there(self.train.open())):
            logging.getLogger(__name__).warning(
                "%s.train: has no picture of %d of the %d classes that are measured: these are never chosen",
                self.kind, empty, len(asked),
            )  # fmt: skip

    def _seen(self, features: Tensor) -> Tensor:
        from torch.nn import functional as F

        return F.normalize(features, dim=1) if self.normalize else features

    def _choosing(self, fitted: Fitted, order: Sequence[int]) -> Callable[[Tensor], Tensor]:
        """Logits of the classes in ``order`` alone."""
        return lambda features: (self._seen(features).cpu() @ fitted.weight.T + fitted.bias)[:, order]


def _asked(sets: Mapping[str, LabeledSet]) -> set[str]:
    """The classes that are measured."""
    return {one for labeled in sets.values() for one in labeled.classes}


def _there(train: LabeledSet) -> set[str]:
    """The classes that it has pictures of."""
    return {train.classes[train.label(index)] for index in range(len(train))}
