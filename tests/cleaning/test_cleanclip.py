"""CleanCLIP: its loss from features by hand, its views, and what one forward for both views does to batch norms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests import tiny
from torch import Tensor

from bezoar.cleaning import METHODS, CleanCLIP, Finetune
from bezoar.core.settings import digest
from bezoar.data.captions import Eda
from bezoar.data.captions import Plain as PlainCaption
from bezoar.data.views import AutoAugment, Plain
from bezoar.losses import info_nce
from bezoar.training.batch import Batch
from bezoar.training.loader import batches
from bezoar.training.loop import train
from bezoar.training.state import State

TINY: dict[str, Any] = {"batch_size": 8, "caption_view": Eda(wordnet="none"), "precision": "fp32"}


def batch(method: CleanCLIP, epoch: int = 0) -> Batch:
    (whole,) = method.passes(method.build(tiny.clip(), tiny.data().pairs, 0), epoch)
    found = batches(tiny.data(), tiny.clip().tokenize, whole, batch_size=method.batch_size, seed=0, epoch=epoch)
    return next(iter(found))


def terms(method: CleanCLIP, architecture: str = "micro-cnn-32", training: bool = False) -> dict[str, float]:
    model = tiny.clip(architecture)
    state = State(model, 48).train(training)
    (whole,) = method.passes(state, 0)
    with torch.no_grad():
        given = batch(method)
        return {name: term.item() for name, term in whole.loss(state, whole.encode(state, given), given).items()}


def cross_entropy(logits: NDArray[np.float64]) -> float:
    return float(np.mean([np.log(np.exp(row).sum()) - row[i] for i, row in enumerate(logits)]))


def by_hand(method: CleanCLIP) -> dict[str, float]:
    """Equation by equation: w (CE + CEᵗ)/2, and λ/2 for each modality from originals to views."""
    model, given = tiny.clip().eval(), batch(method)
    with torch.no_grad():
        image, image_view = (model.encode_image(view).double().numpy() for view in given.images)
        text, text_view = (model.encode_text(view).double().numpy() for view in given.texts)
        scale = float(model.scale)
    logits = scale * image @ text.T
    return {
        "contrastive": method.clip_weight * (cross_entropy(logits) + cross_entropy(logits.T)) / 2,
        "in_modal_image": method.in_modal_weight / 2 * cross_entropy(scale * image @ image_view.T),
        "in_modal_text": method.in_modal_weight / 2 * cross_entropy(scale * text @ text_view.T),
    }


def test_it_is_in_the_family() -> None:
    assert CleanCLIP in METHODS
    assert CleanCLIP.kind == "cleanclip"


def test_defaults_are_the_papers() -> None:
    method = CleanCLIP()
    assert (method.clip_weight, method.in_modal_weight, method.joint_views) == (1.0, 1.0, True)
    assert (method.image_view, method.caption_view) == (AutoAugment(policy="imagenet"), Eda())


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.5, 2.0), (0.0, 1.0)])
def test_the_loss_from_features_by_hand(weights: tuple[float, float]) -> None:
    method = CleanCLIP(clip_weight=weights[0], in_modal_weight=weights[1], **TINY)
    found = terms(method)
    assert found == pytest.approx(by_hand(method), rel=1e-4, abs=1e-7)
    assert (found["contrastive"] == 0) == (weights[0] == 0)


def test_without_views_the_in_modal_terms_are_those_of_a_pair_with_itself() -> None:
    method = CleanCLIP(image_view=Plain(), **{**TINY, "caption_view": PlainCaption()})
    given = batch(method)
    assert torch.equal(*given.images)
    assert torch.equal(*given.texts)
    model = tiny.clip().eval()
    with torch.no_grad():
        image = model.encode_image(given.images[0])
        assert terms(method)["in_modal_image"] == pytest.approx(
            info_nce(image, image, model.scale).item() / 2, rel=1e-5
        )


def test_views_change_from_epoch_to_epoch_and_not_from_call_to_call() -> None:
    method = CleanCLIP(**{**TINY, "batch_size": 48})
    first, again, later = batch(method), batch(method), batch(method, epoch=1)
    assert torch.equal(first.images[1], again.images[1])
    assert torch.equal(first.texts[1], again.texts[1])
    place = {pair_id: row for row, pair_id in enumerate(later.ids)}
    moved = [place[pair_id] for pair_id in first.ids]

    def changed(one: Tensor, other: Tensor) -> float:
        width = min(one.shape[1], other.shape[1])
        return float((one[:, :width] != other[moved][:, :width]).flatten(1).any(1).float().mean())

    assert changed(first.images[0], later.images[0]) == 0
    assert changed(first.texts[0], later.texts[0]) == 0
    assert changed(first.images[1], later.images[1]) > 0.8
    assert changed(first.texts[1], later.texts[1]) > 0.5
    assert changed(first.images[1], first.images[0][torch.tensor(moved).argsort()]) > 0.8


def test_one_forward_for_both_views_matters_only_to_batch_norms() -> None:
    joint, apart = CleanCLIP(joint_views=True, **TINY), CleanCLIP(joint_views=False, **TINY)
    assert terms(joint, "micro-vit-32", True) == pytest.approx(terms(apart, "micro-vit-32", True), rel=1e-5)
    assert terms(joint, "micro-cnn-32", False) == pytest.approx(terms(apart, "micro-cnn-32", False), rel=1e-5)
    mixed, alone = terms(joint, "micro-cnn-32", True), terms(apart, "micro-cnn-32", True)
    assert mixed["contrastive"] != pytest.approx(alone["contrastive"], rel=1e-5)
    assert mixed["in_modal_image"] != pytest.approx(alone["in_modal_image"], rel=1e-5)
    assert mixed["in_modal_text"] == pytest.approx(alone["in_modal_text"], rel=1e-5)


def test_without_in_modal_terms_it_is_fine_tuning() -> None:
    """No view is made then, so the statistics of batch norms are those of fine-tuning too."""
    given: dict[str, Any] = {"epochs": 1, "batch_size": 8, "lr": 1e-3, "warmup_steps": 2, "precision": "fp32"}
    models = []
    for method in (CleanCLIP(in_modal_weight=0.0, **given), Finetune(**given)):
        model = tiny.clip()
        train(method, model, tiny.data(32), seed=0)
        models.append(dict(model.state_dict()))
    assert tiny.same(*models)


def test_every_setting_is_part_of_its_identity() -> None:
    changed = [
        CleanCLIP(), CleanCLIP(clip_weight=2.0), CleanCLIP(in_modal_weight=2.0), CleanCLIP(joint_views=False),
        CleanCLIP(image_view=Plain()), CleanCLIP(caption_view=PlainCaption()), CleanCLIP(caption_view=Eda(p_delete=1)),
    ]  # fmt: skip
    assert len(set(map(digest, changed))) == len(changed)


def test_golden_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    view = Eda(wordnet="none")
    method = CleanCLIP(epochs=1, batch_size=32, lr=1e-4, warmup_steps=5, precision="fp32", caption_view=view)
    tiny.golden("cleanclip", method, monkeypatch)
