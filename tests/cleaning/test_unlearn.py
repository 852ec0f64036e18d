"""Unlearning: the loss from features by hand, the sign of the released code, the key it is granted, what it does."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests import tiny
from torch import Tensor

from bezoar.cleaning import METHODS, Finetune, Unlearn
from bezoar.training.batch import Batch, together
from bezoar.training.loader import batches
from bezoar.training.loop import train
from bezoar.training.method import Method
from bezoar.training.precision import autocast_for
from bezoar.training.scorer import Scorer

BRIEF: dict[str, Any] = {"epochs": 1, "batch_size": 12, "lr": 1e-3, "warmup_steps": 2, "precision": "fp32"}


def test_it_is_in_the_family() -> None:
    assert Unlearn in METHODS
    assert Unlearn.kind == "unlearn"


def test_defaults() -> None:
    """Of the constraint those of the released parser; the budget is that of the other cleanings."""
    assert (Unlearn().target, Unlearn().constraint_weight, Unlearn().legacy_sign) == (-1.0, 1.0, False)
    shared = [field.name for field in fields(Method)]
    assert {name: getattr(Unlearn(), name) for name in shared} == {name: getattr(Finetune(), name) for name in shared}


def cross_entropy(logits: Any) -> float:
    return float(np.mean([np.log(np.exp(row).sum()) - row[i] for i, row in enumerate(logits)]))


def one_batch(method: Unlearn, poisoned: Tensor) -> tuple[dict[str, float], Any, Any, float, Any]:
    model, data = tiny.clip().eval(), tiny.data(12)
    state = method.build(model, data.pairs, 0)
    method.reveal(state, poisoned)
    (whole,) = method.passes(state, 0)
    given: Batch = next(iter(batches(data, model.tokenize, whole, batch_size=12, seed=0, epoch=0)))
    with torch.no_grad():
        terms = whole.loss(state, together(state, given), given)
        image, text = (
            encode(view).double().numpy()
            for encode, view in ((model.encode_image, given.images[0]), (model.encode_text, given.texts[0]))
        )
    key = poisoned[given.indices].numpy()
    return {name: term.item() for name, term in terms.items()}, image, text, model.scale.item(), key


@pytest.mark.parametrize(
    ("changes", "towards"),
    [
        ({}, -1.0), ({"target": 0.0}, 0.0), ({"target": 0.5}, 0.5),
        ({"legacy_sign": True}, 1.0), ({"legacy_sign": True, "target": 1.0}, -1.0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("chosen", [[2, 3, 7], [5], [], list(range(11)), list(range(12))])
def test_the_loss_from_features_by_hand(changes: dict[str, Any], towards: float, chosen: list[int]) -> None:
    poisoned = torch.zeros(12, dtype=torch.bool)
    poisoned[chosen] = True
    terms, image, text, scale, key = one_batch(Unlearn(constraint_weight=0.7, **BRIEF, **changes), poisoned)
    cosines = (image * text).sum(1)
    assert key.sum() == len(chosen)
    constraint = ((cosines[key] - towards) ** 2).mean() if chosen else 0.0
    logits = scale * image[~key] @ text[~key].T
    contrastive = (cross_entropy(logits) + cross_entropy(logits.T)) / 2 if len(chosen) < 12 else 0.0
    assert terms == pytest.approx({"contrastive": contrastive, "constraint": 0.7 * constraint}, rel=1e-4, abs=1e-6)


def cosines(legacy_sign: bool, lock: tuple[str, ...] = ()) -> tuple[float, float]:
    """Mean cosine of the poisoned pairs before and after."""
    data, model = tiny.data(48, tiny.plan()), tiny.clip("micro-vit-32")
    method = Unlearn(
        **{**BRIEF, "epochs": 6, "batch_size": 24}, constraint_weight=4.0, legacy_sign=legacy_sign, lock=lock
    )
    found = []
    for _ in range(2):
        scorer = Scorer(model, data, autocast_for("fp32", model.device))
        found.append(float(scorer.cosines()[data.poisoned()].mean()))
        if len(found) == 1:
            train(method, model, data, seed=0)
    return found[0], found[1]


def test_poisoned_pairs_are_driven_apart_and_with_the_released_sign_together() -> None:
    before, after = cosines(False)
    assert after < before - 0.2
    before, after = cosines(True)
    assert after > before + 0.2


def test_nobody_poisoned_is_fine_tuning() -> None:
    """But for rounding: the loss is summed in another order."""
    models = []
    for method in (Unlearn(**BRIEF), Finetune(**BRIEF)):
        model = tiny.clip("micro-vit-32")
        train(method, model, tiny.data(48), seed=0)
        models.append(model.encode_image(torch.stack([tiny.data(48).image(i) for i in range(8)])))
    torch.testing.assert_close(*models, rtol=0, atol=2e-3)


def test_the_key_is_in_no_state_on_disk(tmp_path: Path) -> None:
    state = train(Unlearn(**BRIEF), tiny.clip(), tiny.data(48, tiny.plan()), seed=0, folder=tmp_path).state
    assert not any("poisoned" in name for name in state.state_dict())


def test_golden_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    method = Unlearn(epochs=1, batch_size=32, lr=1e-4, warmup_steps=5, precision="fp32")
    tiny.golden("unlearn", method, monkeypatch, tiny.data(640, tiny.plan(640)))
