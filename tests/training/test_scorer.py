"""Scores of pairs: those of the pairs in order as an attacker left them, and the model as it was."""

from __future__ import annotations

import pytest
import torch
from tests import tiny

import bezoar.training.scorer
from bezoar.training.precision import autocast_for
from bezoar.training.scorer import Scorer

FULL = autocast_for("fp32", torch.device("cpu"))


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


def test_cosines_see_the_poison() -> None:
    clean = Scorer(tiny.clip(), tiny.data(), FULL).cosines()
    poisoned = Scorer(tiny.clip(), tiny.data(plan=tiny.plan()), FULL).cosines()
    assert clean.shape == (48,)
    assert (clean.abs() <= 1 + 1e-5).all()
    changed = {tiny.data().pairs.id(int(index)) for index in (clean - poisoned).abs().gt(1e-6).nonzero()}
    assert changed == set(tiny.plan().by_id)
