"""Scores of pairs: those of the pairs in order as an attacker left them, and the model as it was."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os

import pytest
import torch
from tests import tiny
from torch import Tensor

import bezoar.training.scorer
from bezoar.attacks.base import Stage
from bezoar.attacks.plan import PoisonPlan
from bezoar.core.seeds import stream_seed
from bezoar.data.captions import Eda
from bezoar.data.captions import Plain as PlainCaption
from bezoar.data.views import Light, Plain
from bezoar.training.batch import together
from bezoar.training.loader import TrainingPairs, batches
from bezoar.training.method import Pass
from bezoar.training.precision import autocast_for
from bezoar.training.schedule import Schedule
from bezoar.training.scorer import Scorer

FULL = autocast_for("fp32", torch.device("cpu"))
STAGES: tuple[Stage, Stage] = ("model", "after_random_crop")


@pytest.mark.parametrize("training", [True, False])
def test_features_of_every_pair_in_order(training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bezoar.training.scorer, "_BATCH", 5)
    model, data = tiny.clip().train(training), tiny.data(12)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images, texts = Scorer(model, data, FULL).features()
    assert model.training is training
    assert tiny.same(before, dict(model.state_dict())), "looking moved the batch statistics"
    assert not images.requires_grad
    model.eval()
    for index in range(12):
        with torch.no_grad():
            torch.testing.assert_close(images[index], model.encode_image(data.image(index)[None])[0], atol=1e-5, rtol=0)
            torch.testing.assert_close(texts[index], model.encode_captions([data.caption(index)])[0], atol=1e-5, rtol=0)


def test_cosines_under_views_are_those_of_the_views_that_are_drawn() -> None:
    model, data, view, wording = tiny.clip(), tiny.data(8), Light(), Eda(wordnet="none", frozen=True)
    first, second, later = (
        Scorer(model, data, FULL).cosines_under(view, words, 3, epoch)
        for words, epoch in ((wording, 0), (wording, 1), (Eda(wordnet="none"), 1))
    )
    model.eval()
    for found, epoch in ((first, 0), (second, 1)):
        for index in range(8):
            name = data.id(index)
            picture = view.apply(data.image(index), stream_seed(3, "scored view", epoch, name))
            caption = wording.apply(data.caption(index), stream_seed(3, "caption view", 0, name, 0))
            with torch.no_grad():
                image, text = model.encode_image(picture[None])[0], model.encode_captions([caption])[0]
            torch.testing.assert_close(found[index], image @ text, atol=1e-5, rtol=0)
    assert not torch.equal(first, second), "pictures are drawn anew"
    assert not torch.equal(second, later), "captions that are not frozen are too"
    # The caption is the first view that training has of it, in that epoch too.
    this = Pass(
        name="p", indices=torch.arange(8), image_views=(), caption_views=(wording,), encode=together,
        loss=lambda *_: {}, schedule=Schedule(shape="constant", lr=0, warmup=0, total=1),
    )  # fmt: skip
    (batch,) = batches(data, model.tokenize, this, batch_size=8, seed=3, epoch=1)
    said = [
        wording.apply(data.caption(i), stream_seed(3, "caption view", 0, data.id(i), 0)) for i in batch.indices.tolist()
    ]
    assert torch.equal(batch.texts[0], model.tokenize(said))


@pytest.mark.parametrize("viewed", [True, False])
def test_what_an_attacker_puts_on_after_the_crop_is_scored(viewed: bool) -> None:
    """Where nothing is cropped, under no view or under a plain one, it is put on first of all, as at other stages."""

    def cosines(plan: PoisonPlan | None) -> Tensor:
        scorer = Scorer(tiny.clip(), tiny.data(24, plan), FULL)
        return scorer.cosines_under(Plain(), PlainCaption(), 0, 0) if viewed else scorer.cosines()

    plans = [dataclasses.replace(tiny.ATTACK, stage=stage).plan(tiny.data(24).pairs, 0) for stage in STAGES]
    before, after, clean = (cosines(plan) for plan in (*plans, None))
    assert torch.equal(before, after)
    assert (before != clean).sum() == 12


def test_cosines_see_the_poison() -> None:
    clean = Scorer(tiny.clip(), tiny.data(), FULL).cosines()
    poisoned = Scorer(tiny.clip(), tiny.data(plan=tiny.plan()), FULL).cosines()
    assert clean.shape == (48,)
    assert (clean.abs() <= 1 + 1e-5).all()
    changed = {tiny.data().pairs.id(int(index)) for index in (clean - poisoned).abs().gt(1e-6).nonzero()}
    assert changed == set(tiny.plan().by_id)


def test_loader_processes_make_the_same_scores_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short last batch, poison after the crop, views that draw, and the global generator left alone."""
    monkeypatch.setattr(bezoar.training.scorer, "_BATCH", 5)
    plan = dataclasses.replace(tiny.ATTACK, stage="after_random_crop").plan(tiny.data(24).pairs, 0)
    model, data, ours, made = tiny.clip(), tiny.data(24, plan), os.getpid(), TrainingPairs.image

    def elsewhere(self: TrainingPairs, index: int) -> Tensor:
        assert os.getpid() != ours, "while this process waits for the device it could make nothing else"
        return made(self, index)

    def scores(workers: int) -> list[Tensor]:
        scorer = Scorer(model, data, FULL, workers=workers)
        return [*scorer.features(), scorer.cosines(), scorer.cosines_under(Light(), Eda(wordnet="none"), 3, 1)]

    before = torch.random.get_rng_state()
    alone = scores(0)
    monkeypatch.setattr(TrainingPairs, "image", elsewhere)
    assert all(torch.equal(one, other) for one, other in zip(alone, scores(2), strict=True))
    assert torch.equal(before, torch.random.get_rng_state())
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [0, 1])
def test_what_a_user_must_know_is_one_line_from_any_process(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(self: TrainingPairs, index: int) -> Tensor:
        raise ValueError(f"image of '{index}' cannot be read")

    monkeypatch.setattr(TrainingPairs, "image", gone)
    with pytest.raises(ValueError, match=r"^image of '0' cannot be read$"):
        Scorer(tiny.clip(), tiny.data(8), FULL, workers=workers).cosines()
