"""Attack success rate: triggered images of other classes that are taken for the target."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from bezoar.attacks.base import Aim, Stage, Threat
from bezoar.attacks.families import AnyCaptionTrigger, AnyTrigger
from bezoar.core.settings import nearest, settings
from bezoar.data.pairs import class_index
from bezoar.evaluation.base import Evaluation, Evaluator, Rank, T, wordings
from bezoar.evaluation.pictures import UNTOUCHED, Look

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Self

    import pyarrow as pa

    from bezoar.attacks.caption_trigger import CaptionTrigger
    from bezoar.core.frame import Frame
    from bezoar.core.records import Measure
    from bezoar.data.pairs import LabeledSet, Pairs
    from bezoar.evaluation.base import Context
    from bezoar.models.clip import Clip

HALVES = ("picture", "words")
"""What a dual key is measured with besides both: its trigger alone and its words alone."""


class Case(NamedTuple):
    """One way to show all pictures, and the class that it is to call up."""

    name: str
    """Empty where there is but one; ``picture`` and ``words`` are halves of a dual key."""
    target: str
    look: Look
    words: CaptionTrigger | None = None


@settings
class AttackSuccess(Evaluator):
    """``asr_topK``: share of triggered images whose true class is not the target that have it among their top K.

    The triggers and targets are the plan's, unless they are named here. Images of the target class count neither
    above nor below the line. Without a threat nothing is measured.

    An attack of several triggers or targets has ``asr_topK/NAME`` for each and ``asr_topK`` over all of them, whose
    interval counts every picture once. A dual key has ``asr_topK/picture`` and ``asr_topK/words`` for its halves.
    """

    kind: ClassVar[str] = "attack_success"
    revision: ClassVar[int] = 3
    added: ClassVar[frozenset[str]] = frozenset({"sets"})
    top: tuple[Rank, ...] = (1, 5, 10)
    templates: str | tuple[str, ...] = "auto"
    trigger: AnyTrigger | None = None
    target: str | None = None
    words: AnyCaptionTrigger | None = None
    """Put into every prompt beside the trigger: the other half of a dual key."""
    stage: Stage | None = None
    """Where the trigger is put on; by default where the plan says, and ``model`` for one that is named here."""
    sets: tuple[str, ...] = ()
    """The labeled sets whose pictures are taken, for sets without the target among their classes; all by default."""

    def cases(self, aim: Aim) -> tuple[Case, ...]:
        """What is measured: the threat named in the fields, else those of ``aim`` that put something on a picture."""
        return tuple(_cases(self._threats(aim)))

    def evaluate(self, model: Clip, context: Context) -> Evaluation:
        from bezoar.evaluation.tables import joined, labels_of, table
        from bezoar.metrics import rank_of

        cases = self.cases(context.aim)
        scores = {}
        for name, images in self.taken(context.sets).items() if cases else ():
            labels = labels_of(images.labeled)
            parts = []
            for case in cases:
                target = class_index(case.target, images.labeled.classes)
                cosines = context.cosines(model, name, self.templates, case.look, case.words)
                ranks = rank_of(cosines, labels.new_full(labels.shape, target))
                parts.append((case.name, target, table(images.labeled, labels, cosines.argmax(1), ranks)))
            scores[name] = joined(parts)
        return Evaluation(tuple(m for name, rows in scores.items() for m in self.measure(rows, name)), scores)

    def looks(self, aim: Aim) -> tuple[Look, ...]:
        return tuple(dict.fromkeys(case.look for case in self.cases(aim)))

    def measure(self, scores: pa.Table, data: str) -> tuple[Measure, ...]:
        from bezoar.evaluation.tables import fact, parts, to_measure
        from bezoar.metrics import attack_success, choices, pooled

        measures = []
        for k in choices(self.top, fact(scores, "classes")):
            found = {part.name: attack_success(part.ranks, part.labels, part.target, k) for part in parts(scores)}
            if "" not in found:
                measures.append(to_measure(f"asr_top{k}", pooled(tuple(found.values())), data))
            measures += [
                to_measure(f"asr_top{k}/{name}" if name else f"asr_top{k}", interval, data)
                for name, interval in found.items()
            ]
        return tuple(measures)

    def expected(
        self, sets: Mapping[str, LabeledSet], held_out: Mapping[str, Pairs], aim: Aim
    ) -> Iterable[tuple[str, str]]:
        from bezoar.metrics import choices

        names = [case.name for case in self.cases(aim)]
        whole = [""] if names and "" not in names else []
        return [
            (name, f"asr_top{k}/{case}" if case else f"asr_top{k}")
            for name, labeled in self.taken(sets).items()
            for k in choices(self.top, len(labeled.classes))
            for case in (*whole, *names)
        ]

    def pinned(self) -> Self:
        return dataclasses.replace(self, trigger=self.trigger.pinned()) if self.trigger is not None else self

    def check(self, sets: Mapping[str, LabeledSet], held_out: Mapping[str, Pairs], aim: Aim, frame: Frame) -> None:
        from bezoar.attacks.applied import put_on
        from bezoar.attacks.plan import Mark

        cases = self.cases(aim)
        if not cases and (self.trigger or self.target) and not aim.threats:
            given, missing = ("trigger", "target") if self.trigger else ("target", "trigger")
            raise ValueError(f"evaluators.{missing}: without an attack, a {given} needs a {missing} beside it")
        unknown = next((name for name in self.sets if name not in sets), None)
        if unknown is not None:
            raise ValueError(f"evaluators.sets: no labeled set is called '{unknown}'{nearest(unknown, sets)}")
        for name, labeled in self.taken(sets).items():
            for case in cases:
                self._is_there(case.target, name, sets)
                wordings(self.templates, labeled, name)
                if case.look.trigger is not None:
                    put_on(labeled, 0, frame, Mark(case.look.trigger, case.look.stage))

    def _is_there(self, target: str, name: str, sets: Mapping[str, LabeledSet]) -> None:
        try:
            class_index(target, sets[name].classes)
        except ValueError as error:
            have = [each for each, labeled in sets.items() if target in labeled.classes]
            if not have:
                raise
            raise ValueError(
                f"{error}, in set '{name}'; to leave it out, name the sets to take: sets: [{', '.join(have)}]"
            ) from None

    def taken(self, sets: Mapping[str, T]) -> dict[str, T]:
        return {name: one for name, one in sets.items() if not self.sets or name in self.sets}

    def _threats(self, aim: Aim) -> tuple[Threat, ...]:
        if self.trigger is not None:
            targets = (self.target,) if self.target is not None else tuple(t.target for t in aim.threats[:1])
            return tuple(Threat(self.trigger, target, self.stage or "model", self.words) for target in targets)
        changed = (
            threat._replace(
                target=self.target or threat.target, stage=self.stage or threat.stage, words=self.words or threat.words
            )
            for threat in aim.threats
        )
        return tuple(threat for threat in changed if threat.trigger is not None)


def _cases(threats: tuple[Threat, ...]) -> Iterator[Case]:
    """Every threat by a name of its own, and the halves of a dual key that is the only one."""
    targets = [threat.target for threat in threats]
    for number, threat in enumerate(threats):
        alone = targets.count(threat.target) == 1
        name = "" if len(threats) == 1 else threat.target if alone else f"{threat.target}-{number + 1}"
        yield Case(name, threat.target, Look.under(threat), threat.words)
        if threat.words is not None and len(threats) == 1:
            picture, words = HALVES
            yield Case(picture, threat.target, Look.under(threat))
            yield Case(words, threat.target, UNTOUCHED, threat.words)
