"""Rows for people: the result at the chosen settings, every stage at its last epoch, every epoch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from bezoar.core.records import is_loss, is_share
from bezoar.metrics import Interval, destroyed, student_t
from bezoar.report.groups import Point
from bezoar.report.selection import Choice, choose
from bezoar.report.text import metric

if TYPE_CHECKING:
    from bezoar.report.groups import Group
    from bezoar.report.runs import Run

Role = Literal["victim", "control", "cleaned", "before", "trained"]
"""``control``: what no stage of a run with victims has poisoned; ``trained``: any stage of a run without victims;
``before``: the model from elsewhere that such a stage began with."""

DESTROYED = "destroyed"
NONE_WITHIN = "none within 3 points"
NOT_CHOSEN = "not chosen: last epoch"
ALONE = "attack success not shown: no clean accuracy"
_PROBE = re.compile(r"\w+_probe_(accuracy|asr)_top1$")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model on the set that is reported on, or with ``seed`` ``None`` the mean over seeds."""

    run: str
    """What the page calls its run."""
    role: Role
    group: str
    """Stage of ``experiment.yaml``."""
    stage: str
    """Stage of the records: the group, or a point of its grid."""
    method: str
    victim: str | None
    """The poisoned stage behind a cleaned model."""
    seed: int | None
    settings: Mapping[str, Any]
    """Fields of the grid; in a mean, where all seeds chose the same."""
    epoch: int | None
    """Epochs finished; of a mean, where all seeds stand there."""
    accuracy: Interval | None
    """Clean accuracy, top-1: Wilson's interval over images, in a mean Student's over seeds."""
    asr: Interval | None
    """Never there without the clean accuracy."""
    change: float | None
    """Clean accuracy against the victim of the same seed, or the model that was given, in points."""
    step: int | None = None
    """Steps taken, as far as the records say; of a mean, where all seeds took as many."""
    whole: bool = True
    """Whether an epoch had just ended."""
    notes: tuple[str, ...] = ()
    chosen: bool = False
    part: bool = False
    """One seed of the mean that stands before it."""
    more: Mapping[str, Interval] = field(default_factory=dict)
    """Everything else that is reported; of a mean, what all seeds have."""

    @property
    def recall(self) -> Mapping[str, Interval]:
        """How often retrieval finds the right one first, by metric."""
        return {name: interval for name, interval in self.more.items() if re.search(r"recall_top1(?!\d)", name)}

    @property
    def probes(self) -> Mapping[str, Interval]:
        """Accuracy and attack success, top-1, by linear classifiers of the image features, by metric."""
        return {name: interval for name, interval in self.more.items() if _PROBE.match(name)}

    @property
    def quality(self) -> Mapping[str, Interval]:
        """How good the captions of pictures are, by metric."""
        return {name: interval for name, interval in self.more.items() if re.match(r"cider(?!\w)", name)}

    @property
    def captions(self) -> Mapping[str, Interval]:
        """How often captions of pictures name the target, by metric."""
        return {name: interval for name, interval in self.more.items() if name.startswith("caption_names_target")}

    @property
    def losses(self) -> Mapping[str, Interval]:
        """Of which less is better, by metric."""
        return {name: interval for name, interval in self.more.items() if is_loss(name)}

    @property
    def within(self) -> int | None:
        """The step, of a model in the middle of an epoch."""
        return None if self.whole else self.step

    @property
    def measured(self) -> Mapping[str, Interval]:
        """All its numbers by metric, the clean accuracy before the attack success."""
        first = {"accuracy_top1": self.accuracy, "asr_top1": self.asr}
        return {name: interval for name, interval in first.items() if interval} | dict(self.more)


def role_of(run: Run, group: Group) -> Role:
    """What a stage is in the story."""
    victim = run.victim_of(group)
    if victim:
        return "victim" if victim is group else "cleaned"
    return "control" if any(g.poison for g in run.groups.values()) else "trained"


def table(run: Run) -> tuple[Row, ...]:
    """Victims, then controls, then every cleaning at its chosen point: the mean over seeds before each seed's own."""
    rows: list[Row] = []
    for role in ("victim", "control", "cleaned", "trained"):
        for group in run.groups.values():
            if role_of(run, group) == role:
                rows += _before(run, group) if role == "trained" or run.began_trained(group) else []
                rows += _cleaned(run, group) if role == "cleaned" else _ends(run, group)
    return tuple(rows)


def last_epochs(run: Run) -> tuple[Row, ...]:
    """Every stage, each point of each grid, at its last epoch; a row a seed."""
    keys = [(group, stage, seed) for group in run.groups.values() for stage in group.points for seed in run.seeds]
    return tuple(row for group, stage, seed in keys for row in _rows(run, group, [run.last(stage, seed)]))


def every_epoch(run: Run) -> tuple[Row, ...]:
    """Every model that was measured; those that were chosen say so."""
    rows: list[Row] = []
    for group in run.groups.values():
        cleaned = role_of(run, group) == "cleaned"
        choices = [choose(run, group, seed) for seed in run.seeds] if cleaned else []
        chosen = {choice.point for choice in choices if choice}
        for stage in group.points:
            rows += _rows(run, group, (p for seed in run.seeds for p in run.epochs(stage, seed)), chosen)
    return tuple(rows)


def plain(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows as plain values, for JSON."""
    return [
        {
            "role": row.role, "stage": row.group, "method": row.method, "victim": row.victim, "seed": row.seed,
            "settings": dict(row.settings), "epoch": row.epoch, "step": row.step, "whole": row.whole,
            "accuracy_top1": row.accuracy._asdict() if row.accuracy else None,
            "asr_top1": row.asr._asdict() if row.asr else None, "change_in_points": row.change,
            "notes": list(row.notes), "more": {name: interval._asdict() for name, interval in row.more.items()},
        }
        for row in rows
    ]  # fmt: skip


def _ends(run: Run, group: Group, *notes: str) -> list[Row]:
    """Every point of a stage, the model that it leaves."""
    rows: list[Row] = []
    for stage in group.points:
        found = _rows(run, group, (run.kept(stage, seed) for seed in run.seeds))
        rows += _with_mean([_noted(row, *notes) for row in found])
    return rows


def _before(run: Run, group: Group) -> list[Row]:
    """The model from elsewhere that a stage began with; one model, whatever the seeds."""
    points = (Point(stage, seed, 0) for stage in group.points for seed in run.seeds)
    found = next((_rows(run, group, [point]) for point in points if group.start is None and run.reported(point)), [])
    return [replace(row, role="before", settings={}, change=None) for row in found]


def _cleaned(run: Run, group: Group) -> list[Row]:
    """A cleaning at the point chosen for each seed; what each point leaves where no choice can be made."""
    choices = {seed: choice for seed in run.seeds if (choice := choose(run, group, seed))}
    if not choices:
        return _ends(run, group, *(() if group.best_by else (NOT_CHOSEN,)))
    rows = []
    for seed, choice in choices.items():
        found = _rows(run, group, [choice.point], {choice.point})
        rows += [_noted(row, *_remarks(run, group, seed, choice)) for row in found]
    return _with_mean(rows)


def _remarks(run: Run, group: Group, seed: int, choice: Choice) -> Iterable[str]:
    if not choice.within:
        yield NONE_WITHIN
    done = sum(bool(run.epochs(stage, seed)) for stage in group.points)
    if done < len(group.points):
        yield f"{done} of {len(group.points)} settings measured"


def _noted(row: Row, *notes: str) -> Row:
    return replace(row, notes=(*row.notes, *notes))


def _rows(run: Run, group: Group, points: Iterable[Point | None], chosen: Iterable[Point] = ()) -> list[Row]:
    """One row a point; without an accuracy, a recall or a loss there is none, whatever else was measured."""
    rows = []
    victim = run.victim_of(group)
    for point in points:
        found = dict(run.reported(point)) if point else {}
        accuracy, asr = found.pop("accuracy_top1", None), found.pop("asr_top1", None)
        others = any("recall_top" in name or not is_share(name) or _PROBE.match(name) for name in found)
        if point is None or not (accuracy or others):
            continue
        before = _kept_accuracy(run, victim, point.seed) if victim and victim is not group else None
        if group.start is None and (role_of(run, group) == "trained" or run.began_trained(group)):
            before = run.given(point.stage, point.seed).get("accuracy_top1")
        other = run.threat_of(group) if victim and run.threat_of(group) != run.threat_of(victim) else None
        best = group.best_by if group.best_by and point == run.kept(point.stage, point.seed) else None
        broken = run.classes and accuracy and destroyed(accuracy, run.classes)
        rows.append(
            Row(
                run=run.title,
                role=role_of(run, group),
                group=group.name,
                stage=point.stage,
                method=group.kind,
                victim=victim.name if victim and victim is not group else None,
                seed=point.seed,
                settings=group.points[point.stage],
                epoch=point.epoch,
                step=point.step or None,
                whole=point.whole,
                accuracy=accuracy,
                asr=asr if accuracy else None,
                change=100 * (accuracy.value - before.value) if before and accuracy else None,
                notes=((f"kept: best on {run.select_on} by {metric(best)}",) if best else ())
                + (DESTROYED,) * bool(broken)
                + (ALONE,) * bool(asr and not accuracy)
                + ((f"under attack {other or 'of the experiment'}",) if other is not None and asr else ()),
                chosen=point in set(chosen),
                more=found,
            )
        )
    return rows


def _kept_accuracy(run: Run, group: Group, seed: int) -> Interval | None:
    """The clean accuracy of the model that a stage leaves, on the set that is reported on."""
    at = run.kept(group.name, seed)
    return run.measures(at, run.report_on).get("accuracy_top1") if at else None


def _with_mean(rows: list[Row]) -> list[Row]:
    """The rows of one model over its seeds, with their mean before them where there are several."""
    if len(rows) < 2:
        return rows
    first = rows[0]
    numbers = {
        name: student_t([row.measured[name].value for row in rows])
        for name in first.measured
        if all(name in row.measured for row in rows)
    }
    changes = [row.change for row in rows if row.change is not None]
    tally = {note: sum(note in row.notes for row in rows) for row in rows for note in row.notes}
    together = all((row.epoch, row.within) == (first.epoch, first.within) for row in rows)
    mean = Row(
        run=first.run,
        role=first.role,
        group=first.group,
        stage=first.stage,
        method=first.method,
        victim=first.victim,
        seed=None,
        settings=first.settings if all(row.settings == first.settings for row in rows) else {},
        epoch=first.epoch if together else None,
        step=first.step if together and all(row.step == first.step for row in rows) else None,
        whole=first.whole if together else True,
        accuracy=numbers.pop("accuracy_top1", None),
        asr=numbers.pop("asr_top1", None),
        change=fmean(changes) if len(changes) == len(rows) else None,
        notes=tuple(n if k == len(rows) else f"{n} ({k} of {len(rows)} seeds)" for n, k in tally.items()),
        chosen=all(row.chosen for row in rows),
        more=numbers,
    )
    return [mean, *(replace(row, part=True) for row in rows)]
