"""Plain fine-tuning: the loss of pre-training with the budget of CleanCLIP."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch
from tests import tiny

from bezoar.cleaning import METHODS, CleanCLIP, Finetune
from bezoar.pretraining import ClipPretraining
from bezoar.training.loop import train
from bezoar.training.method import Method


def test_it_is_in_the_family() -> None:
    assert Finetune in METHODS
    assert Finetune.kind == "finetune"


def test_its_budget_is_cleanclips() -> None:
    shared = [field.name for field in fields(Method)]
    assert {name: getattr(Finetune(), name) for name in shared} == {name: getattr(CleanCLIP(), name) for name in shared}


def test_it_is_pretraining_under_another_name() -> None:
    """Same pairs, same settings, same bits: what is compared with CleanCLIP is the multimodal loss alone."""
    given = {"epochs": 1, "batch_size": 8, "lr": 1e-3, "warmup_steps": 2}
    models = []
    for method in (Finetune, ClipPretraining):
        model = tiny.clip()
        train(method(**given), model, tiny.data(32), seed=0)  # type: ignore[arg-type]
        models.append(dict(model.state_dict()))
    assert tiny.same(*models)
    assert not torch.equal(models[0]["tower.text_projection"], tiny.clip().state_dict()["tower.text_projection"])


def test_golden_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    method = Finetune(epochs=1, batch_size=32, lr=1e-4, warmup_steps=5, precision="fp32")
    tiny.golden("finetune", method, monkeypatch)
