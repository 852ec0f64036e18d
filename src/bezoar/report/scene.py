"""What the panels of a plane share: the models, their looks, and what they leave behind for readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bezoar.report.looks import PATHS, Look, looks
from bezoar.report.svg import Spot
from bezoar.report.tables import Row, every_epoch, table
from bezoar.report.text import measured, setting

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bezoar.metrics import Interval
    from bezoar.report.runs import Run


@dataclass
class Scene:
    """What all panels of a plot share, and what they leave behind for its readers."""

    runs: Mapping[str, Run]
    """By title."""
    looks: Mapping[tuple[str, str], Look]
    paths: Sequence[Row]
    """Every epoch of what is drawn as a line."""
    ends: Sequence[Row]
    """Victims and controls, the model that each leaves."""
    means: Sequence[Row]
    """Chosen points on average over seeds."""
    spots: list[Spot] = field(default_factory=list)
    lines: int = 0
    """Lines and single points drawn so far."""
    legend: dict[tuple[str, str], str] = field(default_factory=dict)
    """Color by name and mark, in the order they came up: a run and a stage may have one name."""

    @property
    def drawn(self) -> list[Row]:
        """Every model that is one of its own, and no mean."""
        return [*self.paths, *self.ends]


def gathered(runs: Sequence[Run]) -> Scene:
    """All models of ``runs`` that have an attack success, and how each is drawn."""
    rows = [row for run in runs for row in table(run) if row.asr]
    return Scene(
        runs={run.title: run for run in runs},
        looks=looks(runs),
        paths=[row for run in runs for row in every_epoch(run) if row.asr and row.role in PATHS],
        ends=[row for row in rows if row.role not in PATHS and row.seed is not None],
        means=[row for row in rows if row.chosen and row.seed is None],
    )


def look_of(scene: Scene, row: Row) -> Look:
    """How a row is drawn, noted for the legend."""
    look = scene.looks[row.run, row.group]
    for name, color, mark in look.names:
        scene.legend.setdefault((name, mark), color)
    return look


def spot(axes: Axes, scene: Scene, row: Row) -> None:
    """Let a reader point at a model."""
    run = scene.runs[row.run]
    method = run.groups[row.group].method
    lr = {} if "lr" in row.settings or "lr" not in method else {"lr": method["lr"]}
    if row.seed is None and any("lr" in at for at in run.groups[row.group].points.values()):
        lr = {}
    who = f"{row.group}, {'mean of ' + str(both(row)[0].n) + ' seeds' if row.seed is None else f'seed {row.seed}'}"
    text = [
        *((row.run,) if len(scene.runs) > 1 else ()),
        who,
        setting({**lr, **row.settings}, row.epoch, row.within),
        f"clean accuracy {measured(row.accuracy, row.seed is None)}",
        f"attack success {measured(row.asr, row.seed is None)}",
        *((f"chosen on {run.select_on}",) if row.chosen else ()),
        *row.notes,
    ]
    scene.spots.append(Spot(axes, *place(row), scene.lines, "\n".join(text)))


def both(row: Row) -> tuple[Interval, Interval]:
    """Clean accuracy and attack success of a row that has both."""
    assert row.accuracy is not None
    assert row.asr is not None
    return row.accuracy, row.asr


def place(row: Row) -> tuple[float, float]:
    """Where a row lies in the plane, in percent."""
    x, y = both(row)
    return 100 * x.value, 100 * y.value
