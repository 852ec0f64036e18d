"""Retrieval among held-out pairs against ranks by hand, and again from what was kept."""

from __future__ import annotations

import pytest
import torch
from tests import tiny
from tests.data.test_part import Photographs

from bezoar.attacks import Aim
from bezoar.core.frame import Frame
from bezoar.data import Scenes
from bezoar.data.pairs import Pairs
from bezoar.data.prepared import Prepared
from bezoar.evaluation import EVALUATORS, Context, HeldOut, Retrieval, sharing
from bezoar.models.clip import Clip
from bezoar.training.precision import autocast_for

FULL = autocast_for("fp32", torch.device("cpu"))


def context(pairs: Pairs) -> Context:
    return Context(sets={}, aim=Aim(), autocast=FULL, held_out={"held": HeldOut(pairs, Prepared(pairs, Frame(32)))})


def by_hand(model: Clip, pairs: Pairs, pictures: list[int]) -> tuple[list[int], list[int]]:
    """Rank of each picture's best caption and of each caption's picture, one pair at a time."""
    prepared = Prepared(pairs, Frame(32))
    with torch.no_grad():
        texts = torch.cat([model.encode_captions([pairs.caption(k)]) for k in range(len(pairs))])
        images = torch.cat([model.encode_image(prepared[pictures.index(p)][None]) for p in range(max(pictures) + 1)])
    scores = images @ texts.T
    of_texts = []
    for picture, row in enumerate(scores):
        best = max(row[k] for k in range(len(pairs)) if pictures[k] == picture)
        of_texts.append(sum(1 for one in row if one > best))
    of_images = [sum(1 for one in scores[:, k] if one > scores[pictures[k], k]) for k in range(len(pairs))]
    return of_texts, of_images


def test_it_is_in_the_family() -> None:
    assert EVALUATORS.members["retrieval"] is Retrieval
    assert Retrieval().top == (1, 5, 10)


@pytest.mark.parametrize("chunk", [256, 5])
def test_photographs_with_several_captions(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "CHUNK", chunk)
    pairs = Photographs([0, 1, 0, 2, 3, 3, 3, 4, 5, 6, 7, 1])
    model, evaluator = tiny.clip().eval(), Retrieval(top=(1, 3, 4, 5, 6))
    found = evaluator.evaluate(model, context(pairs))
    of_texts, of_images = by_hand(model, pairs, pairs.shown)
    rows = found.scores["held"].to_pylist()
    assert [row["rank"] for row in rows if row["query"] == "image"] == of_texts
    assert [row["rank"] for row in rows if row["query"] == "text"] == of_images
    assert [row["id"] for row in rows] == [f"{pairs.first(p)}.png" for p in range(8)] + [f"{k}.png" for k in range(12)]
    values = {measure.metric: measure.value for measure in found.measures}
    # Top-k of half the pool and more is not printed: 8 pictures, 12 captions.
    assert values == {
        **{f"text_recall_top{k}": sum(rank < k for rank in of_texts) / 8 for k in (1, 3, 4, 5)},
        **{f"image_recall_top{k}": sum(rank < k for rank in of_images) / 12 for k in (1, 3)},
    }
    assert {(measure.n, measure.data) for measure in found.measures} == {(8, "held")}
    assert evaluator.measure(found.scores["held"], "held") == found.measures


def test_pairs_that_share_no_pictures() -> None:
    pairs = Scenes(count=12).open()
    model = tiny.clip().eval()
    found = Retrieval().evaluate(model, context(pairs))
    of_texts, of_images = by_hand(model, pairs, list(range(12)))
    assert found.scores["held"]["rank"].to_pylist() == of_texts + of_images
    assert [measure.metric for measure in found.measures] == [
        "text_recall_top1", "text_recall_top5", "image_recall_top1", "image_recall_top5",
    ]  # fmt: skip


def test_nothing_held_out_is_nothing_measured() -> None:
    found = Retrieval().evaluate(tiny.clip(), Context(sets={}, aim=Aim(), autocast=FULL))
    assert found == ((), {})


def test_a_picture_is_looked_at_once() -> None:
    pairs = Photographs([0, 0, 0, 1, 1])
    looked: list[int] = []

    class Counting(Prepared):
        def __getitem__(self, index: int) -> torch.Tensor:
            looked.append(index)
            return super().__getitem__(index)

    held = HeldOut(pairs, Counting(pairs, Frame(32)))
    Retrieval().evaluate(tiny.clip().eval(), Context(sets={}, aim=Aim(), autocast=FULL, held_out={"held": held}))
    assert looked == [0, 3]
    assert len(pairs) < sharing.CHUNK
