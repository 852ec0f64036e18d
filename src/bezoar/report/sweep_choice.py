"""What a defender would choose in a sweep: selected on one split, reported on another, with all seeds beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

from bezoar.metrics import destroyed, student_t
from bezoar.report.fronts import CRITERIA, Pair, front
from bezoar.report.sweeps import At, Numbers, Swept, Training

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
    seeds: tuple[int, ...]
    """Of which anything was measured."""
    points: tuple[Candidate, ...]
    """What is chosen from: models of which both numbers are known on both splits, for all ``seeds``."""


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


def arms(sweep: Swept, *apart: str) -> tuple[Arm, ...]:
    """Every arm, in the order of the trainings; ``apart`` are settings that are taken for conditions too."""
    found: dict[str, list[Training]] = {}
    for training in sweep.trainings:
        victim = sweep.victim_of(training)
        given = training.starts_trained and not training.poisoned
        if (victim is not None and victim is not training) or (victim is None and given):
            facets = sorted(_facets(sweep, training, apart).items())
            found.setdefault(repr((victim and victim.number, training.group, facets)), []).append(training)
    return tuple(_arm(sweep, of, apart) for of in found.values())


def _arm(sweep: Swept, of: Sequence[Training], apart: Sequence[str]) -> Arm:
    seeds = tuple(seed for seed in sweep.seeds if any(sweep.models(t.number, seed) for t in of))
    return Arm(
        victim=sweep.victim_of(of[0]), group=of[0].group, kind=of[0].kind, facets=_facets(sweep, of[0], apart),
        trainings=tuple(of), seeds=seeds, points=_known(sweep, of, seeds),
    )  # fmt: skip


def _facets(sweep: Swept, training: Training, apart: Sequence[str]) -> dict[str, Any]:
    own = training.settings
    return {
        key: value for key, value in own.items() if key in apart or (key in training.axes and key not in sweep.choose)
    }


def candidates(sweep: Swept, arm: Arm, seeds: Sequence[int]) -> tuple[Candidate, ...]:
    """The models of an arm of which clean accuracy and attack success are known on both splits, for all ``seeds``."""
    return arm.points if tuple(seeds) == arm.seeds else _known(sweep, arm.trainings, seeds)


def _known(sweep: Swept, trainings: Sequence[Training], seeds: Sequence[int]) -> tuple[Candidate, ...]:
    return tuple(
        candidate
        for training in trainings
        for candidate in dict.fromkeys(
            Candidate(at[0], *at[2:]) for seed in seeds for at in sweep.models(training.number, seed)
        )
        if all(sweep.numbers(candidate.of(seed), on) for seed in seeds for on in (sweep.select_on, sweep.report_on))
    )


def across(sweep: Swept, arm: Arm) -> tuple[Pick, ...]:
    """Each rule's choice by the mean over seeds of accuracy and ASR on ``select_on``: one point for all seeds."""
    pairs = [_mean(sweep, point, arm.seeds) for point in arm.points]
    picks = []
    for criterion in CRITERIA:
        place = criterion.pick(pairs)
        chosen = dict.fromkeys(arm.seeds, arm.points[place]) if place is not None else {}
        picks.append(_pick(sweep, criterion.name, chosen, _nothing(pairs) if place is None else ()))
    return tuple(picks)


def within(sweep: Swept, arm: Arm) -> tuple[Pick, ...]:
    """Each rule's choice for each seed by itself: as many points as seeds, of whose numbers the mean is told."""
    points = {seed: candidates(sweep, arm, [seed]) for seed in arm.seeds}
    pairs = {seed: [_mean(sweep, point, [seed]) for point in found] for seed, found in points.items()}
    picks = []
    for criterion in CRITERIA:
        chosen: dict[int, Candidate] = {}
        missing = []
        for seed in arm.seeds:
            place = criterion.pick(pairs[seed])
            if place is not None:
                chosen[seed] = points[seed][place]
            else:
                missing += [f"seed {seed}: {note}" for note in _nothing(pairs[seed])]
        part = (f"{len(chosen)} of {len(arm.seeds)} seeds qualify",) if missing and chosen else ()
        picks.append(_pick(sweep, criterion.name, chosen, (*part, *missing)))
    return tuple(picks)


def pareto(sweep: Swept, *of: Arm) -> tuple[Pick, ...]:
    """The Pareto front of an arm, or of several together, by the mean over seeds on ``select_on``.

    From its most accurate point down.
    """
    points = [(arm, point) for arm in of for point in arm.points]
    best = front([_mean(sweep, point, arm.seeds) for arm, point in points])
    return tuple(_pick(sweep, FRONT, dict.fromkeys(points[place][0].seeds, points[place][1])) for place in best)


def before(sweep: Swept, arm: Arm) -> Pick:
    """The model that an arm cleans: what its victim leaves, or the one that was given."""
    chosen = {seed: found for seed in arm.seeds if (found := _uncleaned(sweep, arm, seed))}
    return _pick(sweep, BEFORE, chosen)


def _uncleaned(sweep: Swept, arm: Arm, seed: int) -> Candidate | None:
    from bezoar.evaluation.choosing import better

    if arm.victim is None:
        number = arm.trainings[0].number
        at = At(number, seed, 0, 0, True)
        return Candidate(number, 0, 0, True) if sweep.numbers(at, sweep.report_on) else None
    by = arm.victim.best_by
    models = [at for at in sweep.models(arm.victim.number, seed) if sweep.numbers(at, sweep.report_on)]
    if by is not None:
        values = {at: found[by].value for at in models if by in (found := sweep.measures[at].get(sweep.select_on, {}))}
        models = [(max if better(by) == "higher" else min)(values, key=values.__getitem__)] if values else []
    return Candidate(models[-1][0], *models[-1][2:]) if models else None


def _mean(sweep: Swept, point: Candidate, seeds: Sequence[int]) -> Pair:
    found = [sweep.numbers(point.of(seed), sweep.select_on) for seed in seeds]
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
        found = sweep.numbers(candidate.of(seed), on)
        if found is not None:
            yield seed, found


def _over(found: Sequence[Numbers]) -> Numbers | None:
    """The mean over seeds, or the one seed's own."""
    if len(found) < 2:
        return found[0] if found else None
    return Numbers(*(student_t([interval.value for interval in each]) for each in zip(*found, strict=True)))
