"""Rows as CSV for programs: one number a line with its interval, and every setting it was made with in its own column.

Numbers are shares in [0, 1], losses in nats and changes in points, written plainly. Text that a spreadsheet would take
for a formula gets an apostrophe before it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bezoar.report.fields import differences, of_row

if TYPE_CHECKING:
    from bezoar.report.runs import Run
    from bezoar.report.tables import Row

COLUMNS = (
    "run", "folder", "stage", "role", "method", "victim", "seed", "epoch", "step", "metric", "value", "low", "high",
    "n", "over", "change_in_points", "chosen", "notes",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")


def values(runs: Sequence[Run], rows: Sequence[Row]) -> str:
    """The numbers of ``rows``, which are models of ``runs``; a mean over seeds has no seed, and n counts seeds.

    After ``COLUMNS`` come the settings in which the runs differ, those of the stage's method (``method.lr``, …), and
    last ``data_notes``.
    """
    by_title = {run.title: run for run in runs}
    differing = differences(runs) if len(runs) > 1 else {}
    apart = {run.title: [found[number] for found in differing.values()] for number, run in enumerate(runs)}
    told = [(row, by_title[row.run], _method(by_title[row.run], row)) for row in rows]
    fields = sorted({name for _, _, method in told for name in method})
    stream = io.StringIO()
    write = csv.writer(stream, lineterminator="\n").writerow
    write([safe(name) for name in (*COLUMNS, *(f"run.{key}" for key in differing), *fields, "data_notes")])
    for row, run, method in told:
        before = [row.run, str(run.folder), row.group, row.role, row.method, row.victim, row.seed, row.epoch, row.step]
        after = [row.change, row.chosen, "; ".join(row.notes), *apart[row.run], *(method.get(name) for name in fields)]
        over = "seeds" if row.seed is None else "samples"
        for metric, interval in row.measured.items():
            line = [*before, metric, *interval, over, *after, "; ".join(run.notes)]
            write([safe(cell) for cell in line])
    return stream.getvalue()


def _method(run: Run, row: Row) -> dict[str, Any]:
    """The settings of a model's own method; of a mean whose seeds chose differently, what they share."""
    path = f"stages.{row.group}.method."
    found = {key.removeprefix(path): value for key, value in of_row(run, row).items() if key.startswith(path)}
    grid = {key for at in run.groups[row.group].points.values() for key in at}
    unsure = grid - set(row.settings) if row.seed is None else set()
    return {f"method.{key}": value for key, value in found.items() if key not in unsure and key != "kind"}


def safe(cell: Any) -> Any:
    """Numbers as they are, nothing as nothing, truth as JSON has it, text without formulas."""
    if cell is None or (isinstance(cell, (int, float)) and not isinstance(cell, bool)):
        return cell
    text = str(cell).lower() if isinstance(cell, bool) else str(cell)
    text = f"'{text}" if text.startswith(_FORMULA) else text
    return text.replace("\r", " ")  # a bare one is not quoted, and ends the line for some readers
