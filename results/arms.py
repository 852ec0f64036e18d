"""What the tables of arms share: means over seeds, differences, and how both are written."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from bezoar.core.records import Record, read_records
from bezoar.metrics import Interval, student_t, unpaired_difference, wilson


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
    """The mean over seeds, or the one there is; of a share that is 0, or 1, in all, Wilson's of all together."""
    every = list(records)
    values = {record.value for record in every}
    if len(every) > 1 and (values == {0.0} or values == {1.0}):
        total = sum(record.n for record in every)
        return wilson(total * int(values.pop()), total)
    if len(every) > 1:
        return student_t([record.value for record in every])
    return next((Interval(one.value, one.low, one.high, one.n) for one in every if one.low is not None), None)


def difference(one: Mapping[int, Record], other: Mapping[int, Record]) -> Interval | None:
    """Of ``one`` to ``other``, over the seeds that both have, or of the one seed over its pictures."""
    seeds = sorted(set(one) & set(other))
    if not seeds:
        return None
    changes = [other[seed].value - one[seed].value for seed in seeds]
    if len(set(changes)) > 1:
        return student_t(changes)
    first, second = over(one[seed] for seed in seeds), over(other[seed] for seed in seeds)
    return unpaired_difference(first, second) if first and second else None


def share(interval: Interval | None, sign: str = "") -> str:
    if interval is None:
        return "–"
    low, high = (100 * end for end in (interval.low, interval.high))
    if not sign:
        low, high = max(low, 0.0), min(high, 100.0)
    return f"{100 * interval.value:{sign}.1f} ({low:{sign}.1f} to {high:{sign}.1f})"
