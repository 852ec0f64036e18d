"""Dose: success and clean accuracy of attacks that differ in one number alone, over that number."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bezoar.report.attacks import SUCCESS, AttackRow, several
from bezoar.report.fields import flat
from bezoar.report.looks import COLORS
from bezoar.report.svg import INK, Plot, Spot, style
from bezoar.report.text import listing, measured, quoted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bezoar.metrics import Interval
    from bezoar.report.runs import Run

AMOUNT = "poisoned pairs"
"""A rate and a count are two ways to say how many pairs are poisoned: what counts is how many there are in the end."""
_LEAST = 3
"""Points that make a line worth drawing."""
_WIDE = 10
"""Ratio of the largest number to the smallest from which the axis is logarithmic."""


@dataclass(frozen=True, kw_only=True)
class Dose:
    """Attacks that differ in one number."""

    field: str
    """``poisoned pairs``, or the path of the setting: ``method.epochs``, ``pairs.count``, ``attack.trigger.size``."""
    points: tuple[tuple[float, AttackRow], ...]
    """Ascending."""

    @property
    def names(self) -> str:
        """Its stages in words."""
        return listing([quoted(row.stage) for _, row in self.points])


def doses(run: Run) -> tuple[Dose, ...]:
    """All sets of at least three attacks of ``run`` that differ in one number and were measured by one metric."""
    rows = [(row, _settings(run, row)) for row in several(run) if row.success]
    fields = dict.fromkeys(key for _, settings in rows for key in settings if key != "metric")
    return tuple(dose for field in fields for dose in _along(field, rows))


def draw(dose: Dose, name: str) -> Plot:
    """The plot of a dose; ``name`` begins its ids."""
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(4.9, 3.7), layout="constrained")
        axes = figure.add_subplot()
        lines: tuple[tuple[str, str, str, Callable[[AttackRow], Interval | None]], ...] = (
            ("attack success", COLORS[3], "o-", lambda row: row.success),
            ("clean accuracy", COLORS[2], "s-", lambda row: row.accuracy),
            ("success without it", INK, "x:", lambda row: row.without),
        )
        spots: list[Spot] = []
        for number, (label, color, mark, of) in enumerate(lines):
            found = [(x, share, row) for x, row in dose.points if (share := of(row))]
            _line(axes, [(x, share) for x, share, _ in found], label, color, mark)
            spots += [Spot(axes, x, 100 * share.value, number, _said(dose, x, row)) for x, share, row in found]
        xs = [x for x, _ in dose.points]
        if xs[0] > 0 and xs[-1] >= _WIDE * xs[0]:
            axes.set_xscale("log")
        axes.set_ylim(-3, 103)
        axes.set_xlabel(dose.field)
        axes.set_ylabel("share, %")
        figure.legend(loc="outside lower center", ncols=2, fontsize=10, handlelength=1.6, columnspacing=1.2)
    return Plot(
        name=name, label=f"Attack success and clean accuracy by {dose.field}", figure=figure, spots=tuple(spots)
    )


def _line(axes: Axes, points: Sequence[tuple[float, Interval]], label: str, color: str, mark: str) -> None:
    """One share over the number, with its intervals."""
    if not points:
        return
    ys = [100 * share.value for _, share in points]
    below = [100 * max(0.0, share.value - max(share.low, 0.0)) for _, share in points]
    above = [100 * max(0.0, min(share.high, 1.0) - share.value) for _, share in points]
    axes.errorbar(
        [x for x, _ in points], ys, yerr=[below, above], fmt=mark, color=color, label=label, ms=5, lw=1.4, elinewidth=1
    )


def _said(dose: Dose, x: float, row: AttackRow) -> str:
    over = row.seeds > 1
    lines = [
        row.stage, f"{dose.field} {x:,g}", f"attack success, of {SUCCESS[row.metric]}, {measured(row.success, over)}",
        f"clean accuracy {measured(row.accuracy, over)}", f"without it {measured(row.without, over)}", row.verdict,
    ]  # fmt: skip
    return "\n".join(lines)


def _along(field: str, rows: Sequence[tuple[AttackRow, Mapping[str, Any]]]) -> Iterator[Dose]:
    """The sets of attacks that differ in ``field`` alone."""
    alike: dict[str, dict[float, AttackRow]] = {}
    for row, settings in rows:
        x = row.count if field == AMOUNT else settings.get(field)
        if isinstance(x, (int, float)) and not isinstance(x, bool):
            rest = {key: value for key, value in settings.items() if key != field}
            alike.setdefault(json.dumps(rest, sort_keys=True, default=str), {}).setdefault(float(x), row)
    for found in alike.values():
        if len(found) >= _LEAST:
            yield Dose(field=field, points=tuple(sorted(found.items(), key=lambda point: point[0])))


def _settings(run: Run, row: AttackRow) -> dict[str, Any]:
    """All that an attacked model was made with, by path; the rate and the count of the attack as one."""
    group = run.groups[row.group]
    parts = {
        "attack": run.attack_of(group), "pairs": (run.experiment.get("pairs") or {}).get(group.pairs),
        "method": {**group.method, **group.points[row.stage]}, "start": group.start,
    }  # fmt: skip
    found = flat(parts)
    amount = {key: found.pop(key) for key in ("attack.rate", "attack.count") if key in found}
    return {AMOUNT: list(amount.values()), **found, "metric": row.metric}
