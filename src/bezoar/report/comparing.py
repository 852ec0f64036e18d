"""What several runs say beside each other, in sentences made from their records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bezoar.report.fields import differences
from bezoar.report.selection import GOAL
from bezoar.report.sentences import cures, progress
from bezoar.report.tables import Row, table
from bezoar.report.text import bounds, count, listing, percent, quoted

if TYPE_CHECKING:
    from bezoar.metrics import Interval
    from bezoar.report.runs import Run

_GOAL = f"{100 * GOAL:g}\u00a0%"
_NAMED = 5
"""Settings that a sentence names; the page's table has them all."""


def compared(runs: Sequence[Run]) -> tuple[str, ...]:
    """Who is compared, in what they differ, where the attack is strongest, which cleaning leaves least, and caveats."""
    return (*_who(runs), *_attacks(runs), *_remedies(runs), *_caveats(runs))


def _who(runs: Sequence[Run]) -> Iterator[str]:
    names = listing([f"{quoted(run.title)} ({_seeds(run)})" for run in runs])
    yield f"{count(len(runs))} runs stand beside each other: {names}."
    found = list(differences(runs))
    if found:
        more = f", and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        named = ", ".join(found[:_NAMED]) if more else listing(found)
        yield f"They differ in {named}{more}."
    else:
        data = "" if len({run.content for run in runs}) == 1 else "what their sources held, "
        yield f"They differ in no setting: what differs between them is {data}chance, the code and the machine."


def _seeds(run: Run) -> str:
    word = "seed" if len(run.seeds) == 1 else "seeds"
    pooled = f" from {len(run.folders)} folders" if run.folders else ""
    return f"{word} {', '.join(map(str, run.seeds))}{pooled}"


def _attacks(runs: Sequence[Run]) -> Iterator[str]:
    rows = [row for run in runs for row in table(run) if row.role == "victim" and row.asr and not row.part]
    if len({row.run for row in rows}) < 2:
        return
    rows.sort(key=lambda row: _asr(row).value)
    least, most = rows[0], rows[-1]
    yield (
        f"Before any cleaning the attack success is highest in {_where(most)}, {_both(most)}, "
        f"and lowest in {_where(least)}, {_both(least)}{_apart(least, most)}."
    )


def _remedies(runs: Sequence[Run]) -> Iterator[str]:
    rows = [row for run in runs for row in table(run) if row.role == "cleaned" and row.asr and not row.part]
    if not rows:
        return
    remedies = sorted((row for row in rows if cures(row)), key=lambda row: _asr(row).value)
    if not remedies:
        yield f"No cleaning of these runs keeps the accuracy and brings the attack success to {_GOAL} or less."
        return
    best = remedies[0]
    yield f"Of all cleanings that keep the accuracy, {_where(best)} leaves the least attack success: {_both(best)}."
    rest = [f"{_where(row)}, {_both(row)}{_apart(best, row)}" for row in remedies[1:_NAMED]]
    if rest:
        more = f", and {len(remedies) - _NAMED} more" if len(remedies) > _NAMED else ""
        yield f"Also at {_GOAL} or less: {'; '.join(rest)}{more}."


def _caveats(runs: Sequence[Run]) -> Iterator[str]:
    if len({_measured(run) for run in runs}) > 1:
        yield "The runs are not all measured on the same pictures: numbers of different runs cannot be compared."
    if len({run.target for run in runs}) > 1:
        yield "The runs do not all have the same target class, so their attack success is that of different attacks."
    if len({str(run.environment.get("git")) for run in runs}) > 1:
        yield "The runs were made with different revisions of the code."
    if all(len(run.seeds) == 1 for run in runs):
        yield "Each run has one seed: how much of a difference between runs is chance is not known."
    for run in runs:
        if run.missing:
            yield f"{quoted(run.title)} is not finished: {progress(run)}."


def _measured(run: Run) -> str:
    sets: dict[str, Any] = run.experiment.get("labeled") or {}
    content = [found for found in run.content if found[0] == "held_out" or found[:2] == ("labeled", run.report_on)]
    return repr((run.report_on, sets.get(run.report_on), run.experiment.get("held_out"), content))


def _where(row: Row) -> str:
    return f"{quoted(row.group)} of {quoted(row.run)}"


def _both(row: Row) -> str:
    assert row.accuracy is not None
    asr, clean = _asr(row), row.accuracy
    return f"{percent(asr.value)} ({bounds(asr)}) at a clean accuracy of {percent(clean.value)} ({bounds(clean)})"


def _asr(row: Row) -> Interval:
    assert row.asr is not None
    return row.asr


def _apart(low: Row, high: Row) -> str:
    """A word where two intervals meet."""
    return "" if _asr(low).high < _asr(high).low else " (the two intervals overlap)"
