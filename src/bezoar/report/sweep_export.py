"""The tables and plots of a sweep as files: Markdown, CSV, LaTeX, SVG, PNG."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bezoar.core.files import atomic, writable_folder
from bezoar.report.export import FORMATS, Format, check_formats
from bezoar.report.latex import as_latex
from bezoar.report.markdown import as_markdown
from bezoar.report.sweep_choice import across, within
from bezoar.report.sweep_panels import axis_of
from bezoar.report.sweep_remarks import Choose
from bezoar.report.sweep_tables import brief, fronts, summary, tables
from bezoar.report.sweeps import Swept, read_sweep

if TYPE_CHECKING:
    from bezoar.report.svg import Plot

Made = Iterator[tuple[str, Callable[[], bytes]]]


def export_sweep(
    folder: Path, to: Path, formats: Sequence[Format] = FORMATS, by: Sequence[str] = (), each_seed: bool = False
) -> tuple[Path, ...]:
    """Write the tables and plots of the sweep in ``folder`` into folder ``to``; returns the files.

    Tables are ``summary`` and ``front``, as ``md``, ``csv`` and ``tex``; plots are ``plane``, ``plane-by-AXIS`` for
    each of ``by``, and ``axis-AXIS-VICTIM`` for each axis of numbers, as ``svg`` and ``png``. The same records give the
    same bytes. Raises ``ValueError`` where there is no sweep, for an axis that is none, and for another format.
    """
    check_formats(formats)
    sweep, choose = read_sweep(folder), within if each_seed else across
    axes = [axis_of(sweep, field) for field in by]
    writable_folder(to, "export")
    files = []
    for name, content in (*_tables(sweep, choose, formats), *_plots(sweep, choose, formats, axes)):
        with atomic(to / name) as stream:
            stream.write(content())
        files.append(to / name)
    return tuple(files)


def _tables(sweep: Swept, choose: Choose, formats: Sequence[Format]) -> Made:
    document, chosen, front = tables(sweep, choose)
    ours = (("summary", summary(sweep, choose), "what each rule chooses"), ("front", fronts(sweep), "Pareto fronts"))
    texts = {"summary.md": document, "summary.csv": chosen, "front.csv": front}
    texts["front.md"] = as_markdown(ours[1][1], sweep.notes)
    for stem, grid, caption in ours:
        short = brief(grid, sweep)  # what a page of paper has room for
        texts[f"{stem}.tex"] = as_latex(short, f"{sweep.name}: {caption}", f"tab:{stem}", sweep.notes)
    yield from ((name, text.encode) for name, text in texts.items() if name.rpartition(".")[2] in formats)


def _plots(sweep: Swept, choose: Choose, formats: Sequence[Format], by: Sequence[str]) -> Made:
    if not {"svg", "png"} & set(formats):
        return
    from bezoar.report.svg import png, standalone

    taken: dict[str, int] = {}
    for name, plot in _drawn(sweep, choose, by):
        word = re.sub(r"[^A-Za-z0-9._=+-]+", "_", name)[:100].strip(".") or "plot"
        taken[word] = taken.get(word, 0) + 1
        word = word if taken[word] == 1 else f"{word}-{taken[word]}"
        if "svg" in formats:
            yield f"{word}.svg", partial(_encoded, standalone, plot)
        if "png" in formats:
            yield f"{word}.png", partial(png, plot)


def _encoded(make: Callable[[Plot], str], plot: Plot) -> bytes:
    return make(plot).encode()


def _drawn(sweep: Swept, choose: Choose, by: Sequence[str]) -> Iterator[tuple[str, Plot]]:
    from bezoar.report.sweep_axes import curves, draw
    from bezoar.report.sweep_plane import figure

    for axis in (None, *by):
        plot = figure(sweep, choose, axis)
        if plot:
            yield "plane" if axis is None else f"plane-by-{axis.rpartition('.')[2]}", plot
    for each in curves(sweep, choose):
        name = f"axis-{each.axis.rpartition('.')[2]}-{each.victim}"
        yield name, draw(sweep, each, name)
