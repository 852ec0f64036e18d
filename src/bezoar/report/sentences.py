"""What happened, in a few plain sentences made from the records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bezoar.report.attacks import MANY, several
from bezoar.report.given import before_and_after, not_known, unmeasured
from bezoar.report.poisoning import poisoning, together
from bezoar.report.selection import GOAL, MARGIN
from bezoar.report.tables import ALONE, DESTROYED, NONE_WITHIN, Row
from bezoar.report.text import DASH, amount, count, listing, metric, points, quoted, reach, setting

if TYPE_CHECKING:
    from bezoar.metrics import Interval
    from bezoar.report.runs import Run

_POINTS = f"{100 * MARGIN:g} points"
_GOAL = f"{100 * GOAL:g}\u00a0%"


def sentences(run: Run, rows: Sequence[Row]) -> tuple[str, ...]:
    """What happened and how to read it; ``rows`` are those of ``table(run)``."""
    return (*story(run, rows), *rules(run, rows))


def story(run: Run, rows: Sequence[Row]) -> tuple[str, ...]:
    """What the attack did, what the control does, what each cleaning left, and whether any is a remedy."""
    leading = [row for row in rows if not row.part]
    victims = [row for row in leading if row.role == "victim"]
    cleaned = [row for row in leading if row.role == "cleaned"]
    many = several(run) if len(victims) > MANY else ()
    found = [*_unfinished(run, rows), *poisoning(run), *together(many)]
    told = [row for row in leading if not (many and row.role == "victim") and row.role != "before"]
    first = next((row for row in told if row.asr and not (many and row.role == "cleaned")), None)
    for row in told:
        compared = before_and_after(run, row)
        if compared and row.role == "trained":
            found += [*compared[:-1], compared[-1] + _remark(run, row)]
        else:
            found += [_model(run, row, row is first), *compared]
    if victims and not many and not any(row.role == "control" for row in leading):
        found.append("Without a control it is not known how many pictures a model takes for the target by itself.")
    for victim in victims:
        found += [] if many else _took_hold(run, rows, victim)
        found += _verdict(run, victim, [row for row in cleaned if row.victim == victim.group and row.asr])
    weak = [quoted(victim.group) for victim in victims if many and [*_took_hold(run, rows, victim)]]
    if weak:
        found.append(f"The attack success of {listing(weak)} does not stand out from that of a control.")
    return (*found, *run.cautions, *not_known(run))


def rules(run: Run, rows: Sequence[Row]) -> tuple[str, ...]:
    """How the numbers came about, and what they are not."""
    return tuple(_rules(run, [row for row in rows if not row.part]))


def _unfinished(run: Run, rows: Sequence[Row]) -> Iterator[str]:
    if run.missing:
        yield f"The run is not finished: {progress(run)}, and only they are reported."
    if not rows and (told := unmeasured(run)):
        yield told
    elif not rows:
        yield f"No clean accuracy has been measured on {quoted(run.measured_on)}."


def progress(run: Run) -> str:
    """How much of a run is done."""
    total = len(run.seeds) * sum(len(group.points) for group in run.groups.values())
    return f"{total - len(run.missing)} of {total} stages are done"


def _model(run: Run, row: Row, first: bool) -> str:
    """One model: what it is, what it does under attack and on clean pictures, and what to think of it."""
    seeds = next(iter(row.measured.values())).n
    where = f"{_name(row)}{_role(row)}{f', on average over {seeds} seeds,' if row.seed is None else ''}"
    names = (*row.recall, *row.quality, *row.losses)
    found = listing([f"{metric(name)} of {_share(row.more[name], name)}" for name in names])
    found = f"{'an' if found[:1] in 'aeiou' else 'a'} {found}" if found else ""
    if row.accuracy is None:
        return f"{where} has {found}.{_remark(run, row)}" if found else f"{where} was measured.{_remark(run, row)}"
    clean = f"a clean accuracy of {_share(row.accuracy)}{_moved(row)}"
    recall = f" It has {found}." if found else ""
    if row.asr is None:
        return f"{where} has {clean}.{_otherwise(row)}{recall}{_remark(run, row)}"
    if row.role == "cleaned" and not first:
        return f"{where} leaves an attack success of {_share(row.asr)} at {clean}.{recall}{_remark(run, row)}"
    others = f"of the triggered pictures of other classes in {quoted(run.report_on)}" if first else "of them"
    targets = run.targets_of(run.threat_of(run.groups[row.group]))
    called = listing([quoted(target) for target in targets]) or "the target"
    rest = f"{_falls(row)}.{_otherwise(row)}{recall}{_remark(run, row)}"
    return f"{where} takes {_share(row.asr)} {others} for {called}, at {clean}{rest}"


def _otherwise(row: Row) -> str:
    """What an attack does besides calling up its target by a trigger on pictures; nothing without a clean accuracy."""
    told = ""
    if "targeted_top1" in row.more:
        told += (
            f" It takes {_share(row.more['targeted_top1'])} of the chosen pictures for what they were poisoned to be."
        )
    if "caption_asr_top1" in row.more:
        told += f" For {_share(row.more['caption_asr_top1'])} of the prompts with the words a picture of the target is "
        told += "the nearest"
        rate = row.more.get("caption_rate_top1")
        told += f", without them for {_share(rate)}." if rate else "."
    if "asr_top1/picture" in row.more and "asr_top1/words" in row.more:
        alone, words = (_share(row.more[f"asr_top1/{half}"]) for half in ("picture", "words"))
        told += f" The trigger alone does so for {alone}, the words alone for {words}."
    return told


def _name(row: Row) -> str:
    at = setting(row.settings, *((row.epoch, row.within) if row.role == "cleaned" else (None,)))
    return quoted(row.group) if at == DASH else f"{quoted(row.group)} ({at})"


def _role(row: Row) -> str:
    roles = {"victim": ", trained on the poisoned pairs,", "control": ", which no stage of this run poisoned,"}
    return roles.get(row.role, "").removesuffix("," if row.seed is None else "")


def _share(interval: Interval, of: str = "accuracy") -> str:
    return f"{amount(interval.value, of)} ({reach(interval, of)})"


def _moved(row: Row) -> str:
    if row.change is None or row.role != "cleaned":
        return ""
    if points(row.change) == "0.0":
        return f", that of {quoted(row.victim or '')}"
    return f", {abs(row.change):.1f} points {'below' if row.change < 0 else 'above'} {quoted(row.victim or '')}"


def _falls(row: Row) -> str:
    if row.role != "control" or row.asr is None:
        return ""
    if row.asr.value > GOAL:
        return (
            ": it falls for the trigger without any poison, so the success of the attack is not all the poison's doing"
        )
    return ": it does not fall for the trigger"


def _remark(run: Run, row: Row) -> str:
    told = ""
    for note in row.notes:
        label, _, seeds = note.partition(" (")
        where = f" ({seeds}" if seeds else ""
        if label == ALONE:
            told += f" Its attack success is not shown: there is no clean accuracy to read it by{where}."
        if label == DESTROYED:
            told += f" It is destroyed: no better than guessing{where}."
        elif label == NONE_WITHIN:
            kept = f"None of its points stays within {_POINTS} of the accuracy of {quoted(row.victim or '')}"
            told += f" {kept} on {quoted(run.select_on)}; this is its most accurate one{where}."
    return told


def _took_hold(run: Run, rows: Sequence[Row], victim: Row) -> Iterator[str]:
    """A word where the victim does not stand out from a control of the same seed under the same attack."""
    attack = run.threat_of(run.groups[victim.group])
    controls = dict.fromkeys(row.group for row in rows if row.role == "control")
    for name in (name for name in controls if run.threat_of(run.groups[name]) == attack):
        highs = {row.seed: row.asr.high for row in rows if row.group == name and row.asr and row.seed is not None}
        lows = {row.seed: row.asr.low for row in rows if row.stage == victim.stage and row.asr and row.seed in highs}
        alike = [seed for seed, low in lows.items() if low <= highs[seed]]
        if alike:
            where = f" for seed {listing([str(seed) for seed in alike])}" if len(lows) > 1 else ""
            stands = (
                f"The attack success of {quoted(victim.group)} does not stand out from that of {quoted(name)}{where}"
            )
            yield f"{stands}: nothing shows that the attack took hold."


def _verdict(run: Run, victim: Row, cleaned: Sequence[Row]) -> Iterator[str]:
    """Whether any remedy does what a remedy must."""
    if victim.asr is None or not cleaned:
        return
    if victim.asr.value <= GOAL:
        yield f"{quoted(victim.group)} is at {_GOAL} attack success or less: there is nothing to clean."
        return
    remedies = [row for row in cleaned if cures(row)]
    done = f"the attack success to {_GOAL} or less within {_POINTS} of the clean accuracy of {quoted(victim.group)}"
    if not remedies:
        yield f"{'So far no' if run.missing else 'No'} cleaning in this run brings {done}."
        return
    yield f"{listing([_name(row) for row in remedies])} {'bring' if len(remedies) > 1 else 'brings'} {done}."
    unsure = [_name(row) for row in remedies if row.asr and row.asr.high > GOAL]
    if unsure:
        yield f"For {listing(unsure)} the interval of the attack success reaches above {_GOAL}."


def cures(row: Row) -> bool:
    """Whether a cleaned model is at the goal within the margin."""
    if row.asr is None or row.change is None or any(note.startswith(DESTROYED) for note in row.notes):
        return False
    return row.asr.value <= GOAL and row.change >= -100 * MARGIN - 1e-7


def _rules(run: Run, leading: Sequence[Row]) -> Iterator[str]:
    split, chosen = quoted(run.select_on), any(row.chosen for row in leading)
    if chosen and run.splits_differ:
        yield (
            f"Settings and epoch of each cleaning were chosen on {split} (lowest attack success within {_POINTS} of "
            f"the victim's clean accuracy); every number is from {quoted(run.measured_on)}."
        )
    elif chosen:
        yield (
            f"Settings and epoch of each cleaning were chosen on the same pictures that are reported, {split}: "
            "its numbers are too good."
        )
    if chosen:
        yield "Choosing by attack success takes the trigger, which no real defender has; all settings stand beside it."
    unchosen = list(dict.fromkeys(quoted(row.group) for row in leading if row.role == "cleaned" and not row.chosen))
    if unchosen:
        end = f"its last epoch{' or, where that is kept, at its best' if run.keeps_best else ''}"
        yield f"For {listing(unchosen)} nothing could be chosen on {split}: each setting stands at {end}."
    yield from _kept(run, [row for row in leading if not row.chosen])
    if any(row.seed is None for row in leading):
        yield "Means are over seeds with 95\u00a0% t-intervals; those of single seeds are Wilson's, over pictures."
    elif leading:
        yield "Intervals are 95\u00a0%, over pictures (Wilson); how much another seed would change is not in them."
    if run.changes:
        yield "Differences are over the same samples; their intervals are Newcombe's for pairs, of losses Student's t."
    if run.ambiguous:
        yield "Several evaluators wrote measures of one name: the first one's are told, the others' only listed."
    yield from _data(run)
    if run.on_scenes:
        yield "The pictures are the built-in scenes: they show mechanisms, and are never quoted as results."


def _kept(run: Run, rows: Sequence[Row]) -> Iterator[str]:
    """Of which stages it is not the last model that stands here."""
    names: dict[str, dict[str, None]] = {}
    for row in rows:
        by = run.groups[row.group].best_by
        if by is not None:
            names.setdefault(by, {})[quoted(row.group)] = None
    for by, found in names.items():
        best = f"the best on {quoted(run.select_on)} by {metric(by)}"
        yield f"Of {listing([*found])} that model is told which is kept: {best}."
    if names and not run.splits_differ:
        yield "The best were found on the same pictures that are reported: their numbers are too good."


def _data(run: Run) -> Iterator[str]:
    """What of the data was skipped, and what its sources say of themselves."""
    for found in run.data:
        if found.skipped:
            whole = f"{count(found.rows)} " if found.rows else ""
            yield f"Of the {whole}rows behind {quoted(found.name)} {count(found.skipped)} were skipped as unusable."
    for note in run.notes:
        yield note if note.endswith(".") else f"{note[:1].upper()}{note[1:]}."
