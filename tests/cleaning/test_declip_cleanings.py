"""Fine-tuning and CleanCLIP with DeCLIP's loss: budgets, what they are beside `declip`, heads that go on, refusals."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
import torch
from tests import tiny

from bezoar.cleaning import METHODS, CleanCLIP, DeclipCleanCLIP, DeclipFinetune, Finetune
from bezoar.data.captions import Eda
from bezoar.models.clip import Clip
from bezoar.pretraining import DeCLIP
from bezoar.training.loop import check_pairs, train
from bezoar.training.method import Method

BRIEF: dict[str, Any] = {
    "epochs": 1, "batch_size": 8, "lr": 1e-3, "warmup_steps": 2, "precision": "fp32", "queue_size": 20,
    "caption_view": Eda(wordnet="none", operations=("swap", "delete")), "projector_width": 12, "predictor_width": 5,
}  # fmt: skip


def trained(method: Method, model: Clip | None = None) -> Clip:
    found = tiny.clip("micro-vit-32") if model is None else model
    train(method, found, tiny.data(32), seed=0)
    return found


def test_they_are_in_the_family() -> None:
    assert {DeclipFinetune, DeclipCleanCLIP} <= set(METHODS)
    assert [DeclipFinetune.kind, DeclipCleanCLIP.kind] == ["declip_finetune", "declip_cleanclip"]


@pytest.mark.parametrize(("ours", "theirs"), [(DeclipFinetune, Finetune), (DeclipCleanCLIP, CleanCLIP)])
def test_their_budgets_are_those_of_clips(ours: type[Method], theirs: type[Method]) -> None:
    shared = [field.name for field in fields(Method)]
    assert {name: getattr(ours(), name) for name in shared} == {name: getattr(theirs(), name) for name in shared}


@pytest.mark.parametrize(("ours", "weight"), [(DeclipFinetune, 0.0), (DeclipCleanCLIP, 1.0)])
def test_they_are_declip_with_other_settings(ours: type[Method], weight: float) -> None:
    same: dict[str, Any] = {
        "normalization": "model",
        "warmup_from": 0.0,
        "beta2": 0.999,
        "min_scale": 1.0,
        "in_modal_weight": weight,
    }
    one, other = trained(ours(**BRIEF)), trained(DeCLIP(**BRIEF, **same))
    assert tiny.same(dict(one.state_dict()), dict(other.state_dict()))


def test_the_in_modal_terms_are_of_declips_two_views() -> None:
    """With the weight at zero it is fine-tuning; with one the towers go elsewhere."""
    plain = trained(DeclipFinetune(**BRIEF)).state_dict()
    without = trained(DeclipCleanCLIP(**BRIEF, in_modal_weight=0.0)).state_dict()
    with_terms = trained(DeclipCleanCLIP(**BRIEF)).state_dict()
    assert tiny.same(dict(plain), dict(without))
    assert not tiny.same(dict(plain), dict(with_terms))


def test_heads_and_normalization_of_the_victim_go_on() -> None:
    victim = trained(DeCLIP(**BRIEF))
    before = {name: value.clone() for name, value in victim.heads.state_dict().items()}
    mean = victim.mean
    trained(DeclipFinetune(**{**BRIEF, "lr": 0.0}), victim)
    assert victim.mean == mean
    learned = [name for name in before if "running" not in name and "tracked" not in name]
    assert learned
    assert all(torch.equal(before[name], victim.heads.state_dict()[name]) for name in learned)


@pytest.mark.parametrize("method", [DeclipFinetune, DeclipCleanCLIP])
def test_golden_losses(method: type[Method], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {**BRIEF, "batch_size": 32, "lr": 1e-4, "warmup_steps": 5}
    tiny.golden(method.kind, method(**settings), monkeypatch)


def test_a_queue_for_few_clean_pairs() -> None:
    with pytest.raises(ValueError, match=r"queue_size: 65,536 captions are more than the 64 that 32 pairs have"):
        check_pairs(DeclipFinetune(batch_size=8), tiny.data(32).pairs)
