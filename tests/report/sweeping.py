"""A sweep by hand: its index and records, with every number said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bezoar.core.files import write_json
from bezoar.core.records import Record, write_records
from bezoar.report.sweeps import Swept, swept

N = 1000
Numbers = tuple[float, float]
"""Clean accuracy and attack success."""


def work(stage: str, **changes: Any) -> dict[str, Any]:
    """A training of ``sweep.json``."""
    whole: dict[str, Any] = {
        "stage": stage, "group": stage, "grid": {}, "axes": {}, "kind": stage, "method": {}, "model": "m",
        "pairs": "clean", "poisoned": False, "start": None, "starts_trained": False, "threat": "backdoor",
        "best_by": None, "failed": {}, "folders": [],
    }  # fmt: skip
    return whole | changes


def index(*works: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    axes: dict[str, list[Any]] = {}
    for name, value in (item for one in works for item in one["axes"].items()):
        if value not in axes.setdefault(name, []):
            axes[name].append(value)
    whole = {
        "schema": 1, "name": "hand", "about": "", "select_on": "validation", "report_on": "test", "seeds": [0],
        "axes": axes, "choose": ["stages.c.method.lr"], "classes": {"validation": 10, "test": 10}, "notes": [],
        "works": list(works),
    }  # fmt: skip
    return whole | changes


def records(work: Mapping[str, Any], epoch: int, seed: int = 0, **on: Numbers) -> list[Record]:
    """Accuracy and attack success of one model on sets by name."""
    return [
        Record(
            run="hand", stage=work["stage"], after=work["kind"], epoch=epoch, step=10 * epoch, evaluator="e", data=data,
            metric=metric, value=value, low=max(0.0, value - 0.01), high=value + 0.01, n=N, seed=seed, git="g", at="t",
            axes=work["axes"],
        )
        for data, numbers in on.items()
        for metric, value in zip(("accuracy_top1", "asr_top1"), numbers, strict=True)
    ]  # fmt: skip


LR = "stages.c.method.lr"
VICTIM = work("victim", kind="clip", poisoned=True)


def cleaning(**axes: Any) -> dict[str, Any]:
    """CleanCLIP of the victim at some axes."""
    return work("c", kind="cleanclip", start=0, axes=axes)


def made(works: Sequence[Mapping[str, Any]], found: Sequence[Sequence[Record]], **changes: Any) -> Swept:
    return swept(index(*works, **changes), [record for part in found for record in part])


SECOND = work("other", kind="clip_ssl", poisoned=True)


def victims(seeds: Sequence[int] = (0, 1), clean: bool = False) -> tuple[list[dict[str, Any]], list[list[Record]]]:
    """Two victims, each cleaned at two learning rates by stages that are called after it; ``clean`` is the second."""
    works = [VICTIM, SECOND]
    for start, name in enumerate(("victim", "other")):
        works += [work(f"{name}+{c}", kind=c, start=start, axes={LR: lr}) for c in ("a", "b") for lr in (1e-4, 1e-3)]
    found = []
    for seed in seeds:
        found += [records(VICTIM, 1, seed, validation=(0.6, 0.97), test=(0.6, 0.96))]
        rate = 0.05 if clean else 0.95
        found += [records(SECOND, 1, seed, validation=(0.62, rate), test=(0.61 + 0.01 * seed, rate))]
        for place, one in enumerate(works[2:]):
            for epoch in (1, 2):
                numbers = (
                    0.58 - 0.01 * place - 0.005 * epoch,
                    max(0.0, 0.4 - 0.1 * place - 0.03 * epoch + 0.01 * seed),
                )
                found.append(records(one, epoch, seed, validation=numbers, test=numbers))
    return works, found


def store(folder: Path, works: Sequence[Mapping[str, Any]], found: Sequence[Sequence[Record]], **changes: Any) -> Path:
    """The folder of a sweep."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "sweep.json", index(*works, **changes))
    write_records(folder / "records.jsonl", [record for part in found for record in part])
    return folder
