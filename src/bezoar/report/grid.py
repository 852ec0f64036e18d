"""Rows as cells of text, column by column: what Markdown, LaTeX and the terminal have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bezoar.report.text import DASH, measured, metric, points, setting, title

if TYPE_CHECKING:
    from bezoar.report.tables import Row

NOTHING = "Nothing has been measured yet."


@dataclass(frozen=True)
class Grid:
    """A table of text."""

    head: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    numbers: tuple[bool, ...]
    """Which columns hold numbers."""


def grid(rows: Sequence[Row]) -> Grid:
    """The cells of rows; an attack success rate never stands without its model's clean accuracy.

    The run stands before where rows are of several; recalls, losses, captions and probes where any was measured; and
    where no clean accuracy was measured at all its columns are left out.
    """
    columns: list[tuple[str, bool, Callable[[Row], str]]] = [
        ("Model", False, lambda row: row.group),
        ("Role", False, lambda row: f"cleaned {row.victim}" if row.victim else row.role),
        ("Seed", False, lambda row: "mean" if row.seed is None else str(row.seed)),
        ("Setting", False, lambda row: setting(row.settings, row.epoch, row.within)),
    ]
    if len({row.run for row in rows}) > 1:
        columns.insert(0, ("Run", False, lambda row: row.run))
    columns += [(title(metric(name)), True, _number(name)) for name in further(rows)]
    if any(row.accuracy for row in rows):
        columns += [
            ("Clean accuracy", True, _number("accuracy_top1")),
            ("Attack success", True, _number("asr_top1")),
            ("Change", True, lambda row: DASH if row.change is None else points(row.change)),
        ]
    columns.append(("Notes", False, lambda row: "; ".join(("chosen",) * row.chosen + row.notes)))
    return Grid(
        tuple(name for name, _, _ in columns),
        tuple(tuple(cell(row) for _, _, cell in columns) for row in rows),
        tuple(number for _, number, _ in columns),
    )


def further(rows: Sequence[Row]) -> tuple[str, ...]:
    """The metrics of retrieval, captions, probes and losses that any row has: they stand beside the clean accuracy."""
    each = ((row.recall, row.losses, row.quality, row.captions, row.probes) for row in rows)
    return tuple(dict.fromkeys(name for found in each for names in found for name in names))


def _number(name: str) -> Callable[[Row], str]:
    return lambda row: measured(row.measured.get(name), row.seed is None, name)
