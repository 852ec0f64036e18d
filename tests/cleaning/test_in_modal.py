"""In-modal cleaning: the terms of CleanCLIP without the multimodal one."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
import torch
from tests import tiny

from bezoar.cleaning import METHODS, CleanCLIP, InModalCleaning
from bezoar.data.captions import Eda
from bezoar.training.loop import train
from bezoar.training.two_views import InModal

EDA = Eda(wordnet="none")
BRIEF: dict[str, Any] = {
    "epochs": 1, "batch_size": 8, "lr": 1e-3, "warmup_steps": 2, "precision": "fp32", "caption_view": EDA
}  # fmt: skip


def test_it_is_in_the_family() -> None:
    assert InModalCleaning in METHODS
    assert InModalCleaning.kind == "in_modal"


def test_its_defaults_are_cleanclips() -> None:
    shared = [field.name for field in fields(InModal)]
    assert {name: getattr(InModalCleaning(), name) for name in shared} == {
        name: getattr(CleanCLIP(), name) for name in shared
    }


def test_without_a_weight_there_would_be_nothing_to_train() -> None:
    with pytest.raises(ValueError, match="in_modal_weight"):
        InModalCleaning(in_modal_weight=0.0)


@pytest.mark.parametrize("architecture", ["micro-cnn-32", "micro-vit-32"])
@pytest.mark.parametrize("in_modal", ["one_way", "symmetric"])
def test_it_is_cleanclip_with_nothing_of_the_multimodal_loss(architecture: str, in_modal: Any) -> None:
    """What the released code is asked for with ``--clip_weight 0``: the same bits."""
    models = []
    for method in (
        InModalCleaning(in_modal_weight=2.0, in_modal=in_modal, **BRIEF),
        CleanCLIP(clip_weight=0.0, in_modal_weight=2.0, in_modal=in_modal, **BRIEF),
    ):
        model = tiny.clip(architecture)
        train(method, model, tiny.data(32), seed=0)
        models.append(dict(model.state_dict()))
    assert tiny.same(*models)
    before = tiny.clip(architecture).state_dict()
    assert not torch.equal(models[0]["tower.text_projection"], before["tower.text_projection"])
    assert not torch.equal(models[0]["tower.logit_scale"], before["tower.logit_scale"])


def test_golden_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    method = InModalCleaning(epochs=1, batch_size=32, lr=1e-4, warmup_steps=5, precision="fp32", caption_view=EDA)
    tiny.golden("in_modal", method, monkeypatch)
