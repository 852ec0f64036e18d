"""Every table and every plot of a report as files: Markdown, CSV, LaTeX, SVG, PNG."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from bezoar.core.files import atomic, writable_folder
from bezoar.report.attack_table import attack_grid, attack_values
from bezoar.report.attacks import rule, several
from bezoar.report.fields import check, of_row
from bezoar.report.latex import as_latex, latex
from bezoar.report.markdown import as_markdown, markdown
from bezoar.report.pooling import read_runs
from bezoar.report.split_table import joined, split_grid, split_values
from bezoar.report.tables import Row, every_epoch, last_epochs, table
from bezoar.report.values import values

if TYPE_CHECKING:
    from bezoar.report.runs import Run
    from bezoar.report.svg import Plot

Format = Literal["md", "csv", "tex", "svg", "png"]
FORMATS: tuple[Format, ...] = get_args(Format)


def export(*folders: Path, to: Path, formats: Sequence[Format] = FORMATS, by: Sequence[str] = ()) -> tuple[Path, ...]:
    """Write the tables and plots of run ``folders`` into folder ``to``; returns the files.

    Tables are ``result`` (at the chosen settings), ``last-epochs``, ``every-epoch``, and ``attacks`` where a run has
    several and ``splits`` where a method split its pairs, as ``md``, ``csv`` and ``tex``; plots are ``plane``,
    ``plane-by-FIELD`` for each of ``by``, ``dose-FIELD``, ``cosines-STAGE``, ``split-STAGE`` and ``losses-STAGE``, as
    ``svg`` and ``png``. Raises ``ValueError`` as ``write`` does, and for another format.
    """
    check_formats(formats)
    runs = read_runs(folders)
    check(by, [of_row(run, row) for run in runs for row in every_epoch(run)])
    writable_folder(to, "export")
    files: dict[str, Callable[[], bytes]] = {}
    for name, content in (*_tables(runs, formats), *_plots(runs, formats, by)):
        stem, _, ending = name.rpartition(".")
        numbers = ("", *(f"-{n}" for n in range(2, len(files) + 3)))
        files[next(f"{stem}{n}.{ending}" for n in numbers if f"{stem}{n}.{ending}" not in files)] = content
    for name, content in files.items():
        with atomic(to / name) as stream:
            stream.write(content())
    return tuple(to / name for name in files)


def check_formats(formats: Sequence[str]) -> None:
    """Raise ``ValueError`` for a format that there is not."""
    odd = next((each for each in formats if each not in FORMATS), None)
    if odd is not None:
        raise ValueError(f"formats: '{odd}' is none of {', '.join(FORMATS)}")


def _tables(runs: Sequence[Run], formats: Sequence[Format]) -> Iterator[tuple[str, Callable[[], bytes]]]:
    notes = list(dict.fromkeys(note for run in runs for note in run.notes))
    name = runs[0].name if len(runs) == 1 else f"{len(runs)} runs"
    tables: tuple[tuple[str, str, Callable[[Run], tuple[Row, ...]]], ...] = (
        ("result", "at the chosen settings", table),
        ("last-epochs", "every stage at its last epoch", last_epochs),
        ("every-epoch", "every epoch", every_epoch),
    )
    beside = [row for run in runs for row in several(run)]
    if beside:
        told = [*notes, *dict.fromkeys(rule(run) for run in runs if several(run))]
        short = attack_grid(beside, short=True)  # what a page of paper has room for
        made: dict[Format, Callable[[], str]] = {
            "md": partial(as_markdown, attack_grid(beside), told),
            "csv": partial(attack_values, beside),
            "tex": partial(as_latex, short, f"{name}: the attacks", "tab:attacks", told),
        }
        yield from ((f"attacks.{ending}", partial(_encoded, made[ending])) for ending in formats if ending in made)
    splits = joined([(run.title, found) for run in runs if (found := split_grid(run))])
    if splits:
        caption = f"{name}: what was held for safe"
        written: dict[Format, Callable[[], str]] = {
            "md": partial(as_markdown, splits, notes),
            "csv": partial(split_values, runs),
            "tex": partial(as_latex, splits, caption, "tab:splits", notes),
        }
        yield from ((f"splits.{ending}", partial(_encoded, written[ending])) for ending in formats if ending in written)
    for stem, caption, of in tables:
        rows = [row for run in runs for row in of(run)]
        texts: dict[Format, Callable[[], str]] = {
            "md": partial(markdown, rows, notes),
            "csv": partial(values, runs, rows),
            "tex": partial(latex, rows, f"{name}: {caption}", f"tab:{stem}", notes),
        }
        for ending in formats:
            if ending in texts:
                yield f"{stem}.{ending}", partial(_encoded, texts[ending])


def _encoded(make: Callable[..., str], *given: Plot) -> bytes:
    return make(*given).encode()


def _plots(
    runs: Sequence[Run], formats: Sequence[Format], by: Sequence[str]
) -> Iterator[tuple[str, Callable[[], bytes]]]:
    if not {"svg", "png"} & set(formats):
        return
    from bezoar.report.svg import png, standalone

    for name, plot in _drawn(runs, by):
        if "svg" in formats:
            yield f"{_word(name)}.svg", partial(_encoded, standalone, plot)
        if "png" in formats:
            yield f"{_word(name)}.png", partial(png, plot)


def _drawn(runs: Sequence[Run], by: Sequence[str]) -> Iterator[tuple[str, Plot]]:
    from bezoar.report.dose import doses
    from bezoar.report.dose import draw as draw_dose
    from bezoar.report.facets import sheet
    from bezoar.report.losses import losses
    from bezoar.report.plots import draw
    from bezoar.report.split_plots import sheets

    shared = dict.fromkeys((*by, "run")) if len(runs) > 1 else by
    found = [("plane", draw(runs)), *((f"plane-by-{field}", sheet(runs, field)) for field in shared)]
    for run in runs:
        before = f"{run.title}-" if len(runs) > 1 else ""
        found += [(f"dose-{before}{dose.field}", draw_dose(dose, "dose")) for dose in doses(run)]
        found += [(f"{kind}-{before}{stage}", plot) for (kind, stage), plot in sheets(run).items()]
        found += [(f"losses-{before}{name}", losses(run, group, "losses")) for name, group in run.groups.items()]
    return ((name, plot) for name, plot in found if plot)


def _word(name: str) -> str:
    """``name`` as a file name, whatever a stranger called a stage."""
    return re.sub(r"[^A-Za-z0-9._=+-]+", "_", name)[:100].strip(".") or "plot"
