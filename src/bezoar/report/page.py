"""The page of a run or of several: one HTML file that works offline, and its tables as Markdown."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bezoar.core.files import write_text
from bezoar.core.records import is_share
from bezoar.report import text
from bezoar.report.attack_table import attack_grid
from bezoar.report.attacks import others, rule, several
from bezoar.report.comparing import compared
from bezoar.report.fields import check, differences, of_row
from bezoar.report.grid import further
from bezoar.report.markdown import aligned, as_columns, as_markdown, escaped, markdown, plain
from bezoar.report.pooling import read_runs
from bezoar.report.reading import read_run
from bezoar.report.runs import Run
from bezoar.report.sentences import sentences
from bezoar.report.split_table import split_grid
from bezoar.report.tables import every_epoch, last_epochs, table
from bezoar.report.tables import plain as as_values

if TYPE_CHECKING:
    from jinja2 import Environment

    from bezoar.report.views import Thin

LIMIT = 3_000_000
"""Bytes of a page: what a mail carries and a phone opens."""


def write(*folders: Path, out: Path | None = None, by: Sequence[str] = ()) -> Path:
    """Write the page of one run, or of several beside each other, and its tables in Markdown; returns the page.

    ``out`` is the HTML file, and the tables take its name with ``.md``. By default they are ``report.html`` and
    ``table.md`` in the folder of one run, and ``report.html`` and ``report.md`` in the current folder for several.
    ``by`` are settings by which the plane is split into small multiples: paths of ``experiment.yaml`` or their ends,
    or ``run``, ``stage``, ``method``, ``seed``. Raises ``ValueError`` when a folder is no run folder, ``out`` is no
    HTML file, or no run has such a setting.
    """
    html_file(out)
    runs = read_runs(folders)
    page = html(runs, by)
    home = folders[0] if len({folder.resolve() for folder in folders}) == 1 else None
    at = out or (home / "report.html" if home else Path("report.html"))
    write_text(at, page)
    write_text(home / "table.md" if home and not out else at.with_suffix(".md"), document(runs))
    return at


def html_file(out: Path | None) -> None:
    """Raise ``ValueError`` where ``out`` cannot be a page."""
    if out is not None and (out.suffix not in (".html", ".htm") or out.is_dir()):
        raise ValueError(f"out: must be an .html file, got {out}")


def summary(folder: Path) -> str:
    """The result of run ``folder`` for a terminal: its attacks, if several, its models, then what they say."""
    run = read_run(folder)
    rows = table(run)
    beside = several(run)
    told = [*sentences(run, rows), *((rule(run),) if beside else ())]
    parts = [as_columns(attack_grid(beside, short=True))] if beside else []
    rest = others(rows, beside)
    parts += [aligned(rest)] if rest else []
    return "\n\n".join([*parts, "\n".join(f"- {plain(sentence)}" for sentence in told)])


def result(folder: Path) -> dict[str, Any]:
    """The same as plain values, for JSON: models, what has changed of one from elsewhere, and what they say."""
    run = read_run(folder)
    rows = table(run)
    changes = [
        {"stage": stage, "seed": seed, "data": data, "metric": metric, **interval._asdict()}
        for (stage, seed), found in run.changes.items()
        for (data, metric), interval in found.items()
    ]
    return {"models": as_values(rows), "changes": changes, "said": list(sentences(run, rows))}


def document(runs: Sequence[Run]) -> str:
    """All tables of the runs in Markdown."""
    parts = []
    if len(runs) > 1:
        rows = [row for run in runs for row in table(run)]
        notes = list(dict.fromkeys(note for run in runs for note in run.notes))
        parts += [
            f"# {heading(runs)}\n\n{_points(compared(runs))}",
            f"## What differs\n\n{_differing(runs)}",
            f"## At the chosen settings\n\n{markdown(rows, notes)}",
        ]
    for run in runs:
        rows = list(table(run))
        marks = "#" * min(len(runs), 2)
        parts += [
            f"{marks} {escaped(run.title)}\n\n{_points(sentences(run, rows))}",
            *_attacks(run, marks),
            *_splits(run, marks),
            f"{marks}# At the chosen settings, on {escaped(run.measured_on)}\n\n{markdown(rows, run.notes)}",
            f"{marks}# Every stage at its last epoch\n\n{markdown(last_epochs(run), run.notes)}",
            f"{marks}# Every epoch\n\n{markdown(every_epoch(run), run.notes)}",
        ]
    return "\n".join(parts)


def _attacks(run: Run, marks: str) -> Iterator[str]:
    """The table of its attacks, where a run has several."""
    beside = several(run)
    if beside:
        table = as_markdown(attack_grid(beside), [*run.notes, rule(run)])
        yield f"{marks}# The attacks, on {escaped(run.measured_on)}\n\n{table}"


def _splits(run: Run, marks: str) -> Iterator[str]:
    """The table of what was held for safe, where a method split its pairs."""
    found = split_grid(run)
    if found:
        yield f"{marks}# What was held for safe\n\n{as_markdown(found, run.notes)}"


def _points(told: Sequence[str]) -> str:
    return "".join(f"- {escaped(sentence)}\n" for sentence in told)


def _differing(runs: Sequence[Run]) -> str:
    found = differences(runs)
    lines = [("Setting", *(run.title for run in runs)), *((key, *map(str, values)) for key, values in found.items())]
    lines.insert(1, ("---",) * len(lines[0]))
    rows = [line if number == 1 else tuple(map(escaped, line)) for number, line in enumerate(lines)]
    return "".join(f"| {' | '.join(line)} |\n" for line in rows) if found else "Nothing but seeds and folders.\n"


def heading(runs: Sequence[Run]) -> str:
    """What a page is called."""
    names = list(dict.fromkeys(run.name for run in runs))
    if len(runs) == 1:
        return names[0]
    return f"{names[0]}: {len(runs)} runs" if len(names) == 1 else f"{len(runs)} runs"


def html(runs: Sequence[Run], by: Sequence[str] = ()) -> str:
    """The page of ``runs``, thinned out with a word where it would not fit into ``LIMIT`` bytes."""
    from bezoar.report.views import LEVELS

    check(by, [of_row(run, row) for run in runs for row in every_epoch(run)])
    size = 0
    for thin in LEVELS:
        page = _rendered(runs, by, thin)
        size = len(page.encode())
        if size <= LIMIT:
            return page
    raise ValueError(f"run: {len(runs)} runs make a page of {size / 1e6:.1f} MB; name fewer, or export their tables")


def _rendered(runs: Sequence[Run], by: Sequence[str], thin: Thin) -> str:
    from bezoar.report.looks import COLORS
    from bezoar.report.plots import plane
    from bezoar.report.views import multiples, view

    templates = environment()
    script = templates.loader.get_source(templates, "report.js")[0] if templates.loader else ""
    several = len(runs) > 1
    shared = tuple(dict.fromkeys((*by, "run"))) if several else tuple(by)
    rows = {run.title: table(run) for run in runs}
    return templates.get_template("report.html.j2").render(
        title=heading(runs),
        views=[view(run, f"r{n}-" if several else "", () if several else by, thin) for n, run in enumerate(runs)],
        several=several,
        compared=compared(runs) if several else (),
        differing=differences(runs) if several else {},
        swatches={run.title: COLORS[number % len(COLORS)] for number, run in enumerate(runs)},
        notes=list(dict.fromkeys(note for run in runs for note in run.notes)),
        further=further([row for found in rows.values() for row in found]),
        plane=plane(*runs) if several else "",
        facets_found=multiples(runs, shared, thin) if several else (),
        thinned=thin.said(any(run.splits for run in runs)),
        script=script,
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


@functools.cache
def environment() -> Environment:
    """The templates of all pages."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    found = Environment(
        loader=PackageLoader("bezoar.report"),
        autoescape=True,  # captions are strangers' text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.do"],
    )
    found.filters |= {
        "amount": text.amount,
        "percent": text.percent,
        "bounds": text.bounds,
        "reach": text.reach,
        "basis": text.basis,
        "points": text.points,
        "count": text.count,
        "duration": text.duration,
        "metric": text.metric,
        "first_upper": text.title,
    }
    found.globals["setting"] = text.setting
    found.tests["share"] = is_share
    return found
