"""The safe and the risky: who they are, by a dumb implementation; odd cosines; what a split leaves in the state."""

from __future__ import annotations

import logging
import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import tiny
from torch import Tensor

from bezoar.core.seeds import torch_generator
from bezoar.training.mixture import fit
from bezoar.training.safe_split import Parted, Split, first_split, later_split

COSINES = st.lists(st.sampled_from([n / 16 for n in range(-8, 16)]), min_size=6, max_size=40)  # many are equal


SHARP = torch.tensor([[0.5, 0.0, 0.01], [0.5, 0.5, 0.01]], dtype=torch.float64)
"""A mixture that separates."""


def two_kinds(count: int = 200) -> Tensor:
    """The first quarter is poison: its captions do not fit."""
    random = torch_generator(0, "two kinds")
    means = torch.where(torch.arange(count) < count // 4, 0.05, 0.35)
    return means + 0.04 * torch.randn(count, generator=random)


def first(cosines: Tensor, posterior: float = 0.9, least: int = 4, fallback: int = 5) -> Split:
    return first_split(cosines, 0, posterior=posterior, least=least, fallback=fallback)


@settings(max_examples=30, deadline=None)
@given(COSINES, st.integers(0, 40))
def test_later_splits_by_sorting(found: list[float], count: int) -> None:
    cosines = torch.tensor(found)
    mixture = fit(np.array(found), 0)
    posterior = [0.0] * len(found) if mixture is None else mixture.posterior(np.array(found)).tolist()
    ranked = sorted(range(len(found)), key=lambda pair: (-posterior[pair], -found[pair], pair))
    expected = [pair in ranked[:count] for pair in range(len(found))]
    assert later_split(cosines, 0, count, SHARP).safe.tolist() == expected


@settings(max_examples=30, deadline=None)
@given(COSINES, st.integers(1, 6), st.sampled_from([0.5, 0.9]))
def test_the_first_split_by_counting(found: list[float], least: int, posterior: float) -> None:
    mixture = fit(np.array(found), 0)
    above = [mixture is not None and bool(mixture.posterior(np.array([value]))[0] >= posterior) for value in found]
    if sum(above) < least or all(above):
        ranked = sorted(range(len(found)), key=lambda pair: (-found[pair], pair))
        above = [pair in ranked[:5] for pair in range(len(found))]
    assert first(torch.tensor(found), posterior, least).safe.tolist() == above


def test_poison_of_low_cosine_is_risky(caplog: pytest.LogCaptureFixture) -> None:
    cosines = two_kinds()
    split = first(cosines)
    assert not split.safe[:50].any()
    assert split.safe[50:].float().mean() > 0.95
    assert split.mixture.shape == (2, 3)
    assert split.mixture.dtype == torch.float64
    (low_weight, low, _), (high_weight, high, _) = split.mixture.tolist()
    assert (low, high) == pytest.approx((0.05, 0.35), abs=0.02)
    assert (low_weight, high_weight) == pytest.approx((0.25, 0.75), abs=0.02)
    assert not caplog.records, "it separates"
    assert not later_split(cosines, 0, 100, SHARP).safe[:50].any()


def said(caplog: pytest.LogCaptureFixture) -> str:
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "\n" not in record.getMessage()
    return record.getMessage()


def test_one_kind_is_said_and_split_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    cosines = 0.1 + 0.05 * torch.randn(400, generator=torch_generator(0, "one kind"))
    split = first(cosines, posterior=0.6)
    count = int(split.safe.sum())
    assert 4 <= count < 400
    line = said(caplog)
    assert line.startswith("the first split is not sharp: the cosines of pictures and captions are a mixture of 0.0")
    assert "deviations from each other, where 2 would be apart" in line
    assert line.endswith(
        f"{count} of 400 pairs come from the upper one with a probability of 0.6 or more: these are taken as safe"
    )


def test_too_few_are_said_and_the_highest_taken(caplog: pytest.LogCaptureFixture) -> None:
    cosines = two_kinds()
    split = first(cosines, least=160, fallback=30)
    assert sorted(cosines[split.safe].tolist()) == sorted(cosines.tolist())[-30:]
    assert said(caplog).endswith(
        " of 200 pairs come from the upper one with a probability of 0.9 or more, fewer than a batch of 160: the 30 "
        "pairs of highest cosine are taken as safe"
    )


def test_all_of_them_is_said_too(caplog: pytest.LogCaptureFixture) -> None:
    split = first(torch.tensor([0.1, 0.2, 0.3, 0.4]), posterior=1e-300, least=1, fallback=2)
    assert split.safe.tolist() == [False, False, True, True]
    assert "4 of 4 pairs come from the upper one" in said(caplog)


def test_equal_cosines_fall_back_and_later_go_by_position(caplog: pytest.LogCaptureFixture) -> None:
    cosines = torch.full((8,), 0.25)
    split = first(cosines)
    assert split.safe.tolist() == [True] * 5 + [False] * 3
    assert split.mixture.tolist() == [[0.5, 0.25, 0.0]] * 2
    assert said(caplog).startswith(
        "the first split is not sharp: all cosines of pictures and captions are the same; 0 "
    )
    assert later_split(cosines, 0, 3, split.mixture).safe.tolist() == [True] * 3 + [False] * 5


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_cosines_that_are_not_finite(bad: float) -> None:
    cosines = two_kinds()
    cosines[3] = bad
    for split in (first, lambda found: later_split(found, 0, 20, SHARP)):
        with pytest.raises(FloatingPointError, match="1 of 200 cosines of pairs are not finite: nothing to split by"):
            split(cosines)


def parted(**changes: Any) -> Parted:
    given: dict[str, Any] = {"bank": 3, "start": "empty", "end": "wrap"}
    return Parted(tiny.clip(), 6, 0, **{**given, **changes})


def test_when_a_pair_was_last_put_among_the_risky() -> None:
    state, cosines = parted(), torch.arange(6) / 8
    assert state.dropped.tolist() == [-1] * 6
    safe = [[0, 0, 1, 1, 1, 0], [1, 0, 0, 1, 1, 0], [0, 0, 0, 1, 1, 1]]
    for epoch, who in enumerate(safe):
        mixture = torch.full((2, 3), float(epoch), dtype=torch.float64)
        state.part(Split(safe=torch.tensor(who) == 1, mixture=mixture), cosines + epoch, 4 + epoch)
    assert state.dropped.tolist() == [6, 4, 5, -1, -1, -1]
    assert state.safe.tolist() == [bool(one) for one in safe[-1]]
    assert int(state.first) == 3, "of the first split, whatever came later"
    assert torch.equal(state.cosine, cosines + 2)
    assert (state.mixture == 2).all()


def test_what_is_in_it() -> None:
    """Two banks that differ, a split, and nothing that tells who is poisoned."""
    own = {name for name in parted().state_dict() if not name.startswith("model.")}
    banks = {f"{kind}_bank.{part}" for kind in ("image", "text") for part in ("entries", "place", "filled")}
    assert own == {"safe", "dropped", "cosine", "mixture", "first"} | banks
    random = parted(start="random")
    assert random.image_bank is not None
    assert random.text_bank is not None
    assert random.image_bank.entries.shape == (3, 128)
    assert not torch.equal(random.image_bank.entries, random.text_bank.entries)
    assert parted(bank=0).image_bank is None
    assert parted(bank=0).text_bank is None


def test_a_later_split_of_equal_cosines_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    split = later_split(torch.full((9,), 0.25), 0, 4, SHARP)
    assert split.safe.tolist() == [True] * 4 + [False] * 5
    assert "all cosines of pictures and captions are the same: the first 4 pairs are taken as safe" in caplog.text


def test_it_is_told_once_that_later_splits_are_not_sharp(caplog: pytest.LogCaptureFixture) -> None:
    one_kind = 0.2 + 0.1 * torch.randn(2000, generator=torch_generator(0, "one kind"))
    split = later_split(one_kind, 0, 500, SHARP)
    assert said(caplog).startswith("the split is no longer sharp: the cosines of pictures and captions are a mixture")
    assert said(caplog).endswith("apart; the 500 pairs most likely from the upper one are taken as safe")
    caplog.clear()
    later_split(one_kind, 0, 500, split.mixture)
    later_split(two_kinds(), 0, 100, split.mixture)
    assert not caplog.records


def test_of_poison_at_the_low_end_that_a_wide_upper_component_takes_it_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    random = torch_generator(0, "wide")
    lower, upper = 0.10 + 0.015 * torch.randn(1000, generator=random), 0.35 + 0.08 * torch.randn(3000, generator=random)
    split = first(torch.cat([lower, upper, torch.full((30,), -0.05)]))
    assert split.safe[-30:].all(), "the published rule"
    assert re.match(
        r"3\d of the 3,0\d\d pairs taken as safe lie at the low end, below 0\.0\d+, the mean of the lower component: ",
        said(caplog),
    )
