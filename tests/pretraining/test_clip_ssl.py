"""MMCL+SSL: its loss from features by hand, its defaults, and what it shares with CleanCLIP."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests import tiny
from torch.nn import functional as F

from bezoar.cleaning import CleanCLIP
from bezoar.core.rows import rows
from bezoar.core.seeds import torch_generator
from bezoar.data.captions import Eda
from bezoar.data.captions import Plain as PlainCaption
from bezoar.data.views import AutoAugment, Plain
from bezoar.experiment.experiment import METHODS as FAMILY
from bezoar.pretraining import METHODS, ClipSSL
from bezoar.training.batch import Batch, Features
from bezoar.training.loop import train
from bezoar.training.state import State

TINY: dict[str, Any] = {"batch_size": 8, "caption_view": Eda(wordnet="none"), "precision": "fp32"}


def drawn() -> Features:
    """Of six pairs, far apart, as those of an untrained tower are not."""
    random = torch_generator(0, "clip_ssl")
    four = [rows(F.normalize(torch.randn(6, 5, generator=random), dim=1)) for _ in range(4)]
    return Features(images=tuple(four[:2]), texts=tuple(four[2:]))


def terms(method: ClipSSL) -> dict[str, float]:
    state = State(tiny.clip(), 48)
    (whole,) = method.passes(state, 0)
    nothing = Batch(ids=(), indices=torch.arange(0), images=(), texts=())
    return {name: term.item() for name, term in whole.loss(state, drawn(), nothing).items()}


def find(scale: float, queries: NDArray[np.float64], keys: NDArray[np.float64]) -> float:
    """How hard it is for the queries to find their keys: CE(s Q Kᵗ, 1…n)."""
    return float(np.mean([np.log(np.exp(scale * keys @ q).sum()) - scale * keys[i] @ q for i, q in enumerate(queries)]))


def by_hand(method: ClipSSL) -> dict[str, float]:
    given, s = drawn(), tiny.clip().scale.item()
    image, image_view = (view.own.double().numpy() for view in given.images)
    text, text_view = (view.own.double().numpy() for view in given.texts)
    picture, caption = find(s, image, image_view), find(s, text, text_view)
    if method.in_modal == "symmetric":
        picture = (picture + find(s, image_view, image)) / 2
        caption = (caption + find(s, text_view, text)) / 2
    return {
        "contrastive": method.clip_weight * (find(s, image, text) + find(s, text, image)) / 2,
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
@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.5, 0.5), (1.0, 0.0)])
def test_the_loss_from_features_by_hand(weights: tuple[float, float], form: Any) -> None:
    method = ClipSSL(clip_weight=weights[0], in_modal_weight=weights[1], in_modal=form, **TINY)
    assert terms(method) == pytest.approx(by_hand(method), rel=1e-5)


def test_it_is_cleanclip_with_another_budget() -> None:
    """Same pairs, same settings, same bits."""
    given = {**TINY, "epochs": 1, "lr": 1e-3, "warmup_steps": 1}
    models = []
    for method in (ClipSSL(**given), CleanCLIP(**given)):
        model = tiny.clip()
        train(method, model, tiny.data(16), seed=0)
        models.append(dict(model.state_dict()))
    assert tiny.same(*models)


def test_golden_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    view = Eda(wordnet="none")
    method = ClipSSL(epochs=1, batch_size=32, lr=1e-3, warmup_steps=5, precision="fp32", caption_view=view)
    tiny.golden("clip_ssl", method, monkeypatch)
