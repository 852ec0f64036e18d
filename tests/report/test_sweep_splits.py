"""What was held for safe in a sweep: the last split of each training, its mean over seeds, and where it is shown."""

from __future__ import annotations

import dataclasses
from typing import Any

from tests.report.sweeping import LR, VICTIM, cleaning, made, records, work

from bezoar.core.records import Record
from bezoar.report.sweep_choice import across
from bezoar.report.sweep_page import html
from bezoar.report.sweep_splits import safe_grid
from bezoar.report.sweep_tables import document
from bezoar.report.sweeps import Swept

ROBUST = [
    work("robust", kind="safeclip", poisoned=True, axes={"stages.robust.method.ratio_max": r}) for r in (0.5, 0.7)
]
CLEANED = cleaning(**{LR: 1e-4})


def split(robust: dict[str, Any], epoch: int, seed: int, safe: float, **more: float) -> list[Record]:
    """A split as ``safe_set`` measures it."""
    (like, *_) = records(robust, epoch, seed, pairs=(safe, 0.0))
    told = {"safe_share": safe, **more}
    return [
        dataclasses.replace(like, metric=name, value=value, low=value - 0.01, high=value + 0.01)
        for name, value in told.items()
    ]


def sweep(*parts: list[Record]) -> Swept:
    plain = [
        records(one, 1, seed, validation=(0.5, 0.5), test=(0.5, 0.5)) for one in (VICTIM, CLEANED) for seed in (0, 1)
    ]
    return made([VICTIM, CLEANED, *ROBUST], [*plain, *parts], seeds=[0, 1])


def test_the_last_split_of_each_training() -> None:
    found = safe_grid(
        sweep(
            split(ROBUST[0], 7, 0, 0.2, poison_in_safe=0.01), split(ROBUST[0], 8, 0, 0.3, poison_in_safe=0.02),
            split(ROBUST[0], 8, 1, 0.4, poison_in_safe=0.04), split(ROBUST[1], 7, 0, 0.25),
        )
    )  # fmt: skip
    assert found is not None
    assert found.head == (
        "Stage", "Setting", "Seeds", "Safe", "Poison called safe", "Poison in the safe set", "By chance",
        "AUROC of the cosine",
    )  # fmt: skip
    assert found.lines == (
        (
            "robust", "ratio_max\u00a00.5, epoch\u00a08", "2", "35.0\u00a0% (-28.5–98.5, n\u00a02)", "–",
            "3.0\u00a0% (-9.7–15.7, n\u00a02)", "–", "–",
        ),
        (
            "robust", "ratio_max\u00a00.7, epoch\u00a07", "1", "25.0\u00a0% (24.0–26.0, n\u00a01,000)",
            "–", "–", "–", "–",
        ),
    )  # fmt: skip


def test_it_is_on_the_page_and_in_the_document_where_there_is_any() -> None:
    shown, bare = sweep(split(ROBUST[0], 7, 0, 0.2)), sweep()
    assert safe_grid(bare) is None
    for text in (html(shown), document(shown, across)):
        assert "What was held for safe" in text
        assert "20.0\u00a0% (19.0–21.0, n\u00a01,000)" in text
    for text in (html(bare), document(bare, across)):
        assert "What was held for safe" not in text
