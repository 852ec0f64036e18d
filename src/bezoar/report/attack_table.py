"""The table of attacks as cells of text, and as CSV for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence

from bezoar.metrics import Interval
from bezoar.report.attacks import HALVES, SEEN, SUCCESS, AttackRow
from bezoar.report.grid import Grid
from bezoar.report.text import DASH, count, measured, percent
from bezoar.report.values import safe

COLUMNS = (
    "run", "stage", "attack", "what", "targets", "poisoned", "pairs", "survival", "psnr", "ssim", "linf",
    "accuracy", "accuracy_low", "accuracy_high", "accuracy_n", "metric", "success", "success_low", "success_high",
    "success_n", "without", "without_low", "without_high", "without_n", "trigger_alone", "words_alone", "seeds",
    "verdict",
)  # fmt: skip


def attack_grid(rows: Sequence[AttackRow], short: bool = False) -> Grid:
    """The cells of ``rows``, without columns that have nothing in them.

    ``short`` leaves out what a terminal or a sheet of paper has no room for.
    """
    columns: list[tuple[str, bool, bool, Callable[[AttackRow], str]]] = [
        ("Attack", False, True, lambda row: row.stage),
        ("Verdict", False, True, lambda row: row.verdict),
        ("Clean accuracy", True, True, _share(lambda row: row.accuracy)),
        ("Attack success", True, True, _share(lambda row: row.success)),
        ("Without it", True, True, _share(lambda row: row.without)),
        *((name.capitalize(), True, False, _share(_half(metric))) for metric, name in HALVES.items()),
        ("Success is of", False, True, lambda row: SUCCESS[row.metric] if row.success else DASH),
        ("Poisoned", True, True, lambda row: _poisoned(row, short)),
        ("Survives", True, False, lambda row: percent(row.survival["mean"]) if "mean" in row.survival else DASH),
        ("PSNR", True, False, _seen("psnr", "{:.1f}\u00a0dB")),
        ("SSIM", True, False, _seen("ssim", "{:.3f}")),
        ("L∞", True, False, _seen("linf", "{:.0f}")),
        ("What it does", False, False, _what),
    ]
    if len({row.run for row in rows}) > 1:
        columns.insert(0, ("Run", False, True, lambda row: row.run))
    if len({row.metric for row in rows if row.success}) < 2:
        columns = [column for column in columns if column[0] != "Success is of"]
    columns = [column for column in columns if column[2] or not short]
    columns = [column for column in columns if any(column[3](row) not in (DASH, "") for row in rows)]
    return Grid(
        tuple(name for name, *_ in columns),
        tuple(tuple(cell(row) for *_, cell in columns) for row in rows),
        tuple(number for _, number, *_ in columns),
    )


def attack_values(rows: Sequence[AttackRow]) -> str:
    """``COLUMNS`` as CSV, a line a row: shares in [0, 1], intervals beside them, nothing where nothing is known."""
    stream = io.StringIO()
    write = csv.writer(stream, lineterminator="\n").writerow
    write(COLUMNS)
    for row in rows:
        halves = [found.value if (found := row.halves.get(metric)) else None for metric in HALVES]
        cells = [
            row.run, row.stage, row.attack, row.about, ", ".join(row.targets), row.count, row.total,
            *(row.survival.get(key) for key in SEEN), *_four(row.accuracy), row.metric, *_four(row.success),
            *_four(row.without), *halves, row.seeds, row.verdict,
        ]  # fmt: skip
        write([safe(cell) for cell in cells])
    return stream.getvalue()


def _four(interval: Interval | None) -> tuple[float | None, ...]:
    return interval or (None,) * 4


def _what(row: AttackRow) -> str:
    named = f"{row.attack}: " if row.attack and row.attack != row.group else ""
    targets = f" → {', '.join(row.targets)}" if row.targets else ""
    return f"{named}{row.about}{targets}"


def _poisoned(row: AttackRow, short: bool) -> str:
    if row.count is None or not row.total:
        return DASH
    share = f"({100 * row.count / row.total:.3g}\u00a0%)"
    return f"{row.count:,.0f} {share}" if short else f"{row.count:,.0f} of {count(row.total)} {share}"


def _seen(key: str, form: str) -> Callable[[AttackRow], str]:
    return lambda row: form.format(row.survival[key]) if key in row.survival else DASH


def _share(of: Callable[[AttackRow], Interval | None]) -> Callable[[AttackRow], str]:
    return lambda row: measured(of(row), row.seeds > 1)


def _half(metric: str) -> Callable[[AttackRow], Interval | None]:
    return lambda row: row.halves.get(metric)
