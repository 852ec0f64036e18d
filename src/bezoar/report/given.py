"""A model from elsewhere, before and after: what has changed, in sentences, and what nobody can know of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bezoar.core.records import is_loss, is_share
from bezoar.metrics import Interval, student_t
from bezoar.report.paired import METRICS
from bezoar.report.tables import role_of
from bezoar.report.text import DASH, amount, basis, listing, metric, points, quoted, reach, setting

if TYPE_CHECKING:
    from bezoar.report.groups import Group
    from bezoar.report.runs import Run
    from bezoar.report.tables import Row


def given(run: Run) -> tuple[Group, ...]:
    """The stages that began with a model from elsewhere, in a run that poisons nothing."""
    return tuple(g for g in run.groups.values() if role_of(run, g) == "trained" and run.began_trained(g))


def before_and_after(run: Run, row: Row) -> tuple[str, ...]:
    """What has changed of the model that ``row`` was made of; nothing where it was not measured before."""
    group = run.groups[row.group]
    if row.role == "before" or group.start is not None or row.epoch is None:
        return ()
    if row.role != "trained" and not run.began_trained(group):
        return ()
    seeds = run.seeds if row.seed is None else (row.seed,)
    before = run.given(row.stage, seeds[0])
    found: list[str] = []
    for name in METRICS:
        if name in before and name in row.measured:
            told = _share(before[name], name), _share(row.measured[name], name, row.seed is None)
            moved = _moved(run, row.stage, seeds, name)
            where = quoted(_set(run, name))
            if not found:
                after = f"{quoted(row.group)} ({setting(row.settings, row.epoch, row.within)})"
                after += f", on average over {len(seeds)} seeds," if len(seeds) > 1 else ""
                said = f"{_model(run)} has {_a(_called(name))} of {told[0]} on {where}, {after} {told[1]}"
            else:
                said = f"Its {_called(name)} on {where} goes from {told[0]} to {told[1]}"
            found.append(f"{said}{': ' + _difference(moved, name) if moved else ''}.")
    return tuple(found)


def unmeasured(run: Run) -> str:
    """What to give, where a model from elsewhere was trained and nothing was measured; empty in any other run."""
    stages = given(run)
    if not stages or run.records:
        return ""
    return (
        f"Nothing was measured of {_model(run)}, before or after {listing([quoted(g.name) for g in stages])}: what "
        "was done to it is not known. Name labeled pictures (--val) or pairs that are kept apart from these "
        "(--held-out), or measure both models with bezoar evaluate."
    )


def not_known(run: Run) -> Iterator[str]:
    """What a run with a model from elsewhere cannot tell, and what would tell more."""
    if not given(run):
        return
    model, tried = _model(run), any(record.metric.startswith("asr_top1") for record in run.records)
    if tried:
        yield (
            f"Only the triggers named here were tried: whether {model} has another backdoor is not known, and no "
            "number above tells."
        )
    else:
        said = (
            f"{model} was trained on poisoned pairs, as its history says. Not known: whether a backdoor is left"
            if run.known_poisoned
            else f"Not known: whether {model} was ever poisoned, and whether a backdoor is left"
        )
        yield (
            f"{said}. Attack success cannot be measured without the trigger, and clean accuracy says nothing of it: "
            "poisoned models have it too."
        )
    yield "The pairs were taken as they are: nothing here has looked for poison in them."
    if not tried:
        yield (
            "More is told by trying triggers: bezoar evaluate with --trigger and --target, or with a poison folder "
            "(--poison there, --against here). That some fail is no proof: there may be others."
        )


def _model(run: Run) -> str:
    return quoted(str(run.experiment.get("model", "the model")))


def _called(name: str) -> str:
    """``clean accuracy``, ``text recall@1``: a metric whose first choice goes without saying."""
    return metric(name).removesuffix(", top-1")


def _a(thing: str) -> str:
    return f"{'an' if thing[:1] in 'aeiou' else 'a'} {thing}"


def _set(run: Run, name: str) -> str:
    """The set that a number told is of: the first that has it."""
    sets = (record.data for at in run.told_on for record in run.records if (record.data, record.metric) == (at, name))
    return next(sets, run.report_on)


def _share(interval: Interval, name: str, seeds: bool = False) -> str:
    return f"{amount(interval.value, name)} ({reach(interval, name)}, {basis(interval, seeds)})"


def _moved(run: Run, stage: str, seeds: Sequence[int], name: str) -> Interval | None:
    """The paired difference; over seeds the mean of theirs, where all have one."""
    key = _set(run, name), name
    found = [change[key] for seed in seeds if key in (change := run.changes.get((stage, seed), {}))]
    if len(found) < len(seeds):
        return None
    return found[0] if len(found) == 1 else student_t([each.value for each in found])


def _difference(moved: Interval, name: str) -> str:
    """``8.4 points lower (4.6–12.3)``, or that no difference stands out."""
    scale, unit, digits = (100, "points", 1) if is_share(name) else (1, "nats" if is_loss(name) else "of it", 3)
    low, value, high = (scale * end for end in (moved.low, moved.value, moved.high))
    if low <= 0 <= high:
        ends = f"{points(low)} to {points(high)}" if unit == "points" else f"{low:+.{digits}f} to {high:+.{digits}f}"
        return f"no difference stands out ({ends} {unit})".replace("-", "−")
    near, far = sorted((abs(low), abs(high)))
    return (
        f"{abs(value):.{digits}f} {unit} {'lower' if value < 0 else 'higher'} ({near:.{digits}f}{DASH}{far:.{digits}f})"
    )
