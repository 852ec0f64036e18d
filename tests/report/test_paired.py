"""Differences over the same samples: by hand for each metric, and none where samples are not the same or not apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from tests.report.test_given import ranks

from bezoar.metrics import paired_difference
from bezoar.report.paired import difference


@pytest.mark.parametrize(
    ("metric", "before", "after"),
    [
        ("accuracy_top1", ranks([True, False]), ranks([True, False], ["p0", "p7"])),
        ("accuracy_top1", ranks([True]), ranks([True, False])),
        ("accuracy_top1", ranks([]), ranks([])),
        ("image_recall_top1", *[ranks([True, False], query=["text"] * 2).replace_schema_metadata({"images": "1"})] * 2),
        ("asr_top1", *[ranks([True, False], case=["x", "y"], label=[1, 1], target=[3, 4])] * 2),
    ],
    ids=["other samples", "more samples", "none", "captions of one picture", "several triggers"],
)
def test_what_is_no_pair_of_independent_samples_has_no_difference(metric: str, before: Any, after: Any) -> None:
    assert difference(metric, before, after) is None


def test_pictures_and_captions_that_ask_are_kept_apart() -> None:
    def asked(pictures: Sequence[bool], captions: Sequence[bool]) -> pa.Table:
        query = ["image"] * len(pictures) + ["text"] * len(captions)
        return ranks([*pictures, *captions], query=query).replace_schema_metadata({"images": str(len(pictures))})

    before, after = asked([True, True, False], [False] * 3), asked([True, False, True], [True] * 3)
    assert difference("text_recall_top1", before, after) == paired_difference(1, 1, 1, 0)
    assert difference("image_recall_top1", before, after) == paired_difference(0, 0, 3, 0)


def test_triggered_pictures_of_the_target_do_not_count() -> None:
    both = ranks([True, False, True], case=[""] * 3, label=[1, 2, 3], target=[3] * 3)
    assert difference("asr_top1", both, both) == paired_difference(1, 0, 0, 1)
