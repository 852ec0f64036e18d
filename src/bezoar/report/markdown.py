"""Tables as text: Markdown for files, aligned columns for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bezoar.report.text import DASH, measured, points, setting

if TYPE_CHECKING:
    from bezoar.report.tables import Row

HEAD = ("Model", "Role", "Seed", "Setting", "Clean accuracy", "Attack success", "Change", "Notes")


def cells(row: Row) -> tuple[str, ...]:
    """One row in the order of ``HEAD``; an attack success rate never stands without its model's clean accuracy."""
    return (
        row.group,
        f"cleaned {row.victim}" if row.victim else row.role,
        "mean" if row.seed is None else str(row.seed),
        setting(row.settings, row.epoch),
        measured(row.accuracy, row.seed is None),
        measured(row.asr, row.seed is None),
        DASH if row.change is None else points(row.change),
        "; ".join(("chosen",) * row.chosen + row.notes),
    )


def markdown(rows: Sequence[Row]) -> str:
    """A Markdown table."""
    if not rows:
        return "Nothing has been measured yet.\n"
    lines = [HEAD, ("---",) * 4 + ("---:",) * 3 + ("---",), *map(cells, rows)]
    return "".join(f"| {' | '.join(map(_escaped, line))} |\n" for line in lines)


def _escaped(cell: str) -> str:
    """``cell`` as Markdown that shows it as it is."""
    cell = " ".join(cell.split()) if "\n" in cell else cell
    for mark in "\\`*_[]<>|":
        cell = cell.replace(mark, f"\\{mark}")
    return cell


def aligned(rows: Sequence[Row]) -> str:
    """The table for a terminal: columns of equal width, those that are empty left out."""
    lines = [HEAD, *map(cells, rows)]
    columns = [column for column in zip(*lines, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in zip(*columns, strict=True)
    )
