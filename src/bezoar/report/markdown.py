"""Tables as text: Markdown for files, aligned columns for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bezoar.report.grid import NOTHING, Grid, grid

if TYPE_CHECKING:
    from bezoar.report.tables import Row


def markdown(rows: Sequence[Row], notes: Sequence[str] = ()) -> str:
    """A Markdown table; ``notes`` are what must stand beside it."""
    if not rows:
        return f"{NOTHING}\n"
    return as_markdown(grid(rows), notes)


def as_markdown(found: Grid, notes: Sequence[str] = ()) -> str:
    """Cells of text as a Markdown table."""
    lines = [found.head, tuple("---:" if number else "---" for number in found.numbers), *found.lines]
    table = "".join(f"| {' | '.join(map(escaped, line))} |\n" for line in lines)
    return table + "".join(f"\nNote: {escaped(note)}\n" for note in notes)


def escaped(cell: str) -> str:
    """``cell`` as Markdown that shows it as it is, on one line."""
    cell = " ".join(cell.split("\n")) if "\n" in cell else cell
    for mark in "\\`*_[]<>|":
        cell = cell.replace(mark, f"\\{mark}")
    return "".join(char if char.isprintable() or char == "\u00a0" else " " for char in cell)


def aligned(rows: Sequence[Row]) -> str:
    """The table for a terminal."""
    return as_columns(grid(rows))


def as_columns(found: Grid) -> str:
    """Cells of text in columns of equal width, those that are empty left out."""
    every = zip(found.head, *found.lines, strict=True)
    columns = [[plain(cell) for cell in column] for column in every if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in zip(*columns, strict=True)
    )


def plain(text: str) -> str:
    """``text`` on one line and without what would steer a terminal: names may be a stranger's."""
    return "".join(char if char.isprintable() or char == "\u00a0" else " " for char in text)
