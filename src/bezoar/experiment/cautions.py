"""What must be said before a stage trains: pairs that its victim's plan poisons, a model that needs no cleaning."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bezoar.attacks import Planned
from bezoar.attacks.plan_files import load_plan
from bezoar.data.pairs import PartOf, places_of
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
    found = [*_overlaps(job, data), *_nothing_to_clean(job)]
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
    """Pairs of the stage that are poison of its victim, unless its own plan says so."""
    seen = {data.plan.digest} if data.plan is not None else set()
    where = "pairs" if job.stage.pairs == "pairs" else f"pairs.{job.stage.pairs}"
    for whose, plan in _plans(job):
        if plan.digest in seen:
            continue
        seen.add(plan.digest)
        found = overlap(data.pairs, plan)
        if any(found):
            parts = (
                (found.undone, "without the poison: put right, as a defender's own clean set would hardly have them"),
                (found.poisoned, "with the captions that it gives them: poison is left"),
                (found.other, "with other captions"),
            )
            said = "; ".join(f"{count} {how}" for count, how in parts if count)
            yield (
                f"{where}: {sum(found):,} of {len(data.pairs):,} pairs are among the "
                f"{len(plan.rows):,} that the plan of {whose} poisons ({said})"
            )


def _plans(job: Job) -> Iterator[tuple[str, PoisonPlan]]:
    """The plans that the model of a stage was trained under or is measured against, as far as known, and whose."""
    at: Job | None = job.start
    first = job
    while at is not None:
        if at.stage.poison:
            yield f"'{at.stage.name}'", load_plan(at.layout.poison(at.experiment, at.stage, at.seed))
        first, at = at, at.start
    yield from _beside(first)
    threat = job.experiment.threatening(job.stage)
    if isinstance(threat, Planned) and (job.start is not None or job.starts_trained):  # a control may see its pairs
        yield threat.folder, load_plan(Path(threat.folder))


def _beside(job: Job) -> Iterator[tuple[str, PoisonPlan]]:
    """The plans of the run that left the model which a stage begins with, as far as the model names them."""
    from bezoar.models.opening import Ours, place

    home = place(job.origin)
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
                yield f"'{job.origin}'", plan


def _nothing_to_clean(job: Job) -> Iterator[str]:
    """Of a stage that cleans a model, whether an attack has any hold on it, as far as that was measured."""
    experiment, before = job.experiment, job.start
    threat = experiment.threatening(job.stage)
    if threat is None or not _cleans(job) or (before and experiment.threatening(before.stage) != threat):
        return
    for data in dict.fromkeys((experiment.report_on, experiment.select_on)):
        source = experiment.labeled.get(data)
        records = left(before, data) if before else given(job, data)
        if source is None or not {"accuracy_top1", "asr_top1"} <= set(records):
            continue
        success, bare = as_measure(records["asr_top1"]), _without(before or job, records)
        if works(as_measure(records["accuracy_top1"]), success, bare, len(source.open().classes)) is False:
            assert success is not None
            untouched = f", without the trigger {bare.value:.1%}" if bare else ""
            yield (
                f"model: '{before.stage.name if before else experiment.model}' does not take the attack: success "
                f"{success.value:.1%} ({success.low:.1%} to {success.high:.1%}, n {success.n:,}) on '{data}'"
                f"{untouched}: there is nothing to clean"
            )
        return


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
