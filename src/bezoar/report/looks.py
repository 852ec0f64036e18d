"""Colors and marks: which stage, or which run of several, looks how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bezoar.report.svg import INK
from bezoar.report.tables import role_of

if TYPE_CHECKING:
    from bezoar.report.runs import Run

COLORS = ("#2f86c6", "#e08f00", "#12a07a", "#d55e00", "#c774a6", "#7d8b2f", "#56b4e9")
"""After Okabe and Ito: told apart by color-blind eyes, and seen on white and on black."""
MARKS = "osD^vPX<>p"


@dataclass(frozen=True)
class Look:
    """How the points of one stage of one run are drawn."""

    color: str
    mark: str
    names: tuple[tuple[str, str, str], ...]
    """Legend entries that explain it: name, color, mark; an empty mark is a patch of color."""


def looks(runs: Sequence[Run]) -> dict[tuple[str, str], Look]:
    """By title of the run and name of the stage: of one run a color a stage, of several a color a run, a mark a stage.

    Ends of training have marks of their own: a star for what was poisoned, an open diamond for what was not.
    """
    found: dict[tuple[str, str], Look] = {}
    stages = list(dict.fromkeys(name for run in runs for name in run.groups if role_of(run, run.groups[name]) in PATHS))
    for number, run in enumerate(runs):
        own = colors(run)
        for group in run.groups.values():
            role = role_of(run, group)
            mark = MARKS[stages.index(group.name) % len(MARKS)] if role in PATHS else ENDS[role]
            if len(runs) == 1:
                color = own.get(group.name, INK)
                names: tuple[tuple[str, str, str], ...] = ((group.name, color, mark),)
            else:
                color = COLORS[number % len(COLORS)]
                names = ((run.title, color, ""), (group.name, INK, mark))
            found[run.title, group.name] = Look(color, mark, names)
    return found


PATHS = ("cleaned", "trained")
"""Roles that are drawn epoch by epoch; the others stand at their end."""
ENDS = {"victim": "*", "control": "d"}


def colors(run: Run) -> dict[str, str]:
    """The color of each stage: of cleanings, of what is trained in a run without victims, of victims if several."""
    roles = {group.name: role_of(run, group) for group in run.groups.values()}
    several = list(roles.values()).count("victim") > 1
    named = [name for name, role in roles.items() if role in PATHS or (several and role == "victim")]
    return {name: COLORS[number % len(COLORS)] for number, name in enumerate(named)}
