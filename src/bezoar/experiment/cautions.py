"""What must be said before a stage trains: of its pairs, of a model that needs no cleaning, of a teacher."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Set
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bezoar.attacks import Planned
from bezoar.attacks.plan_files import load_plan
from bezoar.data.pairs import PartOf, places_of
from bezoar.evaluation.captioner import same_pairs
from bezoar.experiment.keeping import MODEL
from bezoar.experiment.layout import model_identity
from bezoar.experiment.success import as_measure, given, left, without, works

if TYPE_CHECKING:
    from bezoar.attacks.plan import PoisonPlan
    from bezoar.core.records import Measure, Record
    from bezoar.data.pairs import Images, Pairs
    from bezoar.experiment.stages import Job
    from bezoar.training.loader import TrainingPairs

_said: set[str] = set()


def cautions(job: Job, data: TrainingPairs) -> list[str]:
    """Every caution in one line; each is logged once a process. What the model was like before must be written down."""
    found = [*_overlaps(job, data), *_held_out(job, data.pairs), *_nothing_to_clean(job), *_teacher(job)]
    for line in found:
        if line not in _said:
            _said.add(line)
            logging.getLogger(__name__).warning(line)
    return found


class Overlap(NamedTuple):
    """How many pairs are among those that a plan poisons."""

    undone: int
    """With the caption that they had before."""
    poisoned: int
    """With the caption that the plan gives them."""
    other: int
    """With another one."""


def overlap(pairs: Pairs, plan: PoisonPlan) -> Overlap:
    """The pairs that ``plan`` poisons, by id; no picture is read.

    Ids of different sources may be alike by accident. Where the plan was not made for these pairs, nor for what they
    are a part of, only those count that also have a caption which the plan knows, and only if they are half of all that
    have such an id at least.
    """
    undone = poisoned = other = 0
    for name, place in places_of(pairs, plan.by_id).items():
        row, caption = plan.by_id[name], pairs.caption(place)
        # Appended pairs have ids of their own: with one of these the poison has come along.
        if caption == row.caption and (row.appended or row.caption != row.original):
            poisoned += 1
        elif caption == row.original:
            undone += 1
        else:
            other += 1
    if plan.source in _fingerprints(pairs):
        return Overlap(undone, poisoned, other)
    return Overlap(undone, poisoned, 0) if undone + poisoned >= other else Overlap(0, 0, 0)


def _fingerprints(images: Images) -> set[str]:
    """Those of a set and of what it is a part of."""
    own = {images.fingerprint}
    return own | _fingerprints(images.whole) if isinstance(images, PartOf) else own


def _overlaps(job: Job, data: TrainingPairs) -> Iterator[str]:
    """Pairs of the stage that are poison of its victim, unless its own plan says so; and those of its teacher."""
    plans = list(_plans(job))
    own = {data.plan.digest} if data.plan is not None else set()
    yield from _among(job.stage.pairs, data.pairs, plans, own)
    if (teacher := job.teacher) is not None:
        known = {plan.digest for _, plan in (*_own_plan(teacher), *_plans(teacher))}  # of which that stage has told
        pairs = teacher.experiment.pairs[teacher.stage.pairs].open()
        for line in _among(teacher.stage.pairs, pairs, plans, known):
            yield f"teacher: '{teacher.stage.name}', {line}"


def _among(called: str, pairs: Pairs, plans: Iterable[tuple[str, PoisonPlan]], passed: Set[str]) -> Iterator[str]:
    """A line for each plan that poisons some of ``pairs``, but for those with a digest that is ``passed`` over."""
    seen = set(passed)
    for whose, plan in plans:
        if plan.digest in seen:
            continue
        seen.add(plan.digest)
        found = overlap(pairs, plan)
        if any(found):
            parts = (
                (found.undone, "without the poison: put right, as a defender's own clean set would hardly have them"),
                (found.poisoned, "with the captions that it gives them: poison is left"),
                (found.other, "with other captions"),
            )
            said = "; ".join(f"{count} {how}" for count, how in parts if count)
            yield (
                f"{_place(called)}: {sum(found):,} of {len(pairs):,} pairs are among the "
                f"{len(plan.rows):,} that the plan of {whose} poisons ({said})"
            )


def _place(pairs: str) -> str:
    """Where the pairs of a stage stand in the experiment."""
    return "pairs" if pairs == "pairs" else f"pairs.{pairs}"


def _plans(job: Job) -> Iterator[tuple[str, PoisonPlan]]:
    """The plans that the model of a stage, or its teacher, was trained under or is measured against, and whose."""
    before = list(_before(job))
    for one in before:
        yield from _own_plan(one)
    named = (spec for one in (job, *before) for spec in _named(one))
    for spec in dict.fromkeys(named):
        yield from _beside(spec)
    threat = job.experiment.threatening(job.stage)
    if isinstance(threat, Planned) and (job.start is not None or job.starts_trained):  # a control may see its pairs
        yield threat.folder, load_plan(Path(threat.folder))


def _before(job: Job) -> Iterator[Job]:
    """The stages that the model of this one and its teacher come from; one may come twice."""
    for one in job.needs:
        yield one
        yield from _before(one)


def _own_plan(job: Job) -> Iterator[tuple[str, PoisonPlan]]:
    if job.stage.poison:
        yield f"'{job.stage.name}'", load_plan(job.layout.poison(job.experiment, job.stage, job.seed))


def _named(job: Job) -> Iterator[str]:
    """The models that no stage here has made, of those that a stage begins with and is taught by."""
    if job.start is None:
        yield job.origin
    if job.stage.teacher is not None and job.teacher is None:
        yield job.stage.teacher


def _beside(model: str) -> Iterator[tuple[str, PoisonPlan]]:
    """The plans of the run that left a model, as far as the model names them."""
    from bezoar.models.opening import Ours, place

    home = place(model)
    if not isinstance(home, Ours):
        return
    mark, wanted = home.lineage()[-1].poison, set()
    while mark is not None:
        wanted.add(mark.get("plan"))
        mark = mark.get("before")
    run = home.folder.resolve().parent.parent.parent
    for path in sorted(run.glob("poison/*/poison.json")) if wanted else ():
        with contextlib.suppress(ValueError):  # of another version, or damaged: nothing of this run rests on it
            plan = load_plan(path.parent)
            if plan.digest in wanted:
                yield f"'{model}'", plan


def _held_out(job: Job, pairs: Pairs) -> Iterator[str]:
    """Pairs that the stage trains on and that are measured on."""
    for name, source in job.experiment.held_out.items():
        held = source.open()
        if same := same_pairs(pairs, held):
            yield f"held_out.{name}: {same:,} of {len(held):,} pairs are trained on, as {_place(job.stage.pairs)}"


class _Attacked(NamedTuple):
    """What an attack does to a model, as it was measured."""

    success: Measure
    works: bool | None
    told: str


def _attacked(of: Job, records_of: Callable[[Job, str], dict[str, Record]]) -> _Attacked | None:
    """Of the model whose records ``records_of`` gives, on the first set where it was measured."""
    for data in dict.fromkeys((of.experiment.report_on, of.experiment.select_on)):
        source, records = of.experiment.labeled.get(data), records_of(of, data)
        if source is None or not {"accuracy_top1", "asr_top1"} <= set(records):
            continue
        success, bare = as_measure(records["asr_top1"]), _without(of, records)
        assert success is not None
        works_ = works(as_measure(records["accuracy_top1"]), success, bare, len(source.open().classes))
        untouched = f", without the trigger {bare.value:.1%}" if bare else ""
        return _Attacked(success, works_, f"success {_span(success)} on '{data}'{untouched}")
    return None


def _span(one: Measure) -> str:
    return f"{one.value:.1%} ({one.low:.1%} to {one.high:.1%}, n {one.n:,})"


def _victim(job: Job) -> _Attacked | None:
    """Of the model that a stage begins with, where it was measured under the same attack."""
    experiment, before = job.experiment, job.start
    if before is None:
        return _attacked(job, given)
    return (
        _attacked(before, left) if experiment.threatening(before.stage) == experiment.threatening(job.stage) else None
    )


def _nothing_to_clean(job: Job) -> Iterator[str]:
    """Of a stage that cleans a model, whether an attack has any hold on it, as far as that was measured."""
    if job.experiment.threatening(job.stage) is None or not _cleans(job):
        return
    found = _victim(job)
    if found is not None and found.works is False:
        yield (
            f"model: '{job.stage.start or job.experiment.model}' does not take the attack: {found.told}: "
            "there is nothing to clean"
        )


def _teacher(job: Job) -> Iterator[str]:
    """Of a teacher from which nothing is to be learned, or what is to be unlearned."""
    from bezoar.models.opening import place

    if job.stage.teacher is None:
        return
    teacher, who = job.teacher, f"teacher: '{job.stage.teacher}'"
    model = str(teacher.folder / MODEL) if teacher else job.stage.teacher
    if not place(model).trained:
        yield f"{who} has random weights: there is nothing to learn from it"
        return
    if model_identity(model) == model_identity(job.origin):
        yield f"{who} is the model that it teaches: there is nothing to learn from it"
        return
    if _poisoned(model) and not (teacher and teacher.stage.oracle):
        yield f"{who} was trained on poisoned pairs itself, and on no others since"
    threat = job.experiment.threatening(job.stage)
    if teacher is None or threat is None or job.experiment.threatening(teacher.stage) != threat:
        return
    found, victim = _attacked(teacher, left), _victim(job)
    if found is not None and found.works and (victim is None or found.success.high >= victim.success.low):
        against = f", that of the model it teaches {_span(victim.success)}" if victim else ""
        yield f"{who} takes the attack itself: {found.told}{against}"


def _poisoned(model: str) -> bool:
    """Whether the last that a model was trained on was poisoned, as far as it is known."""
    from bezoar.models.opening import place

    before, last = (None, None, *place(model).lineage())[-2:]
    return last is not None and last.poison is not None and (before is None or last.poison != before.poison)


def _cleans(job: Job) -> bool:
    """Whether a stage is to clean its model: one that is poisoned itself, from what was not, is an attack."""
    before = job.start
    while before is not None and not before.stage.poison:
        before = before.start
    return not job.stage.poison or job.stage.oracle or before is not None


def _without(job: Job, records: dict[str, Record]) -> Measure | None:
    """What the model does without the trigger; ``None`` where the scores of it are gone."""
    try:
        return without(job, records, records["asr_top1"])
    except OSError:
        return None
