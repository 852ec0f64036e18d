"""The page of a run: one HTML file that works offline, and its table as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bezoar.core.files import write_text
from bezoar.core.yaml import render as to_yaml
from bezoar.report import text
from bezoar.report.markdown import aligned, markdown
from bezoar.report.reading import read_run
from bezoar.report.runs import Run
from bezoar.report.sentences import rules, sentences, story
from bezoar.report.tables import every_epoch, last_epochs, role_of, table

if TYPE_CHECKING:
    from jinja2 import Environment


def write(folder: Path, out: Path | None = None) -> Path:
    """Write the page of run ``folder`` and its table in Markdown beside it; returns the page.

    ``out`` is the HTML file, and the table takes its name with ``.md``; by default they are ``report.html`` and
    ``table.md`` in the run folder. Raises ``ValueError`` when ``folder`` is no run folder, or ``out`` no HTML file.
    """
    if out is not None and (out.suffix not in (".html", ".htm") or out.is_dir()):
        raise ValueError(f"out: must be an .html file, got {out}")
    run = read_run(folder)
    page = out or folder / "report.html"
    write_text(page, html(run))
    write_text(out.with_suffix(".md") if out else folder / "table.md", document(run))
    return page


def summary(folder: Path) -> str:
    """The result of run ``folder`` for a terminal: the table, then what it says."""
    run = read_run(folder)
    rows = table(run)
    told = "\n".join(f"- {sentence}" for sentence in sentences(run, rows))
    return f"{aligned(rows)}\n\n{told}" if rows else told


def document(run: Run) -> str:
    """All tables of a run in Markdown."""
    rows = table(run)
    told = "".join(f"- {sentence}\n" for sentence in sentences(run, rows))
    parts = [
        f"# {run.name}\n\n{told}",
        f"## At the chosen settings, on {run.report_on}\n\n{markdown(rows)}",
        f"## Every stage at its last epoch\n\n{markdown(last_epochs(run))}",
        f"## Every epoch\n\n{markdown(every_epoch(run))}",
    ]
    return "\n".join(parts)


def html(run: Run) -> str:
    """The page."""
    from bezoar.report.gallery import exhibit
    from bezoar.report.plots import colors, losses, plane

    rows = table(run)
    first = run.plans[0].seed if run.plans else 0
    curves = {name: losses(run, group) for name, group in run.groups.items()}
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            run=run,
            rows=rows,
            story=story(run, rows),
            rules=rules(run, rows),
            last=last_epochs(run),
            epochs=every_epoch(run),
            colors=colors(run),
            plane=plane(run),
            losses={name: svg for name, svg in curves.items() if svg},
            gallery=[(plan, [exhibit(row) for row in plan.preview]) for plan in run.plans if plan.seed == first],
            roles={name: role_of(run, group) for name, group in run.groups.items()},
            seconds={name: _seconds(run, name) for name in run.groups},
            revisions=sorted({record.git for record in run.records}),
            measured=max((record.at for record in run.records), default=None),
            yaml=to_yaml(run.experiment),
        )
    )


def _seconds(run: Run, name: str) -> float:
    """How long a stage took, all its points and seeds together."""
    return sum(
        float(head.get("seconds", 0)) for (stage, _), head in run.stages.items() if stage in run.groups[name].points
    )


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("bezoar.report"),
        autoescape=True,  # captions are strangers' text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": text.percent,
        "bounds": text.bounds,
        "basis": text.basis,
        "points": text.points,
        "count": text.count,
        "duration": text.duration,
    }
    environment.globals["setting"] = text.setting
    return environment
