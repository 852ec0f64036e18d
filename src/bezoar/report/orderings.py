"""Published orderings held against sweeps: each appears, does not, or cannot be told, with what was measured of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from bezoar.core.settings import Settings, settings, validate
from bezoar.metrics import Interval, student_t, unpaired_difference
from bezoar.report.fronts import CRITERIA
from bezoar.report.grid import Grid
from bezoar.report.sweep_choice import BEFORE, Arm, Pick, across, arms, before
from bezoar.report.sweeps import METRICS, Swept
from bezoar.report.text import DASH, measured, points

RULES = (BEFORE, *(criterion.name for criterion in CRITERIA))
APPEARS, ABSENT, OPEN = "appears", "does not appear", "cannot tell"
ONLY_LESS, ONLY_MORE = "only the less has a point that qualifies", "only the more has a point that qualifies"


@settings
class Which(Settings):
    """One arm of a sweep: the cleaning of the experiment, and the values of conditions that tell it from others."""

    cleaning: str
    at: Mapping[str, Any] = Field(default_factory=dict)
    rule: Literal[RULES] | None = None  # type: ignore[valid-type]
    """Instead of the ordering's own."""


@settings
class Ordering(Settings):
    """That one number is less than another, as somebody has published it."""

    claim: str
    published: str
    """What was published of it, with its source in ``results/papers.toml``."""
    sweeps: Annotated[tuple[str, ...], Field(min_length=1)]
    metric: Literal["accuracy_top1", "asr_top1"] = "asr_top1"
    rule: Literal[RULES]  # type: ignore[valid-type]
    less: Which
    more: Which
    diagnosis: str = ""
    """What is to be said of it, as why it does not appear, as far as is known."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """An ordering in one sweep."""

    ordering: Ordering
    sweep: str
    less: Interval | None
    more: Interval | None
    difference: Interval | None
    """``more`` minus ``less``: over several seeds Student's interval of the differences within a seed, of one seed
    Newcombe's of two shares as if their pictures were others."""
    seeds: int
    verdict: str


def orderings(plain: Sequence[Mapping[str, Any]]) -> tuple[Ordering, ...]:
    """Orderings from plain values; raises ``ValueError`` that names what is wrong."""
    return tuple(validate(Ordering, dict(one)) for one in plain)


def held(ordering: Ordering, sweep: Swept) -> Held:
    """What ``sweep`` has to say: points chosen by the rule on ``select_on``, their numbers on ``report_on``.

    It appears where the whole interval of the difference lies above 0, and does not where it lies below; where no
    point of an arm qualifies for the rule, there is no difference, and the verdict says so. Raises ``ValueError`` where
    an arm is not in the sweep.
    """
    less, more = (_picked(sweep, which, which.rule or ordering.rule) for which in (ordering.less, ordering.more))
    place = METRICS.index(ordering.metric)
    difference = _difference(less, more, place)
    return Held(
        ordering=ordering, sweep=sweep.name, difference=difference,
        less=less.reported[place] if less.reported else None, more=more.reported[place] if more.reported else None,
        seeds=len({*less.by_seed, *more.by_seed}), verdict=_verdict(less, more, difference),
    )  # fmt: skip


def table(found: Sequence[Held]) -> Grid:
    """A line for each ordering and sweep."""
    head = ("Published ordering", "Published", "Sweep", "Chosen by", "The less", "The more", "Difference", "Verdict")
    lines = tuple(
        (
            one.ordering.claim, one.ordering.published, one.sweep, one.ordering.rule,
            *(measured(number, one.seeds > 1) if number else "nothing qualifies" for number in (one.less, one.more)),
            _points(one.difference), one.verdict + (", one seed" if one.seeds == 1 else ""),
        )
        for one in found
    )  # fmt: skip
    return Grid(head, lines, (False,) * 4 + (True,) * 3 + (False,))


def _picked(sweep: Swept, which: Which, rule: str) -> Pick:
    arm = _arm(sweep, which)
    if rule == BEFORE:
        return before(sweep, arm)
    return next(pick for pick in across(sweep, arm) if pick.rule == rule)


def _arm(sweep: Swept, which: Which) -> Arm:
    said = {name: str(value) for name, value in which.at.items()}
    found = [
        arm
        for arm in arms(sweep)
        if arm.group == which.cleaning
        and said.items() <= {name: str(value) for name, value in arm.facets.items()}.items()
    ]
    if len(found) != 1:
        known = ", ".join(dict.fromkeys(f"{arm.group} {dict(arm.facets) or ''}".strip() for arm in arms(sweep)))
        raise ValueError(
            f"orderings: {len(found)} arms of {sweep.name} are '{which.cleaning}' at {said} (there are {known})"
        )
    return found[0]


def _difference(less: Pick, more: Pick, place: int) -> Interval | None:
    """Over the seeds that both have."""
    seeds = [seed for seed in less.by_seed if seed in more.by_seed]
    if len(seeds) > 1:
        return student_t([more.by_seed[seed][place].value - less.by_seed[seed][place].value for seed in seeds])
    if not seeds:
        return None
    return unpaired_difference(less.by_seed[seeds[0]][place], more.by_seed[seeds[0]][place])


def _verdict(less: Pick, more: Pick, difference: Interval | None) -> str:
    if bool(less.by_seed) != bool(more.by_seed):
        return ONLY_LESS if less.by_seed else ONLY_MORE
    if difference is None or difference.low <= 0 <= difference.high:
        return OPEN
    return APPEARS if difference.low > 0 else ABSENT


def _points(difference: Interval | None) -> str:
    if difference is None:
        return DASH
    low, value, high = (points(100 * end) for end in (difference.low, difference.value, difference.high))
    return f"{value} ({low} to {high})"
