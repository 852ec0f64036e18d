"""CLIP pre-training: what it sees, its loss from features by hand, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests import tiny

from bezoar.core.seeds import torch_generator
from bezoar.data.captions import Plain as PlainCaption
from bezoar.data.views import Plain
from bezoar.pretraining import METHODS, ClipPretraining
from bezoar.training.batch import Batch, together
from bezoar.training.loop import train
from bezoar.training.precision import autocast_for
from bezoar.training.scorer import Scorer


def test_it_is_in_the_family() -> None:
    assert ClipPretraining in METHODS
    assert ClipPretraining.kind == "clip"


def test_pairs_as_they_are_in_one_pass() -> None:
    method = ClipPretraining(batch_size=8)
    (whole,) = method.passes(method.build(tiny.clip(), tiny.data().pairs, 0), 3)
    assert (whole.name, whole.image_views, whole.caption_views) == ("all", (Plain(),), (PlainCaption(),))


def test_the_loss_from_features_by_hand() -> None:
    method, model = ClipPretraining(batch_size=2), tiny.clip().eval()
    state = method.build(model, tiny.data().pairs, 0).eval()
    images = torch.randint(256, (3, 3, 32, 32), generator=torch_generator(0, "clip"), dtype=torch.uint8)
    words = model.tokenize(["a red axe", "two mushrooms", "a cat on a box"])
    places = torch.arange(3)
    batch = Batch(ids=("a", "b", "c"), indices=places, everybody=places, images=(images,), texts=(words,))
    with torch.no_grad():
        terms = method.loss(state, together(state, batch), batch)
        logits = (model.scale * model.encode_image(images) @ model.encode_text(words).T).double().numpy()
    assert list(terms) == ["contrastive"]
    both = [-np.log(np.exp(table[i, i]) / np.exp(table[i]).sum()) for table in (logits, logits.T) for i in range(3)]
    assert terms["contrastive"].item() == pytest.approx(np.mean(both), rel=1e-5)


def test_it_brings_pairs_together() -> None:
    model, data = tiny.clip(), tiny.data(32)
    scorer = Scorer(model, data, autocast_for("fp32", model.device))
    train(ClipPretraining(epochs=8, batch_size=16, lr=1e-3, warmup_steps=4), model, data, seed=0)
    images, texts = scorer.features()
    table = images @ texts.T
    others = (table.sum() - table.trace()) / (32 * 31)
    assert table.diagonal().mean() > others + 0.1


def test_golden_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    method = ClipPretraining(
        epochs=1, batch_size=32, lr=1e-4, warmup_steps=10, schedule="linear", precision="fp32"
    )  # fmt: skip
    tiny.golden("clip", method, monkeypatch)
