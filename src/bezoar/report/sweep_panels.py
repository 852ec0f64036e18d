"""What the figure of a sweep shows: a panel a victim, or a panel a value of an axis, and the points in each."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

from bezoar.report.looks import COLORS, MARKS
from bezoar.report.sweep_choice import Arm, Candidate, arms
from bezoar.report.sweep_remarks import called
from bezoar.report.sweeps import Numbers, Swept

MARGIN, LIMIT = 0.03, 0.10
"""Of the region where a remedy should end: below the best accuracy of any cleaning of the victim, and of ASR."""


class Place(NamedTuple):
    """Clean accuracy and attack success, in percent."""

    accuracy: float
    asr: float


@dataclass(frozen=True, kw_only=True)
class Panel:
    """The arms of a victim, or those that have one value of an axis."""

    victim: str
    value: Any
    """Of the axis; ``None`` where the figure is not split, or where its models have no such axis."""
    arms: tuple[Arm, ...]


class Style(NamedTuple):
    """How a cleaning is drawn."""

    color: str
    mark: str


def panels(sweep: Swept, by: str | None = None) -> tuple[tuple[Panel, ...], tuple[str, ...]]:
    """The panels in order, victim by victim, and the names of those that nothing was measured for.

    ``by`` is the whole name of an axis, whose numbers ascend; models that do not depend on it stand last.
    """
    found: dict[str, dict[Any, list[Arm]]] = {}
    for arm in arms(sweep, *((by,) if by else ())):
        value = arm.facets.get(by) if by else None
        found.setdefault(called(arm.victim, by), {}).setdefault(value, []).append(arm)
    every = [
        Panel(victim=victim, value=value, arms=tuple(values[value]))
        for victim, values in found.items()
        for value in _ordered(list(values))
    ]
    shown = tuple(panel for panel in every if any(True for arm in panel.arms for _ in singles(sweep, arm)))
    left = tuple(" ".join(filter(None, (p.victim, told(by, p.value)))) for p in every if p not in shown)
    return shown, left


def _ordered(values: list[Any]) -> list[Any]:
    known = [value for value in values if value is not None]
    if all(isinstance(value, (int, float)) for value in known):
        known.sort()
    return [*known, *(value for value in values if value is None)]


def told(by: str | None, value: Any) -> str:
    """``lr 0.001``, or ``no lr``; nothing where a figure is not split."""
    if by is None:
        return ""
    end = by.rpartition(".")[2]
    return f"{end} {value}" if value is not None else f"no {end}"


def axis_of(sweep: Swept, field: str) -> str:
    """The axis, or the setting of a grid, that ``field`` names: its whole path, or the end of one path alone.

    Raises ``ValueError`` with the nearest for one that no training has.
    """
    names = list(dict.fromkeys([*sweep.axes, *(key for training in sweep.trainings for key in training.settings)]))
    ends = [name for name in names if name == field or name.endswith(f".{field}")]
    if field in ends or len(ends) == 1:
        return field if field in ends else ends[0]
    if ends:
        raise ValueError(f"by: '{field}' is the end of several axes: {', '.join(ends)}")
    words = list(dict.fromkeys(word for name in names for word in (name, name.rpartition(".")[2])))
    close = difflib.get_close_matches(field, words, n=3)
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"the axes are {', '.join(names) or 'none'}"
    raise ValueError(f"by: no axis is called '{field}'; {hint}")


def cleaning(arm: Arm) -> str:
    """What a stage does to its victim: its name without the victim's, so that it looks the same for every victim."""
    victim = arm.victim.group if arm.victim else ""
    for rest in (arm.group.removeprefix(victim), arm.group.removesuffix(victim)):
        if victim and rest != arm.group and rest.strip("+-_. "):
            return rest.strip("+-_. ")
    return arm.group


def styles(sweep: Swept) -> dict[str, Style]:
    """Of every cleaning: a color and a mark each."""
    names = dict.fromkeys(cleaning(arm) for arm in arms(sweep))
    return {name: Style(COLORS[i % len(COLORS)], MARKS[i % len(MARKS)]) for i, name in enumerate(names)}


def singles(sweep: Swept, arm: Arm) -> Iterator[Place]:
    """Every model of an arm, each seed by itself, on ``report_on``."""
    for training in arm.trainings:
        for seed in arm.seeds:
            for at in sweep.models(training.number, seed):
                found = sweep.numbers(at, sweep.report_on)
                if found:
                    yield place(found)


def mean(sweep: Swept, arm: Arm, point: Candidate) -> Place:
    """A point on ``report_on``, on average over the seeds of its arm."""
    found = [numbers for seed in arm.seeds if (numbers := sweep.numbers(point.of(seed), sweep.report_on))]
    return Place(100 * fmean(n.accuracy.value for n in found), 100 * fmean(n.asr.value for n in found))


def place(numbers: Numbers) -> Place:
    """Where a model lies."""
    return Place(100 * numbers.accuracy.value, 100 * numbers.asr.value)


def inside(points: Sequence[Place], left: float) -> int:
    """How many of ``points`` lie in the best region, which begins at accuracy ``left`` in percent."""
    return sum(at.accuracy >= left - 1e-9 and at.asr <= 100 * LIMIT + 1e-9 for at in points)
