"""What the tables of arms share: means over seeds, differences, and how both are written."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from bezoar.core.records import Record, read_records
from bezoar.metrics import Interval, student_t, unpaired_difference
from bezoar.metrics.intervals import of_share


def last_epochs(folder: Path) -> list[Record]:
    """What was measured of every stage after its last epoch, on the test set, of the pairs and of held-out ones."""
    last: dict[tuple[str, int], int] = defaultdict(int)
    records = list(read_records(folder / "records.jsonl"))
    for record in records:
        last[record.stage, record.seed] = max(last[record.stage, record.seed], record.epoch)
    return [
        record for record in records if record.data != "validation" and record.epoch == last[record.stage, record.seed]
    ]


def over(records: Iterable[Record]) -> Interval | None:
    """The mean over seeds, or the one there is; where all have the same share, Wilson's of all together."""
    every = list(records)
    values = {record.value for record in every}
    if len(values) > 1:
        return student_t([record.value for record in every])
    if len(every) > 1:
        return _together(every)
    return next((Interval(one.value, one.low, one.high, one.n) for one in every if one.low is not None), None)


def difference(one: Mapping[int, Record], other: Mapping[int, Record]) -> Interval | None:
    """Of ``one`` to ``other``, over the seeds that both have, or of the one seed over its pictures."""
    seeds = sorted(set(one) & set(other))
    if not seeds:
        return None
    changes = [other[seed].value - one[seed].value for seed in seeds]
    if len(set(changes)) > 1:
        return student_t(changes)
    if len(seeds) > 1:
        return unpaired_difference(_together(one[seed] for seed in seeds), _together(other[seed] for seed in seeds))
    first, second = over([one[seeds[0]]]), over([other[seeds[0]]])
    return unpaired_difference(first, second) if first and second else None


def _together(records: Iterable[Record]) -> Interval:
    """Wilson's interval of the mean share over the samples of all, which is all there is where nothing varies."""
    every = list(records)
    total = sum(record.n for record in every)
    return of_share(sum(record.value * record.n for record in every) / total, total)


def share(interval: Interval | None, sign: str = "") -> str:
    if interval is None:
        return "–"
    low, high = (100 * end for end in (interval.low, interval.high))
    if not sign:
        low, high = max(low, 0.0), min(high, 100.0)
    return f"{100 * interval.value:{sign}.1f} ({low:{sign}.1f} to {high:{sign}.1f})"
