"""What the attacks of a run do to its pairs, and, where they are many, which take: in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bezoar.report.attacks import MANY, NOT, TAKES, UNKNOWN, UNMEASURED, AttackRow
from bezoar.report.plans import slug
from bezoar.report.tables import DESTROYED
from bezoar.report.text import count, listing, percent, quoted

if TYPE_CHECKING:
    from bezoar.report.plans import Plan
    from bezoar.report.runs import Run

_NAMED = 12
"""Attacks that a sentence names; the table has them all."""
_ORDER = {TAKES: 0, NOT: 2, DESTROYED: 3, UNKNOWN: 4, UNMEASURED: 5}
"""Of verdicts; those in which seeds differ stand after the first."""


_SAID = {
    DESTROYED: ("says nothing, for its model is destroyed", "say nothing, for their models are destroyed"),
    NOT: (NOT, "do not take"),
    UNKNOWN: ("has no verdict", "have no verdict"),
    UNMEASURED: ("was not measured", "were not measured"),
}
"""Verdicts of one attack and of several, where they read otherwise than they are called."""


def poisoning(run: Run) -> Iterator[str]:
    """What the attacks do to the pairs of the stages that they poison."""
    if run.attacks and not any(group.poison for group in run.groups.values()):
        yield "No stage here is trained on poison: the attack is only measured."
        return
    victims = {(slug(group.pairs), group.attack) for group in run.groups.values() if run.victim_of(group) is group}
    plans = [plan for plan in run.plans if (plan.pairs, plan.attack) in victims]
    names = {plan.attack for plan in plans}
    if len(names) > MANY:
        sizes = sorted((plan.head["count"], plan.length) for plan in plans)
        least, most = (f"{count(size)} of {count(length)}" for size, length in (sizes[0], sizes[-1]))
        yield f"Each attack poisons {least}{f' to {most}' if most != least else ''} training pairs."
        return
    for plan in plans if len(names) > 1 else ():
        told = f"The attack {quoted(plan.attack)}" if plan.attack else "The attack"
        yield f"{told} {_does(run, plan)}{f', seed {plan.seed}' if len(run.seeds) > 1 else ''}."
    yield from dict.fromkeys(f"The attack {_does(run, plan)}." for plan in plans if len(names) == 1)


def together(found: Sequence[AttackRow]) -> Iterator[str]:
    """Many attacks in a few sentences: which take, which do not, of which nothing can be said."""
    by_verdict: dict[str, list[AttackRow]] = {}
    for row in found:
        by_verdict.setdefault(row.verdict, []).append(row)
    for verdict in sorted(by_verdict, key=lambda verdict: _ORDER.get(verdict, 1)):
        rows = by_verdict[verdict]
        some = (
            f"{len(rows)} of {len(found)} attacks" if len(rows) < len(found) else f"All {len(found)} measured attacks"
        )
        one, more = _SAID.get(verdict, (verdict, verdict.replace("takes", "take")))
        yield f"{some} {one if len(rows) == 1 else more}: {_names(rows)}.{_ends(rows) if verdict == TAKES else ''}"


def _names(rows: Sequence[AttackRow]) -> str:
    names = [quoted(row.stage) for row in rows]
    more = len(names) - _NAMED
    return f"{', '.join(names[:_NAMED])}, and {more} more" if more > 0 else listing(names)


def _ends(rows: Sequence[AttackRow]) -> str:
    """The strongest and the weakest of attacks that take."""
    found = sorted((row.success.value, row.stage) for row in rows if row.success)
    if len(found) < 2:
        return ""
    least, most = (f"{quoted(name)} ({percent(value)})" for value, name in (found[0], found[-1]))
    return f" Of these {most} has the highest success, {least} the lowest."


def _does(run: Run, plan: Plan) -> str:
    """What a plan does to its pairs, or which it adds."""
    targets = listing([quoted(target) for target in run.targets_of(plan.attack)])
    kept = bool(plan.preview) and all(row.get("original") == row.get("caption") for row in plan.preview)
    caption = f"a caption of {targets}" if targets else "another caption"
    parts = ["a trigger"] * bool(plan.triggers) + ["words in the caption"] * bool(plan.words)
    given = listing([*parts, *((caption,) if not kept else ())])
    size, share = count(plan.head["count"]), f"{100 * plan.head['count'] / plan.length:.3g}\u00a0%"
    if plan.appended == plan.head["count"]:
        return f"adds {size} pairs with {given} to {count(plan.head['total'])} training pairs ({share} of all)"
    left = f" and leaves them their captions{f' of {targets}' if targets else ''}" if kept else ""
    return f"gives {size} of {count(plan.length)} training pairs ({share}) {given}{left}"
