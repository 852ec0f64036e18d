"""SigLIP: its loss from features by hand, where its scale and bias begin and live, and what it refuses."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tests import tiny
from tests.pretraining.by_hand import FAMILY, SCALE, find, matrices, terms
from torch import nn

from bezoar.data.captions import Plain as PlainCaption
from bezoar.data.views import Plain
from bezoar.models.clip import Clip
from bezoar.pretraining import METHODS, SigLIP
from bezoar.training.loop import Pause, check, train
from bezoar.training.optimizer import groups


def biased(bias: float = -3.0, shape: tuple[int, ...] = ()) -> Clip:
    """A tower with a logit bias of its own."""
    model = tiny.clip()
    model.tower.logit_bias = nn.Parameter(torch.full(shape, bias))
    return model


def bias_of(state: nn.Module) -> nn.Parameter:
    return state.get_parameter("logit_bias")


def sigmoid(scale: float, bias: float) -> float:
    """-1/n Σ log σ(z (s I·T + b)) over the drawn features."""
    image, _, text, _ = matrices()
    total = 0.0
    for i in range(len(image)):
        for j in range(len(text)):
            logit = scale * float(image[i] @ text[j]) + bias
            total += math.log1p(math.exp(-logit if i == j else logit))
    return total / len(image)


def test_it_is_in_the_family() -> None:
    assert SigLIP in METHODS
    assert FAMILY.parse({"kind": "siglip", "init_bias": None}) == SigLIP(init_bias=None)
    with pytest.raises((ValueError, ValidationError), match=re.escape("did you mean 'init_bias'")):
        FAMILY.parse({"kind": "siglip", "bias": -10.0})


def test_defaults_are_the_papers() -> None:
    method = SigLIP()
    assert (method.init_scale, method.init_bias, method.max_scale) == (10, -10, None)
    assert (method.siglip_weight, method.in_modal_weight) == (1, 0)


def test_pairs_as_they_are_unless_in_modal_terms_are_asked_for() -> None:
    model, pairs = tiny.clip(), tiny.data().pairs
    (plain,), (twice,) = (
        method.passes(method.build(model, pairs, 0), 0) for method in (SigLIP(), SigLIP(in_modal_weight=1.0))
    )
    assert (plain.image_views, plain.caption_views) == ((Plain(),), (PlainCaption(),))
    assert (len(twice.image_views), len(twice.caption_views)) == (2, 2)


def test_the_loss_from_features_by_hand() -> None:
    assert terms(SigLIP()) == pytest.approx({"sigmoid": sigmoid(10, -10)}, rel=1e-5)
    assert terms(SigLIP(siglip_weight=0.3, init_scale=None, init_bias=1.0)) == pytest.approx(
        {"sigmoid": 0.3 * sigmoid(SCALE, 1)}, rel=1e-5
    )


def test_in_modal_terms_share_the_scale_and_leave_the_bias_alone() -> None:
    image, image_view, text, text_view = matrices()
    assert terms(SigLIP(in_modal_weight=0.5)) == pytest.approx(
        {
            "sigmoid": sigmoid(10, -10),
            "in_modal_image": find(image, image_view, 10) / 4,
            "in_modal_text": find(text, text_view, 10) / 4,
        },
        rel=1e-5,
    )


def test_a_tower_without_bias_stays_without_and_the_bias_is_learned() -> None:
    model = tiny.clip()
    names = set(model.state_dict())
    given = SigLIP(epochs=1, batch_size=8, lr=1e-2, warmup_steps=1, schedule="constant")
    state = train(given, model, tiny.data(32), seed=0).state
    assert set(model.state_dict()) == names
    assert bias_of(state).item() != -10
    assert abs(bias_of(state).item() + 10) < 0.1
    assert model.scale.item() != pytest.approx(10, rel=1e-6)


def test_a_towers_own_bias_is_the_one_that_learns() -> None:
    model = biased()
    train(SigLIP(epochs=1, batch_size=8, lr=1e-2, warmup_steps=1, init_bias=None), model, tiny.data(32), seed=0)
    bias = model.tower.logit_bias
    assert isinstance(bias, nn.Parameter)
    assert 0 < abs(bias.item() + 3) < 0.1


def test_it_begins_where_it_is_told_or_where_the_model_is() -> None:
    pairs = tiny.data().pairs
    for method, scale, bias in (
        (SigLIP(), 10.0, -10.0),
        (SigLIP(init_scale=4.0, init_bias=2.0), 4.0, 2.0),
        (SigLIP(init_scale=None, init_bias=None), SCALE, -3.0),
    ):
        model = biased()
        state = method.build(model, pairs, 0)
        assert model.scale.item() == pytest.approx(scale)
        assert bias_of(state).item() == bias
        assert bias_of(state) is model.tower.logit_bias


@pytest.mark.parametrize("model", [tiny.clip(), biased()], ids=["without", "with"])
def test_neither_scale_nor_bias_decays_and_each_comes_once(model: Clip) -> None:
    state = SigLIP().build(model, tiny.data().pairs, 0)
    found = groups(state)
    plain, decayed = ([id(one) for one in found[name]] for name in ("plain", "decayed"))
    for parameter in (bias_of(state), model.tower.logit_scale):
        assert plain.count(id(parameter)) == 1
        assert id(parameter) not in decayed


def test_a_resume_keeps_what_was_learned(tmp_path: Path) -> None:
    """Building the state anew sets scale and bias to where they began; what was saved comes after."""
    method = SigLIP(epochs=3, batch_size=8, lr=1e-2, warmup_steps=1)
    whole = train(method, tiny.clip(), tiny.data(32), seed=0)

    def stop(at: Pause) -> None:
        if at.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(method, tiny.clip(), tiny.data(32), seed=0, folder=tmp_path, on_pause=stop)
    again = train(method, tiny.clip(), tiny.data(32), seed=0, folder=tmp_path)
    assert tiny.same(dict(whole.state.state_dict()), dict(again.state.state_dict()))


def test_what_it_cannot_train() -> None:
    with pytest.raises(ValueError, match=r"method\.init_bias: micro-cnn-32 has no logit bias to keep"):
        check(SigLIP(batch_size=8, init_bias=None), tiny.clip(), 32)
    with pytest.raises(ValueError, match=r"method\.kind: needs a logit bias that is one number.*shape \[1\]"):
        check(SigLIP(batch_size=8), biased(shape=(1,)), 32)
    model = tiny.clip()
    model.tower.logit_scale = nn.Parameter(torch.zeros(1))
    with pytest.raises(ValueError, match=r"method\.kind: needs a logit scale that is one number.*shape \[1\]"):
        check(SigLIP(batch_size=8), model, 32)
    del model.tower.logit_scale
    with pytest.raises(ValueError, match=r"method\.kind: needs a logit scale.*has none"):
        check(SigLIP(batch_size=8), model, 32)


def test_it_brings_pairs_together() -> None:
    model, data = tiny.clip(), tiny.data(32)
    train(SigLIP(epochs=24, batch_size=16, lr=1e-3, warmup_steps=4), model, data, seed=0)
    model.eval()
    with torch.no_grad():
        images = model.encode_image(torch.stack([data.prepared[i] for i in range(32)]))
        table = (images @ model.encode_captions([data.pairs.caption(i) for i in range(32)]).T).numpy()
    assert np.diagonal(table).mean() > (table.sum() - np.trace(table)) / (32 * 31) + 0.1


def test_golden_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.golden("siglip", SigLIP(epochs=1, batch_size=32, lr=1e-4, warmup_steps=5, precision="fp32"), monkeypatch)


def test_what_is_locked_is_not_written_over() -> None:
    model = tiny.clip()
    with pytest.raises(ValueError, match="init_scale: the model's logit_scale is locked; null leaves it as it is"):
        SigLIP(lock=("logit_scale",)).check(model)
    SigLIP(lock=("logit_scale",), init_scale=None).check(model)
    assert all(weights.requires_grad for weights in model.parameters())
