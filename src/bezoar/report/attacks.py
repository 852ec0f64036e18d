"""The attacks of a run beside each other: what each does, what it costs to see, how well it works, whether it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING

from bezoar.metrics import Interval, destroyed, student_t, takes
from bezoar.report.tables import DESTROYED, Row, table
from bezoar.report.wording import brief

if TYPE_CHECKING:
    from bezoar.report.plans import Plan
    from bezoar.report.runs import Run

SUCCESS = {"asr_top1": "triggered pictures", "targeted_top1": "chosen pictures", "caption_asr_top1": "prompts"}
"""What the success of an attack is a share of, by metric; the first that was measured is told."""
HALVES = {"asr_top1/picture": "trigger alone", "asr_top1/words": "words alone"}
"""Of a dual key, by metric."""
SEEN = ("mean", "psnr", "ssim", "linf")
"""What ``poison.json`` measures of a trigger that the table shows."""
MANY = 5
"""Attacks above which they are told together."""
TAKES, NOT, UNMEASURED, UNKNOWN = "takes", "does not take", "not measured", "no verdict"


@dataclass(frozen=True, kw_only=True)
class AttackRow:
    """One poisoned stage, on average over its seeds where it has several."""

    run: str
    group: str
    stage: str
    attack: str
    """A name of ``attacks``; empty for the experiment's own."""
    about: str
    targets: tuple[str, ...]
    count: float | None
    """Poisoned pairs."""
    total: int | None
    """Pairs of the poisoned set."""
    survival: Mapping[str, float] = field(default_factory=dict)
    """What was measured of ``SEEN``."""
    accuracy: Interval | None
    metric: str
    success: Interval | None
    """Never there without the clean accuracy."""
    without: Interval | None
    """The same share of the same model without the trigger; ``None`` where it is not known."""
    halves: Mapping[str, Interval] = field(default_factory=dict)
    seeds: int
    verdict: str


def attacks(run: Run) -> tuple[AttackRow, ...]:
    """One row a poisoned stage, in the order of the experiment."""
    rows = [row for row in table(run) if row.role == "victim"]
    stages = dict.fromkeys(row.stage for row in rows)
    return tuple(_row(run, [row for row in rows if row.stage == stage]) for stage in stages)


def several(run: Run) -> tuple[AttackRow, ...]:
    """The attacks of a run that has several poisoned stages; none of any other."""
    found = attacks(run)
    return found if len(found) > 1 else ()


def others(rows: Sequence[Row], beside: Sequence[AttackRow]) -> list[Row]:
    """Rows of a result without the attacked models where those are many and their own table tells all of them."""
    apart = len(beside) > MANY and not any(row.recall for row in rows)
    return [row for row in rows if row.role != "victim"] if apart else list(rows)


def rule(run: Run) -> str:
    """When an attack is said to take."""
    guess = f", 1 in {run.classes}" if run.classes else ""
    return (
        f"An attack takes where the lower end of its success lies above guessing{guess}, and above the upper end of "
        "“without it”, where that is known: what the same model does with the same pictures untouched, or with the "
        "same prompts without the words. How well it works is for the success to say; a destroyed model has no "
        "verdict, and another seed may have another."
    )


def _row(run: Run, rows: Sequence[Row]) -> AttackRow:
    """The row of a stage: ``rows`` are its mean, if it has one, and its seeds."""
    first, singles = rows[0], [row for row in rows if row.seed is not None]
    group = run.groups[first.group]
    plans = [plan for row in singles if row.seed is not None and (plan := run.plan_of(group, row.seed))]
    metric = next((name for name in SUCCESS if name in first.measured), "asr_top1")
    bars = [without for row in singles if (without := _without(run, row, metric))]
    settings = run.attack_of(group)
    return AttackRow(
        run=run.title,
        group=first.group,
        stage=first.stage,
        attack=group.attack or "",
        about=brief(settings) if settings else "",
        targets=run.targets_of(group.attack),
        count=fmean(plan.head["count"] for plan in plans) if plans else None,
        total=plans[0].length if plans else None,
        survival=dict(_survival(plans)),
        accuracy=first.accuracy,
        metric=metric,
        success=first.measured.get(metric) if first.accuracy else None,
        without=_over_seeds(bars) if bars and len(bars) == len(singles) else None,
        halves={name: first.more[name] for name in HALVES if name in first.more},
        seeds=len(singles),
        verdict=_together([verdict(run, row, metric) for row in singles]),
    )


def verdict(run: Run, row: Row, metric: str) -> str:
    """Whether an attack takes on one model, by ``rule``."""
    success, without = row.measured.get(metric), _without(run, row, metric)
    if row.accuracy is None or success is None:
        return UNMEASURED
    if not run.classes:
        return UNKNOWN
    if destroyed(row.accuracy, run.classes):
        return DESTROYED
    return TAKES if takes(success.low, run.classes, without.high if without else 0.0) else NOT


def _without(run: Run, row: Row, metric: str) -> Interval | None:
    """What a model does without the attack; a chosen picture has nothing that could be taken away."""
    if metric == "caption_asr_top1":
        return row.more.get("caption_rate_top1")
    return run.untouched.get((row.stage, row.seed or 0)) if metric == "asr_top1" else None


def _over_seeds(intervals: Sequence[Interval]) -> Interval:
    return student_t([one.value for one in intervals]) if len(intervals) > 1 else intervals[0]


def _together(verdicts: Sequence[str]) -> str:
    """The verdicts of all seeds as one."""
    if len(set(verdicts)) == 1:
        return verdicts[0]
    return f"{TAKES} for {verdicts.count(TAKES)} of {len(verdicts)} seeds"


def _survival(plans: Sequence[Plan]) -> Iterator[tuple[str, float]]:
    for key in SEEN:
        found = [value for plan in plans if (value := (plan.head.get("survival") or {}).get(key)) is not None]
        if found:
            yield key, fmean(found)
