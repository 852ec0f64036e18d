"""The page of a sweep: one HTML file that works offline, with the figure, the tables, and what each axis does."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bezoar.core.files import write_text
from bezoar.report.grid import Grid
from bezoar.report.page import LIMIT, environment, html_file
from bezoar.report.plans import mapping
from bezoar.report.sweep_choice import across, arms, within
from bezoar.report.sweep_panels import LIMIT as AT_MOST
from bezoar.report.sweep_panels import MARGIN, axis_of, panels
from bezoar.report.sweep_remarks import Choose, missing, rules, story
from bezoar.report.sweep_splits import safe_grid
from bezoar.report.sweep_tables import brief, document, fronts, summary, write_tables
from bezoar.report.sweeps import INDEX, Swept, read_sweep
from bezoar.report.text import DASH

if TYPE_CHECKING:
    from bezoar.report.svg import Plot
    from bezoar.report.sweep_plane import Apart


@dataclass(frozen=True, kw_only=True)
class Lean:
    """How much of everything a page holds."""

    spots: bool = True
    """Whether points can be pointed at."""
    curves: bool = True
    rows: int | None = None
    """Of a table."""

    @property
    def said(self) -> str:
        """What is left out, in a sentence; empty where nothing is."""
        parts = [
            *(() if self.spots else ("what the plots would tell of each point",)),
            *(() if self.curves else ("the plots over the axes",)),
            *(() if self.rows is None else (f"what comes after {self.rows} rows of a table",)),
        ]
        return f"To stay under 3 MB this page leaves out {'; '.join(parts)}. The exports are whole." if parts else ""


_LEVELS = (Lean(), Lean(spots=False), Lean(spots=False, rows=300), Lean(spots=False, rows=300, curves=False))


@dataclass(frozen=True, kw_only=True)
class ByArm:
    """The table of what would be chosen, arm by arm."""

    head: Sequence[str]
    numbers: Sequence[bool]
    arms: Sequence[tuple[str, Sequence[Sequence[str]]]]
    """Names and lines."""
    left_out: int
    """Arms."""


def by_arm(table: Grid, sweep: Swept, most: int | None) -> ByArm:
    """The lines of a summary under the names of their arms; ``most`` arms at most."""
    found: dict[tuple[str, ...], list[Sequence[str]]] = {}
    kept = brief(table, sweep)
    own = kept.head.index("Rule")
    for line in kept.lines:
        found.setdefault(line[:own], []).append(line[own:])
    names = [", ".join(word for word in (f"{key[0]} → {key[1]}", *key[2:]) if word != DASH) for key in found]
    every = list(zip(names, found.values(), strict=True))
    left = len(every) - len(every[:most])
    return ByArm(head=kept.head[own:], numbers=kept.numbers[own:], arms=every[:most], left_out=left)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Panels for the template."""

    axis: str
    """By which they are split; empty where they are not."""
    plots: Sequence[tuple[str, str]]
    """Names and pictures."""
    legend: Sequence[tuple[str, str]]
    """Words and icons."""
    left_out: int


def only_sweep(folders: Sequence[Path]) -> Path | None:
    """The folder of a sweep, where that is all that is named; ``None`` where all are others.

    Raises ``ValueError`` for a sweep among other folders.
    """
    sweeps = [folder for folder in folders if (folder / INDEX).is_file()]
    if not sweeps or len({folder.resolve() for folder in folders}) == 1:
        return next(iter(sweeps), None)
    raise ValueError(f"runs: {sweeps[0]} is the folder of a sweep, which is reported alone; got {len(folders)} folders")


def write_page(folder: Path, out: Path | None = None, by: Sequence[str] = (), each_seed: bool = False) -> Path:
    """Write the page of a sweep, and its tables; returns the page.

    By default these are ``report.html``, ``summary.md``, ``summary.csv`` and ``front.csv`` in its folder. With ``out``,
    an HTML file, the tables stand beside that in Markdown. ``by`` are axes that split the figure, by path or end.
    Settings are chosen by the mean over seeds; with ``each_seed`` for each seed by itself. Raises ``ValueError`` where
    there is no sweep or no such axis.
    """
    html_file(out)
    sweep, choose = read_sweep(folder), within if each_seed else across
    page = html(sweep, choose, [axis_of(sweep, field) for field in by], folder)
    at = out or folder / "report.html"
    write_text(at, page)
    if out is None:
        write_tables(folder, sweep, choose)
    else:
        write_text(at.with_suffix(".md"), document(sweep, choose))
    return at


def html(sweep: Swept, choose: Choose = across, by: Sequence[str] = (), folder: Path | None = None) -> str:
    """The page, thinned out with a word where it would not fit into ``LIMIT`` bytes.

    ``by`` are whole names of axes; in ``folder`` lie ``sweep.yaml`` and ``environment.json``, if anywhere.
    """
    found = _gathered(sweep, choose, by, folder)
    size = 0
    for lean in _LEVELS:
        page = _rendered(found, lean)
        size = len(page.encode())
        if size <= LIMIT:
            return page
    raise ValueError(f"sweep: it makes a page of {size / 1e6:.1f} MB; name fewer axes to split by, or export its parts")


def _gathered(sweep: Swept, choose: Choose, by: Sequence[str], folder: Path | None) -> dict[str, Any]:
    """All that a page may show."""
    from bezoar.report.sweep_axes import by_axis, curves, draw
    from bezoar.report.sweep_plane import plots

    plane, left = plots(sweep, choose), panels(sweep)[1]
    drawn = by_axis(curves(sweep, choose))
    path = folder / "sweep.yaml" if folder else None
    lost = [f"No attack success was measured of what cleans {name}: it has no panel." for name in left]
    return {
        "sweep": sweep,
        "points": sum(len(arm.points) for arm in arms(sweep)),
        "within": any(not point.whole for arm in arms(sweep) for point in arm.points),
        "story": story(sweep, choose),
        "rules": rules(sweep, choose),
        "missing": [*missing(sweep), *lost],
        "table": summary(sweep, choose),
        "fronts": fronts(sweep),
        "safe_set": safe_grid(sweep),
        "region": f"ASR ≤ {100 * AT_MOST:g} % within {100 * MARGIN:g} points of the best accuracy of all cleanings of "
        "that victim",
        "planes": [("", plane), *((axis, plots(sweep, choose, axis, f"by{n}")) for n, axis in enumerate(by))],
        "curves": {
            axis: [(each.victim, draw(sweep, each, f"axis{n}-{i}")) for i, each in enumerate(of)]
            for n, (axis, of) in enumerate(drawn.items())
        },
        "yaml": path.read_text("utf-8") if path and path.is_file() else "",
        "environment": mapping(folder / "environment.json") if folder else {},
    }


def _rendered(found: Mapping[str, Any], lean: Lean) -> str:
    from bezoar.report.svg import icon, inline

    def text(plot: Plot) -> str:
        return inline(plot if lean.spots else replace(plot, spots=()))

    def figure(axis: str, of: Apart) -> Figure:
        legend = [(words, icon(mark, color)) for words, mark, color in of.legend]
        plots = [(name, text(plot)) for name, plot in zip(of.names, of.plots, strict=True)]
        return Figure(axis=axis, plots=plots, legend=legend, left_out=of.left_out)

    def cut(grid: Grid) -> Grid:
        return Grid(grid.head, grid.lines[: lean.rows], grid.numbers)

    templates = environment()
    script = templates.loader.get_source(templates, "report.js")[0] if templates.loader else ""
    drawn = found["curves"] if lean.curves else {}
    return templates.get_template("sweep.html.j2").render({
        **found, "title": found["sweep"].name, "thinned": lean.said,
        "table": by_arm(found["table"], found["sweep"], lean.rows and lean.rows // 5), "fronts": cut(found["fronts"]),
        "safe_set": found["safe_set"] and cut(found["safe_set"]),
        "planes": [figure(*part) for part in found["planes"]],
        "curves": {axis: [(victim, text(plot)) for victim, plot in of] for axis, of in drawn.items()},
        "script": script, "digest": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    })  # fmt: skip
