"""The contrastive loss of held-out pairs against the loss of training, batch by batch, and again from what was kept."""

from __future__ import annotations

import math
from statistics import fmean, stdev

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests import tiny
from tests.data.test_part import Photographs

from bezoar.attacks import Aim
from bezoar.core.frame import Frame
from bezoar.data import Scenes
from bezoar.data.pairs import Pairs
from bezoar.data.prepared import Prepared
from bezoar.evaluation import EVALUATORS, Context, ContrastiveLoss, Evaluation, HeldOut, Retrieval
from bezoar.evaluation.contrastive_loss import batches_of, loss_of_each
from bezoar.losses import info_nce
from bezoar.models.clip import Clip
from bezoar.training.precision import autocast_for

FULL = autocast_for("fp32", torch.device("cpu"))
T_THREE_BATCHES = 4.3027
"""Student's t for 95 % and two degrees of freedom, from a printed table."""


def evaluate(pairs: Pairs, size: int, model: Clip | None = None) -> Evaluation:
    context = Context(sets={}, aim=Aim(), autocast=FULL, held_out={"held": HeldOut(pairs, Prepared(pairs, Frame(32)))})
    return ContrastiveLoss(batch_size=size).evaluate(model or tiny.clip().eval(), context)


def by_hand(pairs: Pairs, ids: list[str], model: Clip) -> float:
    """The loss of the training on pairs ``ids``, as one batch."""
    places, prepared = {pairs.id(index): index for index in range(len(pairs))}, Prepared(pairs, Frame(32))
    first = {
        name: pairs.first(pairs.picture(at)) if isinstance(pairs, Photographs) else at for name, at in places.items()
    }
    with torch.no_grad():
        images = model.encode_image(torch.stack([prepared[first[name]] for name in ids]))
        texts = model.encode_captions([pairs.caption(places[name]) for name in ids])
        return float(info_nce(images, texts, model.scale))


def test_it_is_in_the_family() -> None:
    assert EVALUATORS.members["contrastive_loss"] is ContrastiveLoss
    assert ContrastiveLoss().batch_size == 128


@pytest.mark.parametrize("pairs", [Scenes(count=26).open(), Photographs([k // 3 for k in range(26)])])
def test_batches_have_the_loss_of_the_training(pairs: Pairs) -> None:
    model = tiny.clip().eval()
    found = evaluate(pairs, 8, model)
    rows = found.scores["held"].to_pylist()
    batches = [[row for row in rows if row["batch"] == number] for number in range(3)]
    assert [len(batch) for batch in batches] == [8, 8, 8]
    assert len({row["id"] for row in rows}) == 24
    means = []
    for batch in batches:
        means.append(fmean(row["loss"] for row in batch))
        assert means[-1] == pytest.approx(by_hand(pairs, [row["id"] for row in batch], model), rel=1e-5)
    (measure,) = found.measures
    half = T_THREE_BATCHES * stdev(means) / math.sqrt(3)
    assert (measure.metric, measure.data, measure.n) == ("contrastive_loss", "held", 24)
    assert [measure.value, measure.low, measure.high] == pytest.approx(
        [fmean(means), max(0.0, fmean(means) - half), fmean(means) + half], rel=1e-4
    )
    assert ContrastiveLoss(batch_size=8).measure(found.scores["held"], "held") == found.measures


def test_fewer_pairs_than_a_batch_are_one_batch() -> None:
    pairs, model = Scenes(count=6).open(), tiny.clip().eval()
    found = evaluate(pairs, 128, model)
    (measure,), losses = found.measures, found.scores["held"]["loss"].to_pylist()
    assert measure.n == 6
    assert measure.value == pytest.approx(by_hand(pairs, found.scores["held"]["id"].to_pylist(), model), rel=1e-5)
    assert measure.high - measure.value == pytest.approx(2.5706 * stdev(losses) / math.sqrt(6), rel=1e-4)


def test_the_scale_of_the_model_counts() -> None:
    pairs, model = Scenes(count=16).open(), tiny.clip().eval()
    with torch.no_grad():
        model.tower.logit_scale.fill_(-30.0)  # type: ignore[operator]
    (measure,) = evaluate(pairs, 8, model).measures
    assert measure.value == pytest.approx(math.log(8)), "a scale of nothing leaves guessing"


def test_the_order_of_the_pairs_is_nothing_to_it() -> None:
    """A table that was sorted anew has the same loss."""
    ids = [f"{k}.png" for k in range(50)]
    forth, back = batches_of(ids, 8), batches_of(ids[::-1], 8)
    assert [[ids[k] for k in batch] for batch in forth] == [[ids[49 - k] for k in batch] for batch in back]
    assert [ids[k] for k in forth[0][:4]] == ORDER, "the order of numbers that were published must stay"


ORDER = ["39.png", "0.png", "17.png", "13.png"]


@given(count=st.integers(2, 60), size=st.integers(2, 20))
def test_every_pair_is_in_one_batch_but_for_the_rest(count: int, size: int) -> None:
    batches = batches_of([str(k) for k in range(count)], size)
    places = [place for batch in batches for place in batch]
    assert len(set(places)) == len(places) == (count // size * size or count)
    assert {len(batch) for batch in batches} == {min(count, size)}


def test_a_perfect_batch_costs_nothing_and_a_wrong_one_the_scale() -> None:
    same = torch.eye(3)
    torch.testing.assert_close(loss_of_each(same, same, torch.tensor(100.0)), torch.zeros(3))
    turned = same[[1, 0, 2]]
    losses = loss_of_each(same, turned, torch.tensor(100.0))
    torch.testing.assert_close(losses, torch.tensor([100.0, 100.0, 0.0]))
    one_way = loss_of_each(same, same[[0, 0, 2]], torch.tensor(100.0))
    torch.testing.assert_close(one_way, torch.tensor([math.log(2) / 2, (math.log(3) + 100) / 2, 0.0]))


def test_weights_that_are_broken_are_told() -> None:
    model = tiny.clip().eval()
    with torch.no_grad():
        model.tower.logit_scale.fill_(math.nan)  # type: ignore[operator]
    with pytest.raises(ValueError, match="contrastive_loss: the model gives losses that are not finite on 'held'"):
        evaluate(Scenes(count=8).open(), 4, model)


def test_what_it_needs_is_asked_for_before_any_training() -> None:
    with pytest.raises(ValueError, match="contrastive_loss needs held-out pairs, and there are none"):
        ContrastiveLoss().check({}, {}, Aim(), Frame(32))
    with pytest.raises(ValueError, match=r"held_out\.few: contrastive_loss needs 2 pairs at least, and there is 1"):
        ContrastiveLoss().check({}, {"few": Scenes(count=1).open()}, Aim(), Frame(32))
    ContrastiveLoss().check({}, {"two": Scenes(count=2).open()}, Aim(), Frame(32))


def test_retrieval_and_the_loss_look_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five captions of a photograph are five pairs and one picture."""
    pairs, seen = Photographs([0, 0, 0, 1, 1]), list[int]()
    whole = Clip.encode_image

    def encode(self: Clip, pictures: torch.Tensor) -> torch.Tensor:
        seen.append(len(pictures))
        return whole(self, pictures)

    monkeypatch.setattr(Clip, "encode_image", encode)
    context = Context(sets={}, aim=Aim(), autocast=FULL, held_out={"held": HeldOut(pairs, Prepared(pairs, Frame(32)))})
    for evaluator in (Retrieval(), ContrastiveLoss(), ContrastiveLoss(batch_size=2)):
        evaluator.evaluate(tiny.clip().eval(), context)
    assert seen == [2]
