"""What was held for safe in a sweep, as a table: a line for each training whose method had split its pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bezoar.metrics import student_t
from bezoar.report.grid import Grid
from bezoar.report.runs import TRAINED_ON
from bezoar.report.split_table import HEAD, told
from bezoar.report.splits import METRICS
from bezoar.report.sweep_remarks import short
from bezoar.report.text import count, setting

if TYPE_CHECKING:
    from bezoar.metrics import Interval
    from bezoar.report.sweeps import At, Swept


def safe_grid(sweep: Swept) -> Grid | None:
    """The last split of each training, of several seeds their means; ``None`` where no method has split its pairs."""
    lines = []
    for training in sweep.trainings:
        models = [at for seed in sweep.seeds for at in sweep.models(training.number, seed)]
        models = [at for at in models if METRICS[0] in _of(sweep, at)]
        if not models:
            continue
        last = max(at[2:] for at in models)
        found = [_of(sweep, at) for at in models if at[2:] == last]
        settings = {short(sweep, name): value for name, value in training.settings.items()}
        epoch, step, whole = last
        lines.append((
            training.group, setting(settings, epoch, None if whole else step), count(len(found)),
            *(told(_over(found, metric), metric) for metric in METRICS),
        ))  # fmt: skip
    numbers = (False, False, True, *(True for _ in METRICS))
    return Grid(("Stage", "Setting", "Seeds", *HEAD), tuple(lines), numbers) if lines else None


def _of(sweep: Swept, at: At) -> Mapping[str, Interval]:
    """What was measured of the pairs that a model was trained on."""
    return sweep.measures[at].get(TRAINED_ON, {})


def _over(found: Sequence[Mapping[str, Interval]], metric: str) -> Interval | None:
    """Of several seeds their mean, with Student's t-interval over them."""
    if any(metric not in measures for measures in found):
        return None
    intervals = [measures[metric] for measures in found]
    return intervals[0] if len(intervals) == 1 else student_t([interval.value for interval in intervals])
