"""The tables of a sweep: what would be chosen in each arm and what it gives, and the Pareto fronts."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bezoar.core.files import write_text
from bezoar.report.grid import NOTHING, Grid
from bezoar.report.markdown import as_columns, as_markdown, escaped, plain
from bezoar.report.sweep_choice import (
    BEFORE,
    Arm,
    Candidate,
    Pick,
    arms,
    before,
    pareto,
)
from bezoar.report.sweep_effect import clean_already, dropped, effect, told
from bezoar.report.sweep_remarks import Choose, chosen_setting, remarks, short, story
from bezoar.report.sweep_splits import safe_grid
from bezoar.report.sweeps import METRICS, Numbers, Swept
from bezoar.report.text import DASH, count, measured
from bezoar.report.values import safe

if TYPE_CHECKING:
    from bezoar.metrics import Interval

TABLES = ("summary.md", "summary.csv", "front.csv")
DIFFERENCES = ("accuracy_change", "asr_drop")
COLUMNS = (
    "sweep", "victim", "cleaning", "method", "facets", "rule", "seed", "settings", "epoch", "step", "data", "metric",
    "value", "low", "high", "n", "over", "points", "notes",
)  # fmt: skip


def write_tables(folder: Path, sweep: Swept, choose: Choose) -> None:
    """Write ``TABLES`` in the folder of a sweep."""
    for name, text in zip(TABLES, tables(sweep, choose), strict=True):
        write_text(folder / name, text)


def tables(sweep: Swept, choose: Choose) -> tuple[str, str, str]:
    """What ``TABLES`` hold."""
    chosen = values(sweep, lambda arm: (before(sweep, arm), *choose(sweep, arm)))
    return document(sweep, choose), chosen, values(sweep, lambda arm: pareto(sweep, arm))


def shown(sweep: Swept, choose: Choose) -> str:
    """The table for a terminal, and what it says."""
    table = summary(sweep, choose)
    said = [f"- {plain(sentence)}" for sentence in (*story(sweep, choose), *remarks(sweep, choose))]
    return "\n".join([as_columns(brief(table, sweep)) if table.lines else NOTHING, *said])


def brief(table: Grid, sweep: Swept) -> Grid:
    """What a terminal has room for: without the numbers of the split that was chosen on."""
    kept = [i for i, name in enumerate(table.head) if name != "Method" and not name.endswith(f", {sweep.select_on}")]
    if sweep.select_on == sweep.report_on:
        return table
    return Grid(
        tuple(table.head[i] for i in kept), tuple(tuple(line[i] for i in kept) for line in table.lines),
        tuple(table.numbers[i] for i in kept),
    )  # fmt: skip


def document(sweep: Swept, choose: Choose) -> str:
    """Both tables in Markdown."""
    said = (*story(sweep, choose), *remarks(sweep, choose))
    parts = [f"# {sweep.name}\n", *(f"- {escaped(remark)}" for remark in said)]
    if not arms(sweep):
        return "\n".join([*parts, "", NOTHING, ""])
    parts += ["", as_markdown(summary(sweep, choose), sweep.notes)]
    safe_set = safe_grid(sweep)
    if safe_set:
        parts += ["## What was held for safe\n", as_markdown(safe_set, sweep.notes)]
    parts += [
        "## Pareto fronts\n",
        f"Points that no other of their arm beats on {sweep.select_on}, by the mean over seeds.\n",
    ]
    return "\n".join([*parts, as_markdown(fronts(sweep), sweep.notes)])


def summary(sweep: Swept, choose: Choose) -> Grid:
    """What each rule chooses in each arm, after what the arm began with."""
    return _grid(sweep, lambda arm, start: (start, *choose(sweep, arm)))


def fronts(sweep: Swept) -> Grid:
    """The Pareto front of each arm."""
    return _grid(sweep, lambda arm, _: pareto(sweep, arm))


def _grid(sweep: Swept, picks: Callable[[Arm, Pick], Sequence[Pick]]) -> Grid:
    head = (
        "Victim", "Cleaning", "Method", "Condition", "Rule", "Chosen", f"Accuracy, {sweep.select_on}",
        f"ASR, {sweep.select_on}", f"Accuracy, {sweep.report_on}", f"ASR, {sweep.report_on}", "ASR drop, points",
        "Accuracy change, points", "Points", "Notes",
    )  # fmt: skip
    lines = []
    for arm in arms(sweep):
        start = before(sweep, arm)
        lines += [_line(sweep, arm, start, pick) for pick in picks(arm, start)]
    return Grid(head, tuple(lines), (False,) * 6 + (True,) * 7 + (False,))


def values(sweep: Swept, picks: Callable[[Arm], Sequence[Pick]]) -> str:
    """One number a line, on both splits; of a mean over seeds no seed is named, and n counts seeds.

    ``asr_drop`` and ``accuracy_change`` are differences of shares, paired over seeds; of one seed without an interval.
    """
    stream = io.StringIO()
    write = csv.writer(stream, lineterminator="\n").writerow
    write(COLUMNS)
    for arm in arms(sweep):
        start = before(sweep, arm)
        facets = ", ".join(f"{short(sweep, name)} {value}" for name, value in arm.facets.items())
        head = [sweep.name, _victim(arm), arm.group, arm.kind, facets]
        for pick in picks(arm):
            notes = "; ".join(_notes(sweep, start, pick))
            for line in _told(sweep, start, pick):
                write([safe(cell) for cell in (*head, pick.rule, *line, _points(arm), notes)])
    return stream.getvalue()


def _told(sweep: Swept, start: Pick, pick: Pick) -> Iterator[list[Any]]:
    """The numbers of a choice: the mean over seeds, where there are several, and each seed's own."""
    several = len(pick.chosen) > 1
    same = len(set(pick.chosen.values())) == 1
    at = next(iter(pick.chosen.values())) if same else None
    seed = None if several else next(iter(pick.chosen), None)
    over = "seeds" if several else "samples"
    for on, numbers in ((sweep.select_on, pick.selected), (sweep.report_on, pick.reported)):
        for metric, interval in zip(METRICS, numbers or (), strict=bool(numbers)):
            yield [seed, *_place(sweep, at), on, metric, *interval, over]
    change = effect(start, pick) if pick.rule != BEFORE else None
    for metric, difference in zip(DIFFERENCES, change or (), strict=bool(change)):
        yield [seed, *_place(sweep, at), sweep.report_on, metric, *difference, "seeds"]
    for seed, found in pick.by_seed.items() if several else ():
        for metric, interval in zip(METRICS, found, strict=True):
            yield [seed, *_place(sweep, pick.chosen[seed]), sweep.report_on, metric, *interval, "samples"]


def _place(sweep: Swept, at: Candidate | None) -> list[Any]:
    if at is None:
        return [None, None, None]
    settings = sweep.trainings[at.training].settings
    return [", ".join(f"{short(sweep, key)} {value}" for key, value in settings.items()), at.epoch, at.step]


def _line(sweep: Swept, arm: Arm, start: Pick, pick: Pick) -> tuple[str, ...]:
    several, first = len(pick.chosen) > 1, pick is start
    change = None if first else effect(start, pick)
    return (
        _victim(arm), arm.group, arm.kind,
        ", ".join(f"{short(sweep, name)}\u00a0{value}" for name, value in arm.facets.items()) or DASH,
        pick.rule, DASH if first else chosen_setting(sweep, arm, pick), *_cells(pick.selected, several),
        *_cells(pick.reported, several), dropped(change and change.asr), told(change and change.accuracy),
        DASH if first else _points(arm), "; ".join(_notes(sweep, start, pick)),
    )  # fmt: skip


def _notes(sweep: Swept, start: Pick, pick: Pick) -> tuple[str, ...]:
    """What stands beside a choice; a word where there was no attack to clean."""
    lacking = clean_already(sweep, start)
    return (*((lacking,) if lacking else ()), *pick.notes)


def _cells(numbers: Numbers | None, several: bool) -> tuple[str, str]:
    found: Sequence[Interval | None] = numbers or (None, None)
    accuracy, asr = (measured(interval, several) for interval in found)
    return accuracy, asr


def _points(arm: Arm) -> str:
    """How many points were chosen from."""
    return count(len(arm.points))


def _victim(arm: Arm) -> str:
    return arm.victim.stage if arm.victim else "the given model"
