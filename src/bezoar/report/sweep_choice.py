"""What a defender would choose in a sweep: selected on one split, reported on another, with all seeds beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

from bezoar.metrics import Interval, destroyed, student_t
from bezoar.report.fronts import CRITERIA, Pair, front
from bezoar.report.sweeps import At, Swept, Training

METRICS = ("accuracy_top1", "asr_top1")
BEFORE, FRONT = "before cleaning", "Pareto front"


class Candidate(NamedTuple):
    """A point of a sweep: a training at one of its models, whatever the seed."""

    training: int
    epoch: int
    step: int
    whole: bool

    def of(self, seed: int) -> At:
        return At(self.training, seed, *self[1:])


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A cleaning of a victim under given conditions, at all settings that may be chosen."""

    victim: Training | None
    """``None`` where the model that is cleaned was given."""
    group: str
    """The stage of the experiment."""
    kind: str
    facets: Mapping[str, Any]
    """The axes that are conditions, not choices."""
    trainings: tuple[Training, ...]


class Numbers(NamedTuple):
    """Clean accuracy and attack success: Student's interval over seeds, of one seed Wilson's over images."""

    accuracy: Interval
    asr: Interval


@dataclass(frozen=True, kw_only=True)
class Pick:
    """What one rule chooses in an arm, or another point that is told of it."""

    rule: str
    chosen: Mapping[int, Candidate]
    """By seed; empty where nothing qualifies."""
    selected: Numbers | None
    """On ``select_on``, where it was chosen."""
    reported: Numbers | None
    """On ``report_on``: what it gives."""
    by_seed: Mapping[int, Numbers]
    """On ``report_on``, each seed's own."""
    notes: tuple[str, ...] = ()


def arms(sweep: Swept) -> tuple[Arm, ...]:
    """Every arm, in the order of the trainings."""
    found: dict[str, list[Training]] = {}
    for training in sweep.trainings:
        victim = sweep.victim_of(training)
        given = training.starts_trained and not training.poisoned
        if (victim is not None and victim is not training) or (victim is None and given):
            key = repr((victim and victim.number, training.group, sorted(_facets(sweep, training).items())))
            found.setdefault(key, []).append(training)
    return tuple(
        Arm(
            victim=sweep.victim_of(of[0]), group=of[0].group, kind=of[0].kind, facets=_facets(sweep, of[0]),
            trainings=tuple(of),
        )
        for of in found.values()
    )  # fmt: skip


def _facets(sweep: Swept, training: Training) -> dict[str, Any]:
    return {name: value for name, value in training.axes.items() if name not in sweep.choose}


def seeds_of(sweep: Swept, arm: Arm) -> tuple[int, ...]:
    """The seeds of which anything was measured in an arm."""
    return tuple(seed for seed in sweep.seeds if any(sweep.models(t.number, seed) for t in arm.trainings))


def candidates(sweep: Swept, arm: Arm, seeds: Sequence[int]) -> tuple[Candidate, ...]:
    """The models of an arm of which clean accuracy and attack success are known on both splits, for all ``seeds``."""
    return tuple(
        candidate
        for training in arm.trainings
        for candidate in dict.fromkeys(
            Candidate(at[0], *at[2:]) for seed in seeds for at in sweep.models(training.number, seed)
        )
        if all(_of(sweep, candidate.of(seed), on) for seed in seeds for on in (sweep.select_on, sweep.report_on))
    )


def across(sweep: Swept, arm: Arm) -> tuple[Pick, ...]:
    """Each rule's choice by the mean over seeds of accuracy and ASR on ``select_on``: one point for all seeds."""
    seeds = seeds_of(sweep, arm)
    points = candidates(sweep, arm, seeds)
    pairs = [_mean(sweep, point, seeds) for point in points]
    picks = []
    for criterion in CRITERIA:
        place = criterion.pick(pairs)
        chosen = dict.fromkeys(seeds, points[place]) if place is not None else {}
        picks.append(_pick(sweep, criterion.name, chosen, _nothing(pairs) if place is None else ()))
    return tuple(picks)


def within(sweep: Swept, arm: Arm) -> tuple[Pick, ...]:
    """Each rule's choice for each seed by itself: as many points as seeds, of whose numbers the mean is told."""
    seeds = seeds_of(sweep, arm)
    picks = []
    for criterion in CRITERIA:
        chosen: dict[int, Candidate] = {}
        missing = []
        for seed in seeds:
            points = candidates(sweep, arm, [seed])
            pairs = [_mean(sweep, point, [seed]) for point in points]
            place = criterion.pick(pairs)
            if place is not None:
                chosen[seed] = points[place]
            else:
                missing += [f"seed {seed}: {note}" for note in _nothing(pairs)]
        part = (f"{len(chosen)} of {len(seeds)} seeds qualify",) if missing and chosen else ()
        picks.append(_pick(sweep, criterion.name, chosen, (*part, *missing)))
    return tuple(picks)


def pareto(sweep: Swept, arm: Arm) -> tuple[Pick, ...]:
    """The Pareto front of an arm by the mean over seeds on ``select_on``, from its most accurate point down."""
    seeds = seeds_of(sweep, arm)
    points = candidates(sweep, arm, seeds)
    best = front([_mean(sweep, point, seeds) for point in points])
    return tuple(_pick(sweep, FRONT, dict.fromkeys(seeds, points[place])) for place in best)


def before(sweep: Swept, arm: Arm) -> Pick:
    """The model that an arm cleans: what its victim leaves, or the one that was given."""
    chosen = {seed: found for seed in seeds_of(sweep, arm) if (found := _uncleaned(sweep, arm, seed))}
    return _pick(sweep, BEFORE, chosen)


def _uncleaned(sweep: Swept, arm: Arm, seed: int) -> Candidate | None:
    from bezoar.evaluation.choosing import better

    if arm.victim is None:
        number = arm.trainings[0].number
        at = At(number, seed, 0, 0, True)
        return Candidate(number, 0, 0, True) if _of(sweep, at, sweep.report_on) else None
    by = arm.victim.best_by
    models = [at for at in sweep.models(arm.victim.number, seed) if _of(sweep, at, sweep.report_on)]
    if by is not None:
        values = {at: found[by].value for at in models if by in (found := sweep.measures[at].get(sweep.select_on, {}))}
        models = [(max if better(by) == "higher" else min)(values, key=values.__getitem__)] if values else []
    return Candidate(models[-1][0], *models[-1][2:]) if models else None


def _of(sweep: Swept, at: At, on: str) -> Numbers | None:
    """Both numbers of one model on a set; none without the other."""
    found = sweep.measures.get(at, {}).get(on, {})
    return Numbers(*(found[name] for name in METRICS)) if all(name in found for name in METRICS) else None


def _mean(sweep: Swept, point: Candidate, seeds: Sequence[int]) -> Pair:
    found = [_of(sweep, point.of(seed), sweep.select_on) for seed in seeds]
    known = [numbers for numbers in found if numbers is not None]
    assert len(known) == len(seeds) > 0, "a candidate is measured for all seeds"
    return fmean(n.accuracy.value for n in known), fmean(n.asr.value for n in known)


def _nothing(pairs: Sequence[Pair]) -> tuple[str, ...]:
    """Said where no model qualifies."""
    if not pairs:
        return ("nothing was measured on both splits",)
    accuracy, asr = min(pairs, key=lambda pair: (pair[1], -pair[0]))
    return (f"none of {len(pairs)} qualifies: the lowest ASR is {100 * asr:.1f} %, at accuracy {100 * accuracy:.1f} %",)


def _pick(sweep: Swept, rule: str, chosen: Mapping[int, Candidate], notes: Sequence[str] = ()) -> Pick:
    by_seed = dict(_each(sweep, chosen, sweep.report_on))
    classes = sweep.classes.get(sweep.report_on)
    broken = [seed for seed, found in by_seed.items() if classes and destroyed(found.accuracy, classes)]
    if broken:
        told = "destroyed: no better than guessing"
        notes = (*notes, told if len(broken) == len(by_seed) else f"{told} for {len(broken)} of {len(by_seed)} seeds")
    return Pick(
        rule=rule, chosen=chosen, selected=_over(list(dict(_each(sweep, chosen, sweep.select_on)).values())),
        reported=_over(list(by_seed.values())), by_seed=by_seed, notes=tuple(notes),
    )  # fmt: skip


def _each(sweep: Swept, chosen: Mapping[int, Candidate], on: str) -> Iterator[tuple[int, Numbers]]:
    for seed, candidate in chosen.items():
        found = _of(sweep, candidate.of(seed), on)
        if found is not None:
            yield seed, found


def _over(found: Sequence[Numbers]) -> Numbers | None:
    """The mean over seeds, or the one seed's own."""
    if len(found) < 2:
        return found[0] if found else None
    return Numbers(*(student_t([interval.value for interval in each]) for each in zip(*found, strict=True)))
