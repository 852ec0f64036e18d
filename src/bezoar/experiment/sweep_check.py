"""Check a sweep before it is run: trainings whose experiments differ in stages alone are checked as one experiment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from bezoar.core.settings import digest
from bezoar.experiment.experiment import Experiment, Stage
from bezoar.experiment.layout import slug
from bezoar.experiment.sweep_works import Work

_LONGEST = 80
"""Characters in the name of a stage."""


def merged(works: Sequence[Work]) -> tuple[Experiment, ...]:
    """Experiments that together have every training.

    Only for what looks at stages one by one: a stage goes by its place in the sweep, ``cleanclip lr=0.001``.
    """
    groups: dict[str, list[int]] = {}
    for number, work in enumerate(works):
        bare = {name: value for name, value in vars(work.experiment).items() if name != "stages"}
        groups.setdefault(digest(bare), []).append(number)
    return tuple(_one(works, numbers) for numbers in groups.values())


def _one(works: Sequence[Work], numbers: Sequence[int]) -> Experiment:
    """The trainings, and before them those that they start from, in one experiment."""
    needed: dict[int, None] = {}
    for number in numbers:
        needed |= dict.fromkeys(_before(works, number))
    names: dict[int, str] = {}
    stages: list[Stage] = []
    for number in needed:
        work = works[number]
        names[number] = _name(work, names)
        start = names[work.start] if work.start is not None else None
        teacher = names[work.teacher] if work.teacher is not None else work.stage.teacher
        stages.append(replace(work.stage, name=names[number], start=start, teacher=teacher))
    return replace(works[numbers[0]].experiment, stages=tuple(stages))


def _before(works: Sequence[Work], number: int) -> Iterator[int]:
    """A training and all that it needs, these first."""
    for other in (works[number].start, works[number].teacher):
        if other is not None:
            yield from _before(works, other)
    yield number


def _name(work: Work, taken: dict[int, str]) -> str:
    """A name that tells the user which it is, and that no other has."""
    said = "".join(char if char.isalnum() or char in " ._=+-" else "_" for char in work.jobs[0].at)
    whole = f"{work.stage.name} {said}".strip().encode("ascii", "replace").decode().replace("?", "_")
    folders = {slug(name).casefold() for name in taken.values()}
    if len(whole) <= _LONGEST and slug(whole).casefold() not in folders:
        return whole
    return f"{work.stage.name[: _LONGEST - 8]} {len(taken) + 1}"
