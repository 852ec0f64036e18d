"""Numbers as text."""

from __future__ import annotations

import pytest

from bezoar.metrics import Interval
from bezoar.report import text


@pytest.mark.parametrize(("value", "expected"), [(0, "0.0 %"), (0.6125, "61.3 %"), (1, "100.0 %"), (0.0004, "0.0 %")])
def test_percent(value: float, expected: str) -> None:
    assert text.percent(value).replace("\u00a0", " ") == expected


@pytest.mark.parametrize(
    ("change", "expected"), [(1.24, "+1.2"), (-1.26, "−1.3"), (0, "0.0"), (-0.04, "0.0"), (0.04, "0.0"), (-12, "−12.0")]
)
def test_points_have_a_sign_but_zero_has_none(change: float, expected: str) -> None:
    assert text.points(change) == expected


def test_bounds_are_cut_where_shares_end() -> None:
    assert text.bounds(Interval(0.5, -0.2, 1.3, 2)) == "0.0–100.0"
    assert text.bounds(Interval(0.5, 0.456, 0.544, 500)) == "45.6–54.4"


def test_what_an_interval_rests_on() -> None:
    interval = Interval(0.5, 0.4, 0.6, 2048)
    assert text.measured(interval) == "50.0\u00a0% (40.0–60.0, n\u00a02,048)"
    assert text.measured(Interval(0.5, 0.4, 0.6, 3), seeds=True) == "50.0\u00a0% (40.0–60.0, 3 seeds)"
    assert text.measured(None) == "–"


def test_settings() -> None:
    assert (
        text.setting({"lr": 1e-5, "joint_views": True}, 3).replace("\u00a0", " ")
        == "lr 1e-05, joint_views True, epoch 3"
    )
    assert text.setting({}, None) == "–"
    assert text.setting({}, 0, 1200).replace("\u00a0", " ") == "epoch 0, step 1,200"


def test_a_loss_is_a_number_and_no_share() -> None:
    found = Interval(4.8525, -0.1, 5.25, 896)
    assert text.measured(found, of="contrastive_loss on flowers") == "4.853 (-0.100–5.250, n\u00a0896)"
    assert text.measured(found, of="asr_top1") == "485.2\u00a0% (0.0–100.0, n\u00a0896)"
    assert text.amount(0.5, "accuracy_top1") == text.percent(0.5)


@pytest.mark.parametrize(
    ("words", "expected"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b, and c")]
)
def test_listings(words: list[str], expected: str) -> None:
    assert text.listing(words) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(41.6, "42 s"), (300, "5 min"), (18360, "5.1 h")])
def test_durations(seconds: float, expected: str) -> None:
    assert text.duration(seconds).replace("\u00a0", " ") == expected


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("accuracy_top1", "clean accuracy, top-1"),
        ("asr_top10", "attack success, top-10"),
        ("text_recall_top1", "text recall@1"),
        ("image_recall_top5 on flowers", "image recall@5 on flowers"),
        ("accuracy_top1 (zero_shot-2)", "clean accuracy, top-1 (zero_shot-2)"),
        ("my_own", "my own"),
        ("cider on flowers", "CIDEr-D on flowers"),
        ("caption_names_target/first", "captions that name the target/first"),
        ("caption_names_target_clean", "the same of clean pictures"),
        ("contrastive_loss on flowers", "contrastive loss on flowers"),
    ],
)
def test_metrics_in_words(name: str, shown: str) -> None:
    assert text.metric(name) == shown
