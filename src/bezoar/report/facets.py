"""Small multiples: the plane once for each value of a setting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bezoar.report.fields import of_row, value_of
from bezoar.report.legend import explained, framed
from bezoar.report.plots import panel
from bezoar.report.scene import Scene, gathered
from bezoar.report.svg import Plot, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bezoar.report.runs import Run
    from bezoar.report.tables import Row

PANELS = 24
"""Panels of one field; values beyond them are only counted."""
_COLUMNS = 3


@dataclass(frozen=True, kw_only=True)
class Facets:
    """The plane by one field."""

    field: str
    panels: tuple[tuple[str, Plot], ...]
    """A value and its plane."""
    left_out: int
    """Values that have no panel."""


def facets(runs: Sequence[Run], field: str, number: int = 0, every: bool = True) -> Facets:
    """A plot for each value of ``field``, for a page; ``number`` keeps ids of several fields apart."""
    from matplotlib.figure import Figure

    scene = gathered(runs)
    parts = split(scene, field)
    plots = []
    for place, value in enumerate(list(parts)[:PANELS]):
        own = Scene(scene.runs, scene.looks, scene.paths, scene.ends, scene.means)
        with style():
            figure = Figure(figsize=(3.6, 3.1), layout="constrained")
            axes = figure.add_subplot()
            _draw(axes, own, parts[value], every)
        label = f"Clean accuracy against attack success where {field} is {value}"
        plots.append((value, Plot(name=f"by{number}-{place}", label=label, figure=figure, spots=tuple(own.spots))))
    return Facets(field=field, panels=tuple(plots), left_out=max(0, len(parts) - PANELS))


def sheet(runs: Sequence[Run], field: str) -> Plot | None:
    """All panels of ``field`` in one figure with a legend, for a file; ``None`` where there is nothing to draw."""
    from matplotlib.figure import Figure

    scene = gathered(runs)
    parts = list(split(scene, field).items())[:PANELS]
    if not parts:
        return None
    columns = min(_COLUMNS, len(parts))
    rows = -(-len(parts) // columns)
    with style():
        figure = Figure(layout="constrained")
        for place, (value, drawn) in enumerate(parts, 1):
            axes = figure.add_subplot(rows, columns, place)
            _draw(axes, scene, drawn, every=False)
            axes.set_title(f"{field}: {value}")
        lines = explained(figure, scene)
        figure.set_size_inches(max(5.6, 3.4 * columns), 3.1 * rows + 0.22 * lines)
    return Plot(name=f"plane-by-{field}", label=f"Clean accuracy against attack success by {field}", figure=figure)


Part = tuple[list["Row"], list["Row"], list["Row"]]
"""Paths, ends and means of one panel."""


def split(scene: Scene, field: str) -> dict[str, Part]:
    """What each value's panel shows: the models that have it, and the victims and controls of their runs and seeds.

    Models without such a setting stand together at the end. Of a run that cleans nothing the ends are split.
    """
    told: dict[Any, list[Row]] = {}
    cleaning = {row.run for row in scene.paths}
    shown = [*scene.paths, *(row for row in scene.ends if row.run not in cleaning)]
    for row in sorted(shown, key=lambda row: list(scene.runs).index(row.run)):
        told.setdefault(value_of(field, of_row(scene.runs[row.run], row)), []).append(row)
    missing = told.pop(None, [])
    values = sorted(told) if all(isinstance(value, (int, float)) for value in told) else list(told)
    parts = {str(value): told[value] for value in values}
    if missing:
        parts[f"no {field}"] = missing
    found: dict[str, Part] = {}
    for value, rows in parts.items():
        seeds = {(row.run, row.seed) for row in rows}
        here = set(map(id, rows))
        paths = [row for row in rows if row.run in cleaning]
        ends = [row for row in scene.ends if id(row) in here or (row.run in cleaning and (row.run, row.seed) in seeds)]
        means = [
            mean
            for mean in scene.means
            if all(id(r) in here for r in scene.paths if r.chosen and (r.run, r.group) == (mean.run, mean.group))
        ]
        found[value] = (paths, ends, means)
    return found


def _draw(axes: Axes, scene: Scene, part: Part, every: bool) -> None:
    panel(axes, scene, *part, every)
    framed(axes, scene)
    axes.set_xlabel("clean accuracy, %")
    axes.set_ylabel("attack success, %")
