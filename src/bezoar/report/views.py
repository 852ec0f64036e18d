"""What the template shows of one run, worked out beforehand; and how much of it, where a page would grow too big."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bezoar.core.yaml import render as to_yaml
from bezoar.report.attack_table import attack_grid
from bezoar.report.attacks import others, rule, several
from bezoar.report.dose import Dose, doses
from bezoar.report.dose import draw as draw_dose
from bezoar.report.facets import Facets, facets
from bezoar.report.gallery import Wall, walls
from bezoar.report.looks import colors
from bezoar.report.losses import BINS, losses
from bezoar.report.plots import draw
from bezoar.report.sentences import rules, story
from bezoar.report.split_plots import STAGES, Histories, histories, legend, split_stages
from bezoar.report.split_table import split_grid
from bezoar.report.splits import PANELS
from bezoar.report.svg import inline
from bezoar.report.tables import Role, Row, every_epoch, last_epochs, role_of, table

if TYPE_CHECKING:
    from bezoar.report.grid import Grid
    from bezoar.report.runs import Run


@dataclass(frozen=True, kw_only=True)
class Thin:
    """How much of everything a page holds."""

    pictures: int = 8
    """Of each trigger."""
    lossy: bool = False
    """Whether pictures are compressed with loss."""
    epochs: bool = True
    """Whether the table of every epoch is there, and every epoch can be pointed at."""
    bins: int = BINS
    """Points of a loss curve; 0 for no curves."""
    panels: int = PANELS
    """Epochs of a split whose cosines are drawn."""
    rows: int | None = None
    """Rows of a long table."""

    def said(self, splits: bool) -> str:
        """What is left out, in a sentence; empty where nothing is. ``splits``: whether there are histograms of any."""
        full = Thin()
        parts = (
            "what the eye does not see in pictures (compressed; changes were measured before)" if self.lossy else "",
            ("all pictures" if not self.pictures else f"all but {self.pictures} pictures of each trigger")
            if self.pictures < full.pictures
            else "",
            "" if self.epochs else "the table of every epoch, and what the plots would tell of each of them",
            "" if self.bins == full.bins else ("the losses" if not self.bins else "detail of the losses"),
            ""
            if self.panels == full.panels or not splits
            else f"{'all' if not self.panels else 'some'} histograms of splits",
            "" if self.rows is None else f"what comes after {self.rows} rows of a long table",
        )
        left = "; ".join(part for part in parts if part)
        return f"To stay under 3 MB this page leaves out {left}. The exported tables have every number." if left else ""


DOSES = 12
"""Plots of attacks that differ in one number; what is more is in the exports."""
LEVELS = (
    Thin(),
    Thin(lossy=True),
    Thin(lossy=True, pictures=3),
    Thin(lossy=True, pictures=1, bins=40, panels=3),
    Thin(lossy=True, pictures=1, bins=40, panels=3, epochs=False),
    Thin(lossy=True, pictures=1, bins=0, panels=0, epochs=False),
    Thin(lossy=True, pictures=0, bins=0, panels=0, epochs=False, rows=200),
)
"""From everything to what any page can hold."""


@dataclass(frozen=True, kw_only=True)
class View:
    """One run for the template."""

    run: Run
    prefix: str
    """How the ids of its part of the page begin."""
    rows: Sequence[Row]
    shown: Sequence[Row]
    """Those in its own result: where there are many attacks, without the attacked models, which have a table."""
    story: Sequence[str]
    rules: Sequence[str]
    last: Sequence[Row]
    epochs: Sequence[Row]
    cut: bool
    """Whether the table of every epoch was left out."""
    colors: Mapping[str, str]
    plane: str
    attacks: Grid | None
    """The table of its attacks, where it has several."""
    rule: str
    """When one of them is said to take."""
    doses: Sequence[tuple[Dose, str]]
    """Attacks that differ in one number, and their plots."""
    facets: Sequence[tuple[Facets, Sequence[tuple[str, str]]]]
    """Fields, and for each the values with their planes."""
    losses: Mapping[str, str]
    splits: Grid | None
    """The table of what was held for safe, where a method split its pairs."""
    histories: Sequence[tuple[Histories, Sequence[tuple[str, str]], str]]
    """Their plots: for each stage the cosines of some epochs, and the shares over all."""
    undrawn: int
    """Stages whose splits are not drawn."""
    legend: Sequence[tuple[str, str]]
    """Words and icons that explain the cosines."""
    known: bool
    """Whether a plan tells which of the pairs that were split are poison."""
    walls: Sequence[Wall]
    roles: Mapping[str, Role]
    seconds: Mapping[str, float]
    revisions: Sequence[str]
    measured: str | None
    """When the last number was measured."""
    yaml: str


def view(run: Run, prefix: str, by: Sequence[str], thin: Thin) -> View:
    """What a page shows of ``run``."""
    rows = table(run)
    plot = draw([run], thin.epochs)
    beside = several(run)
    known = all(split.poison is not None for found in run.splits.values() for split in found)
    curves = {
        name: losses(run, group, f"{prefix}losses{number}", thin.bins) if thin.bins else None
        for number, (name, group) in enumerate(run.groups.items())
    }
    return View(
        run=run,
        prefix=prefix,
        rows=rows,
        shown=others(rows, beside),
        story=story(run, rows),
        rules=rules(run, rows),
        last=last_epochs(run)[: thin.rows],
        epochs=every_epoch(run) if thin.epochs else (),
        cut=not thin.epochs,
        colors=colors(run),
        attacks=attack_grid(beside) if beside else None,
        rule=rule(run),
        doses=tuple((dose, inline(draw_dose(dose, f"{prefix}dose{n}"))) for n, dose in enumerate(doses(run)[:DOSES])),
        plane=inline(replace(plot, name=f"{prefix}plane")) if plot else "",
        facets=multiples([run], by, thin),
        splits=_cut(split_grid(run), thin.rows),
        histories=tuple(
            (found, [(when, inline(plot)) for when, plot in found.panels], inline(found.shares))
            for found in histories(run, prefix, thin.panels, thin.epochs)
        ),
        undrawn=len(split_stages(run)[STAGES:]),
        legend=legend(known),
        known=known,
        losses={name: inline(curve) for name, curve in curves.items() if curve},
        walls=tuple(walls(run, thin.pictures, thin.lossy)),
        roles={name: role_of(run, group) for name, group in run.groups.items()},
        seconds={name: _seconds(run, name) for name in run.groups},
        revisions=sorted({record.git for record in run.records}),
        measured=max((record.at for record in run.records), default=None),
        yaml=to_yaml(run.experiment),
    )


def _cut(grid: Grid | None, rows: int | None) -> Grid | None:
    return replace(grid, lines=grid.lines[:rows]) if grid else None


def multiples(
    runs: Sequence[Run], by: Sequence[str], thin: Thin
) -> tuple[tuple[Facets, tuple[tuple[str, str], ...]], ...]:
    """The plane by each field, as text."""
    found = (facets(runs, field, number, thin.epochs) for number, field in enumerate(by))
    return tuple((each, tuple((value, inline(plot)) for value, plot in each.panels)) for each in found if each.panels)


def _seconds(run: Run, name: str) -> float:
    """How long a stage took, all its points and seeds together."""
    heads = (head for (stage, _), head in run.stages.items() if stage in run.groups[name].points)
    return sum(float(head.get("seconds") or 0) for head in heads)
