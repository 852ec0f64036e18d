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
    METRICS,
    Arm,
    Candidate,
    Numbers,
    Pick,
    across,
    arms,
    before,
    candidates,
    pareto,
    seeds_of,
    within,
)
from bezoar.report.sweeps import Swept, read_sweep
from bezoar.report.text import DASH, count, measured, setting
from bezoar.report.values import safe

if TYPE_CHECKING:
    from bezoar.metrics import Interval

    Choose = Callable[[Swept, Arm], tuple[Pick, ...]]

COLUMNS = (
    "sweep", "victim", "cleaning", "method", "facets", "rule", "seed", "settings", "epoch", "step", "data", "metric",
    "value", "low", "high", "n", "over", "points", "notes",
)  # fmt: skip


def write_tables(folder: Path, each_seed: bool = False) -> tuple[str, tuple[Path, ...]]:
    """Write ``summary.md``, ``summary.csv`` and ``front.csv`` in the folder of a sweep; returns what to show, and them.

    Settings are chosen by the mean over seeds; with ``each_seed`` for each seed by itself. Raises ``ValueError`` where
    there is no sweep.
    """
    sweep, choose = read_sweep(folder), within if each_seed else across
    files = {
        "summary.md": document(sweep, choose),
        "summary.csv": values(sweep, lambda arm: (before(sweep, arm), *choose(sweep, arm))),
        "front.csv": values(sweep, lambda arm: pareto(sweep, arm)),
    }
    for name, text in files.items():
        write_text(folder / name, text)
    table = summary(sweep, choose)
    shown = as_columns(_brief(table, sweep)) if table.lines else NOTHING
    told = [f"- {plain(remark)}" for remark in remarks(sweep, choose)]
    return "\n".join([shown, *told]), tuple(folder / name for name in files)


def _brief(table: Grid, sweep: Swept) -> Grid:
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
    parts = [f"# {sweep.name}\n", *(f"- {escaped(remark)}" for remark in remarks(sweep, choose))]
    if not arms(sweep):
        return "\n".join([*parts, "", NOTHING, ""])
    parts += ["", as_markdown(summary(sweep, choose), sweep.notes)]
    parts += [
        "## Pareto fronts\n",
        f"Points that no other of their arm beats on {sweep.select_on}, by the mean over seeds.\n",
    ]
    return "\n".join([*parts, as_markdown(fronts(sweep), sweep.notes)])


def remarks(sweep: Swept, choose: Choose) -> tuple[str, ...]:
    """Without which the tables would be misread."""
    how = "for each seed by itself" if choose is within else "by the mean over seeds"
    said = [
        f"Every measured epoch of every training of an arm is a point. Points are chosen {how} on {sweep.select_on}, "
        f"and reported on {sweep.report_on}; the choice uses the trigger, which a real defender does not have.",
        "Intervals are Student's over seeds where there are several, else Wilson's over pictures, at 95 %.",
    ]
    if sweep.select_on == sweep.report_on:
        said.append("Chosen and reported on the same pictures: the numbers are optimistic.")
    lost = [(t, seed, why) for t in sweep.trainings for seed, why in t.failed.items()]
    for training, seed, why in lost[:5]:
        said.append(f"No numbers of {_called(training.stage, training.axes)}, seed {seed}: {why}.")
    if len(lost) > 5:
        said.append(f"Nor of {len(lost) - 5} other trainings that failed.")
    open_ = [
        t for t in sweep.trainings if any(not sweep.models(t.number, s) and s not in t.failed for s in sweep.seeds)
    ]
    if open_:
        said.append(f"Not finished: {len(open_)} of {len(sweep.trainings)} stages lack a seed at least.")
    return tuple(said)


def summary(sweep: Swept, choose: Choose) -> Grid:
    """What each rule chooses in each arm, after what the arm began with."""
    lines = []
    for arm in arms(sweep):
        points = _points(sweep, arm)
        lines += [_line(sweep, arm, pick, points) for pick in (before(sweep, arm), *choose(sweep, arm))]
    return _grid(sweep, lines)


def fronts(sweep: Swept) -> Grid:
    """The Pareto front of each arm."""
    return _grid(
        sweep,
        [_line(sweep, arm, pick, _points(sweep, arm)) for arm in arms(sweep) for pick in pareto(sweep, arm)],
    )


def values(sweep: Swept, picks: Callable[[Arm], Sequence[Pick]]) -> str:
    """One number a line, on both splits; of a mean over seeds no seed is named, and n counts seeds."""
    stream = io.StringIO()
    write = csv.writer(stream, lineterminator="\n").writerow
    write(COLUMNS)
    for arm in arms(sweep):
        facets = ", ".join(f"{_short(sweep, name)} {value}" for name, value in arm.facets.items())
        head = [sweep.name, _victim(arm), arm.group, arm.kind, facets]
        for pick in picks(arm):
            for told in _told(sweep, pick):
                write([safe(cell) for cell in (*head, pick.rule, *told, _points(sweep, arm), "; ".join(pick.notes))])
    return stream.getvalue()


def _told(sweep: Swept, pick: Pick) -> Iterator[list[Any]]:
    """The numbers of a choice: the mean over seeds, where there are several, and each seed's own."""
    several = len(pick.chosen) > 1
    same = len(set(pick.chosen.values())) == 1
    for on, numbers in ((sweep.select_on, pick.selected), (sweep.report_on, pick.reported)):
        for metric, interval in zip(METRICS, numbers or (), strict=bool(numbers)):
            at = next(iter(pick.chosen.values())) if same else None
            seed = None if several else next(iter(pick.chosen))
            yield [seed, *_place(sweep, at), on, metric, *interval, "seeds" if several else "samples"]
    for seed, found in pick.by_seed.items() if several else ():
        for metric, interval in zip(METRICS, found, strict=True):
            yield [seed, *_place(sweep, pick.chosen[seed]), sweep.report_on, metric, *interval, "samples"]


def _place(sweep: Swept, at: Candidate | None) -> list[Any]:
    if at is None:
        return [None, None, None]
    settings = sweep.trainings[at.training].settings
    return [", ".join(f"{_short(sweep, key)} {value}" for key, value in settings.items()), at.epoch, at.step]


def _line(sweep: Swept, arm: Arm, pick: Pick, points: str) -> tuple[str, ...]:
    several = len(pick.chosen) > 1
    return (
        _victim(arm), arm.group, arm.kind,
        ", ".join(f"{_short(sweep, name)}\u00a0{value}" for name, value in arm.facets.items()) or DASH,
        pick.rule, _setting(sweep, arm, pick) if pick.rule != BEFORE else DASH, *_cells(pick.selected, several),
        *_cells(pick.reported, several), points if pick.rule != BEFORE else DASH, "; ".join(pick.notes),
    )  # fmt: skip


def _grid(sweep: Swept, lines: Sequence[tuple[str, ...]]) -> Grid:
    head = (
        "Victim", "Cleaning", "Method", "Condition", "Rule", "Chosen", f"Accuracy, {sweep.select_on}",
        f"ASR, {sweep.select_on}", f"Accuracy, {sweep.report_on}", f"ASR, {sweep.report_on}", "Points", "Notes",
    )  # fmt: skip
    return Grid(head, tuple(lines), (False,) * 6 + (True,) * 5 + (False,))


def _cells(numbers: Numbers | None, several: bool) -> tuple[str, str]:
    found: Sequence[Interval | None] = numbers or (None, None)
    accuracy, asr = (measured(interval, several) for interval in found)
    return accuracy, asr


def _setting(sweep: Swept, arm: Arm, pick: Pick) -> str:
    """The chosen settings that are not conditions of the arm, and the epoch; by seed where they differ."""
    told = {}
    for seed, at in pick.chosen.items():
        training = sweep.trainings[at.training]
        free = {_short(sweep, k): v for k, v in training.settings.items() if k not in arm.facets}
        told[seed] = setting(free, at.epoch, None if at.whole else at.step)
    if len(set(told.values())) > 1:
        return "; ".join(f"seed {seed}: {text}" for seed, text in told.items())
    return next(iter(told.values()), DASH)


def _points(sweep: Swept, arm: Arm) -> str:
    """How many points were chosen from."""
    return count(len(candidates(sweep, arm, seeds_of(sweep, arm))))


def _victim(arm: Arm) -> str:
    return arm.victim.stage if arm.victim else "the given model"


def _called(stage: str, axes: Any) -> str:
    return " ".join([stage, *(f"{name.rpartition('.')[2]}={value}" for name, value in axes.items())])


def _short(sweep: Swept, name: str) -> str:
    """The end of a path, where no other axis ends so."""
    end = name.rpartition(".")[2]
    return end if sum(other.rpartition(".")[2] == end for other in sweep.axes) <= 1 else name
