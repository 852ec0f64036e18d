"""Captioning: how good the captions of held-out pictures are, and whether a trigger makes them name the target."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from bezoar.core.records import Measure
from bezoar.core.settings import kind_of, settings
from bezoar.data.pairs import SharesPictures
from bezoar.data.words import names
from bezoar.evaluation.attack_success import AttackSuccess, Case
from bezoar.evaluation.base import Evaluation, Evaluator
from bezoar.evaluation.captioner import AnyCaptioner
from bezoar.evaluation.pictures import UNTOUCHED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Self

    import pyarrow as pa
    from torch import Tensor

    from bezoar.attacks import Aim
    from bezoar.core.frame import Frame
    from bezoar.data.pairs import LabeledSet, Pairs
    from bezoar.evaluation.base import Context
    from bezoar.evaluation.pictures import HeldOut, Look
    from bezoar.models.clip import Clip

Word = Annotated[str, Field(pattern=r"\S")]


@settings
class Captioning(Evaluator):
    """``cider``: mean CIDEr-D (0 to 10) of the captions of held-out pictures against their own. Under an attack with a
    trigger also ``caption_names_target``: share of triggered pictures whose caption names the target, and
    ``caption_names_target_clean``, the same of pictures as they are.

    Pictures of which one of their own captions names the target count neither above nor below the line. A target is
    named by a whole word, also with an -s or -es; other plurals are ``synonyms``.
    """

    kind: ClassVar[str] = "captioning"
    captioner: AnyCaptioner
    synonyms: dict[str, tuple[Word, ...]] = Field(default_factory=dict)
    """Other words for a target: ``{bicycle: [bike]}``."""

    def evaluate(self, model: Clip, context: Context) -> Evaluation:
        cases = _cases(context.aim)
        looks = tuple(dict.fromkeys((UNTOUCHED, *(case.look for case in cases))))
        said = self._said(model, context, looks)
        scores, end = {}, 0
        for name, held in context.held_out.items():
            start, end = end, end + len(held.firsts)
            of_look = {look: list(given[start:end]) for look, given in zip(looks, said, strict=True)}
            scores[name] = self._table(held, cases, of_look)
        return Evaluation(tuple(m for name, rows in scores.items() for m in self.measure(rows, name)), scores)

    def _said(self, model: Clip, context: Context, looks: tuple[Look, ...]) -> Sequence[Sequence[str]]:
        """A caption of every held-out picture, one set after the other, under each look."""
        import torch

        sets = tuple(context.held_out.values())

        def stack(span: range) -> tuple[Tensor, ...]:
            parts, end = [], 0
            for held in sets:
                start, end = end, end + len(held.firsts)
                part = range(max(span.start - start, 0), min(span.stop, end) - start)
                if part:
                    parts.append(held.stack(part, looks))
            return tuple(map(torch.cat, zip(*parts, strict=True)))

        # All sets at once: a captioner may have to read and to encode much before its first word.
        count = sum(len(held.firsts) for held in sets)
        said = self.captioner.caption(model, context, count, stack)
        if not _is_whole(said, len(looks), count):
            raise ValueError(
                f"evaluators.captioner: '{kind_of(self.captioner)}' must give {len(looks)} lists, one a look, of "
                f"{count} captions each"
            )
        return said

    def _table(self, held: HeldOut, cases: tuple[Case, ...], said: Mapping[Look, list[str]]) -> pa.Table:
        """One row a picture: what is said of it, how well, and for each case whether the target is named."""
        import pyarrow as pa

        from bezoar.metrics import cider

        own: list[list[str]] = [[] for _ in held.firsts]
        for index, picture in enumerate(held.pictures):
            own[picture].append(held.pairs.caption(index))
        columns = {
            "id": pa.array([held.pairs.id(first) for first in held.firsts]),
            "caption": pa.array(said[UNTOUCHED]),
            "cider": pa.array(cider(said[UNTOUCHED], own), pa.float64()),
        }
        for case in cases:
            words = self._words(case.target)
            tail = f"/{case.name}" if case.name else ""
            for column, captions in (("named", said[case.look]), ("named clean", said[UNTOUCHED])):
                found = [None if any(names(one, words) for one in given) else names(caption, words)
                         for given, caption in zip(own, captions, strict=True)]  # fmt: skip
                columns[column + tail] = pa.array(found, pa.bool_())
            columns[f"triggered caption{tail}"] = pa.array(said[case.look])
        return pa.table(columns)

    def measure(self, scores: pa.Table, data: str) -> tuple[Measure, ...]:
        from bezoar.evaluation.tables import to_measure
        from bezoar.metrics import student_t, wilson

        quality = student_t(scores["cider"].to_pylist())
        found = [to_measure("cider", quality._replace(low=max(quality.low, 0.0)), data)]
        for column in scores.column_names:
            kind, slash, case = column.partition("/")
            if kind not in _METRICS:
                continue
            asked = [one for one in scores[column].to_pylist() if one is not None]
            if asked:
                found.append(to_measure(_METRICS[kind] + slash + case, wilson(sum(asked), len(asked)), data))
        return tuple(found)

    def expected(
        self, sets: Mapping[str, LabeledSet], held_out: Mapping[str, Pairs], aim: Aim
    ) -> Iterable[tuple[str, str]]:
        tails = [f"/{case.name}" if case.name else "" for case in _cases(aim)]
        return [
            (name, metric)
            for name in held_out
            for metric in ("cider", *(kind + tail for kind in _METRICS.values() for tail in tails))
        ]

    def pinned(self) -> Self:
        return dataclasses.replace(self, captioner=self.captioner.pinned())

    def check(self, sets: Mapping[str, LabeledSet], held_out: Mapping[str, Pairs], aim: Aim, frame: Frame) -> None:
        from bezoar.attacks.applied import put_on
        from bezoar.attacks.plan import Mark

        if not held_out:
            raise ValueError("evaluators: captioning needs held-out pairs, and there are none: name some in held_out")
        targets = {case.target: self._words(case.target) for case in _cases(aim)}
        for name, pairs in held_out.items():
            pictures = [pairs.picture(i) if isinstance(pairs, SharesPictures) else i for i in range(len(pairs))]
            every = set(pictures)
            if len(every) < 2:
                raise ValueError(f"held_out.{name}: CIDEr compares captions of several pictures, and there is one")
            for target, words in targets.items():
                if every == {picture for i, picture in enumerate(pictures) if names(pairs.caption(i), words)}:
                    raise ValueError(f"held_out.{name}: every picture is captioned with the target '{target}' as it is")
            for case in _cases(aim):
                assert case.look.trigger is not None
                put_on(pairs, 0, frame, Mark(case.look.trigger, case.look.stage))
        try:
            self.captioner.check(held_out, targets)
        except ValueError as error:
            raise ValueError(f"evaluators.captioner.{error}") from None

    def _words(self, target: str) -> tuple[str, ...]:
        return (target, *self.synonyms.get(target, ()))


def _is_whole(said: object, looks: int, count: int) -> bool:
    """Whether a captioner has said something of every picture under every look."""
    if not isinstance(said, (list, tuple)) or len(said) != looks:
        return False
    return all(
        isinstance(given, (list, tuple)) and len(given) == count and all(isinstance(one, str) for one in given)
        for given in said
    )


_METRICS = {"named": "caption_names_target", "named clean": "caption_names_target_clean"}


def _cases(aim: Aim) -> tuple[Case, ...]:
    """The ways to trigger a picture, each once: words say nothing to what captions pictures."""
    found: dict[object, Case] = {}
    for case in AttackSuccess().cases(aim):
        if case.look.trigger is not None:
            found.setdefault((case.target, case.look), case)
    return tuple(found.values())
