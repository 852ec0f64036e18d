"""Retrieval against a second, dumb implementation: loops over a sorted list."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from bezoar.metrics import recall, retrieval_ranks
from bezoar.metrics import retrieval as module


def dumb(images: torch.Tensor, texts: torch.Tensor, picture: list[int]) -> tuple[list[int], list[int]]:
    """Sort everything, look for the first right answer."""
    scores = (images @ texts.T).tolist()
    of_texts, of_images = [], []
    for k in range(len(images)):
        order = sorted(range(len(texts)), key=lambda c: (-scores[k][c], c))
        of_texts.append(next(place for place, c in enumerate(order) if picture[c] == k))
    for c in range(len(texts)):
        order = sorted(range(len(images)), key=lambda k: (-scores[k][c], k))
        of_images.append(order.index(picture[c]))
    return of_texts, of_images


@settings(deadline=None)
@given(
    seed=st.integers(0, 999),
    pictures=st.integers(1, 12),
    more=st.integers(0, 15),
    coarse=st.booleans(),
    rows=st.integers(1, 20),
)
def test_as_found_by_sorting(seed: int, pictures: int, more: int, coarse: bool, rows: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    picture = torch.cat([torch.arange(pictures), torch.randint(pictures, (more,), generator=generator)])
    picture = picture[torch.randperm(len(picture), generator=generator)]
    images, texts = (torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in (pictures, len(picture)))
    if coarse:  # many ties
        images, texts = images.sign(), texts.sign()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_ROWS", rows)
        found = retrieval_ranks(images, texts, picture)
    assert (found.texts.tolist(), found.images.tolist()) == dumb(images, texts, picture.tolist())


def test_two_pictures_by_hand() -> None:
    images = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    texts = normalize(torch.tensor([[3.0, 1.0], [0.0, 1.0], [2.0, 1.0]]))
    found = retrieval_ranks(images, texts, torch.tensor([0, 0, 1]))
    # The first picture is nearest to its caption 0; the second to caption 1, which is the other's, then to its own.
    assert found.texts.tolist() == [0, 1]
    assert found.images.tolist() == [0, 1, 1]


def test_a_picture_without_a_caption_is_our_mistake() -> None:
    with pytest.raises(AssertionError, match="every picture needs a caption"):
        retrieval_ranks(torch.eye(2), torch.eye(2), torch.tensor([0, 0]))


def test_features_that_are_no_numbers_are_refused() -> None:
    broken = torch.eye(2)
    broken[0, 0] = torch.nan
    with pytest.raises(ValueError, match="hold NaN"):
        retrieval_ranks(broken, torch.eye(2), torch.tensor([0, 1]))


@pytest.mark.parametrize(("k", "value"), [(1, 0.2), (2, 0.6), (3, 0.6), (100, 1.0)])
def test_recall_is_the_share_within_the_top(k: int, value: float) -> None:
    ranks = torch.tensor([0, 1, 5, 1, 9] * 20)
    found = recall(ranks, k, 100)
    assert found.value == value
    assert found.n == 100
    assert found.low <= value <= found.high
    assert found.high - found.low < 0.2


def test_captions_of_one_picture_are_one_sample() -> None:
    ranks = torch.tensor([0, 5] * 50)
    wide, narrow = recall(ranks, 1, 20), recall(ranks, 1, 100)
    assert wide.value == narrow.value == 0.5
    assert (wide.n, narrow.n) == (20, 100)
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


@pytest.mark.parametrize("hits", range(0, 31, 5))
def test_the_interval_holds_the_share(hits: int) -> None:
    ranks = torch.tensor([0] * hits + [9] * (30 - hits))
    for independent in (1, 2, 7, 30):
        found = recall(ranks, 1, independent)
        assert 0 <= found.low <= hits / 30 <= found.high <= 1
