"""The distinct trainings of a sweep: what several points share is one, known by the axes that it depends on."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bezoar.core.files import read_object
from bezoar.experiment.axes import Label
from bezoar.experiment.experiment import Experiment, Stage
from bezoar.experiment.stages import Job
from bezoar.experiment.sweep import Point, Sweep

FAILED = "failed.json"
SCHEMA = 1
"""Of ``failed.json``."""


@dataclass(frozen=True)
class Share(Job):
    """One stage of one seed, in the folder of a sweep that its points share."""

    at: str
    """Where it stands, for people."""

    @functools.cached_property
    def folder(self) -> Path:
        """Taken once: it is asked for often, and its digest goes back to the first stage."""
        return self.layout.stage(self.experiment, self.stage, self.seed)

    @functools.cached_property
    def start(self) -> Share | None:
        found = next((stage for stage in self.experiment.stages if stage.name == self.stage.start), None)
        return Share(self.experiment, found, self.seed, self.root, self.at) if found else None

    @functools.cached_property
    def teacher(self) -> Share | None:
        found = next((stage for stage in self.experiment.stages if stage.name == self.stage.teacher), None)
        return Share(self.experiment, found, self.seed, self.root, self.at) if found else None

    @property
    def label(self) -> str:
        words = [self.stage.name, *((self.at,) if self.at else ())]
        return f"{' '.join(words)}, seed {self.seed}" if len(self.experiment.seeds) > 1 else " ".join(words)

    @property
    def failed(self) -> str | None:
        """Why it has failed, or a stage before it, and so cannot be had; a run that diverges does so every time."""
        path = self.folder / FAILED
        if path.exists():
            return str(read_object(path, SCHEMA).get("error"))
        before = (other.failed for other in (self.start, self.teacher) if other is not None)
        return next((why for why in before if why is not None), None)

    @property
    def over(self) -> bool:
        """Whether nothing is left to be done."""
        return self.done or self.failed is not None


@dataclass(frozen=True)
class Work:
    """A training of a sweep: a stage at the values of the axes that it depends on, for every seed."""

    experiment: Experiment
    """That of the first point that has it."""
    stage: Stage
    group: str
    """The stage of the experiment, without what its grid adds."""
    grid: Mapping[str, Label]
    """Its fields of the stage's grid."""
    axes: Mapping[str, Label]
    jobs: tuple[Share, ...]
    """One for each seed."""
    start: int | None
    """The work that it starts from, by its place in the list."""
    teacher: int | None = None
    """The one that teaches it."""


def works(sweep: Sweep, points: Sequence[Point], root: Path) -> tuple[Work, ...]:
    """Every distinct training of the ``points``, those that others start from before them.

    Two points share a stage where its digest is the same. An axis that never changes the digest of a stage says
    nothing of it, and is left out of what the stage is known by.
    """
    seeds = sweep.base.seeds
    at: dict[str, dict[int, Path]] = {}
    for number, point in enumerate(points):
        for stage in point.experiment.expanded():
            at.setdefault(stage.name, {})[number] = Job(point.experiment, stage, seeds[0], root).folder
    named = {name: depends(points, folders) for name, folders in at.items()}
    found: dict[Path, Work] = {}
    places: dict[Path, int] = {}
    for number, point in enumerate(points):
        for group in point.experiment.stages:
            values = [dict(zip(group.grid, at, strict=True)) for at in itertools.product(*group.grid.values())]
            for stage, grid in zip(group.expand(), values, strict=True):
                folder = at[stage.name][number]
                if folder in found:
                    continue
                where = {axis: point.axes[axis] for axis in named[stage.name]}
                said = " ".join(f"{axis.rpartition('.')[2]}={label}" for axis, label in where.items())
                jobs = tuple(Share(point.experiment, stage, seed, root, said) for seed in seeds)
                start = places[at[stage.start][number]] if stage.start is not None else None
                teacher = places[at[stage.teacher][number]] if stage.teacher in at else None
                places[folder] = len(found)
                found[folder] = Work(point.experiment, stage, group.name, grid, where, jobs, start, teacher)
    return tuple(found.values())


def depends(points: Sequence[Point], folders: Mapping[int, Path]) -> tuple[str, ...]:
    """The axes that tell the folders of one stage at the points that have it apart, in their order."""
    kept = list(points[0].axes)
    for axis in tuple(kept):
        rest = [name for name in kept if name != axis]
        if _tells(points, folders, rest):
            kept = rest
    return tuple(kept)


def _tells(points: Sequence[Point], folders: Mapping[int, Path], axes: Sequence[str]) -> bool:
    """Whether the values of ``axes`` alone say which folder it is."""
    known: dict[tuple[Label, ...], Path] = {}
    return all(known.setdefault(tuple(points[n].axes[a] for a in axes), path) == path for n, path in folders.items())
