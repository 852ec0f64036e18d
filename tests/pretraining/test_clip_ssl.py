"""MMCL+SSL: its loss from features by hand, its defaults, and what it shares with CleanCLIP."""

from __future__ import annotations

from typing import Any

import pytest
from tests import tiny
from tests.pretraining.by_hand import FAMILY, find, matrices, terms

from bezoar.cleaning import CleanCLIP
from bezoar.data.captions import Eda
from bezoar.data.captions import Plain as PlainCaption
from bezoar.data.views import AutoAugment, Plain
from bezoar.pretraining import METHODS, ClipSSL
from bezoar.training.loop import train
from bezoar.training.state import State


def by_hand(method: ClipSSL) -> dict[str, float]:
    image, image_view, text, text_view = matrices()
    picture, caption = find(image, image_view), find(text, text_view)
    if method.in_modal == "symmetric":
        picture = (picture + find(image_view, image)) / 2
        caption = (caption + find(text_view, text)) / 2
    return {
        "contrastive": method.clip_weight * (find(image, text) + find(text, image)) / 2,
        "in_modal_image": method.in_modal_weight * picture / 2,
        "in_modal_text": method.in_modal_weight * caption / 2,
    }


def test_it_is_in_the_family() -> None:
    assert ClipSSL in METHODS
    assert FAMILY.parse({"kind": "clip_ssl", "in_modal": "symmetric"}) == ClipSSL(in_modal="symmetric")


def test_defaults_are_the_papers() -> None:
    method = ClipSSL()
    assert (method.epochs, method.batch_size, method.lr, method.warmup_steps) == (64, 1024, 1e-3, 10_000)
    assert (method.clip_weight, method.in_modal_weight, method.in_modal, method.joint_views) == (1, 1, "one_way", True)
    assert (method.weight_decay, method.max_scale) == (0.1, 100)


def test_originals_and_views_in_one_pass() -> None:
    (whole,) = ClipSSL(batch_size=8).passes(State(tiny.clip(), 48), 3)
    assert (whole.name, whole.image_views, whole.caption_views) == (
        "all", (Plain(), AutoAugment(policy="imagenet")), (PlainCaption(), Eda()),
    )  # fmt: skip


@pytest.mark.parametrize("form", ["one_way", "symmetric"])
@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.5, 0.5), (0.0, 2.0)])
def test_the_loss_from_features_by_hand(weights: tuple[float, float], form: Any) -> None:
    method = ClipSSL(clip_weight=weights[0], in_modal_weight=weights[1], in_modal=form)
    assert terms(method) == pytest.approx(by_hand(method), rel=1e-5)


def test_it_is_cleanclip_with_another_budget() -> None:
    """Same pairs, same settings, same bits."""
    given: dict[str, Any] = {"batch_size": 8, "caption_view": Eda(wordnet="none"), "epochs": 1, "warmup_steps": 1}
    models = []
    for method in (ClipSSL(**given), CleanCLIP(**given, lr=1e-3)):
        model = tiny.clip()
        train(method, model, tiny.data(16), seed=0)
        models.append(dict(model.state_dict()))
    assert tiny.same(*models)


def test_golden_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    view = Eda(wordnet="none")
    method = ClipSSL(epochs=1, batch_size=32, lr=1e-4, warmup_steps=5, precision="fp32", caption_view=view)
    tiny.golden("clip_ssl", method, monkeypatch)
