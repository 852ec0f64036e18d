"""Shrink and perturb: the formula on every tower, once, before the first step; and never again where one goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from tests.training.test_resume import _each_step, broken, equal, run

from bezoar.cleaning import CleanCLIP, Finetune
from bezoar.core.settings import digest
from bezoar.data.captions import Eda
from bezoar.experiment.experiment import METHODS, parse
from bezoar.models.architecture import build
from bezoar.models.clip import Clip, create
from bezoar.models.compared import registered
from bezoar.training.loop import train
from bezoar.training.shrink_perturb import ShrinkPerturb

__all__ = ["_each_step"]
STILL: dict[str, Any] = {"epochs": 1, "batch_size": 8, "warmup_steps": 0, "lr": 0.0, "precision": "fp32"}


def unnamed() -> Clip:
    """A tower of no registered name."""
    config = {**registered("micro-vit-32"), "embed_dim": 48}
    torch.manual_seed(3)
    return Clip(build(config), "custom", config=config)


def values(model: Clip) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.tower.state_dict().items()}


@pytest.mark.parametrize("make", [tiny.clip, unnamed, lambda: tiny.clip("micro-vit-32")])
def test_every_parameter_by_hand_and_no_buffer(make: Any) -> None:
    model, bare, whole = make(), make(), make()
    ShrinkPerturb(shrink=0.5, perturb=0.25).apply(model, 7)
    ShrinkPerturb(shrink=0.0, perturb=1.0).apply(bare, 7)  # the fresh one itself
    before, fresh = values(whole), values(bare)
    parameters = dict(model.tower.named_parameters())
    assert "logit_scale" in parameters
    for name, found in values(model).items():
        if name in parameters:
            torch.testing.assert_close(found, 0.5 * before[name] + 0.25 * fresh[name])
        else:
            assert torch.equal(found, before[name]), name
    assert not torch.equal(fresh["text_projection"], before["text_projection"])


def test_what_is_fresh_depends_on_the_seed_and_is_no_initialization_of_the_run() -> None:
    def fresh(seed: int) -> torch.Tensor:
        model = tiny.clip()
        ShrinkPerturb(shrink=0.0, perturb=1.0).apply(model, seed)
        return values(model)["text_projection"]

    drawn = torch.random.get_rng_state()
    assert torch.equal(fresh(0), fresh(0))
    assert torch.equal(torch.random.get_rng_state(), drawn)
    others = [fresh(1), *(create("micro-cnn-32", seed).tower.state_dict()["text_projection"] for seed in (0, 1))]
    assert not any(torch.equal(fresh(0), other) for other in others)


def test_all_of_the_weight_and_nothing_fresh_is_the_model_itself() -> None:
    model = tiny.clip()
    ShrinkPerturb(shrink=1.0, perturb=0.0).apply(model, 0)
    assert tiny.same(values(model), values(tiny.clip()))


def test_what_is_locked_stays() -> None:
    model = tiny.clip()
    train(Finetune(lock=("image",), shrink_perturb=ShrinkPerturb(), **STILL), model, tiny.data(16), seed=0)
    before = values(tiny.clip())
    for name, found in values(model).items():
        stays = "visual." in name or name == "attn_mask" or not before[name].any()  # biases begin at zero
        assert torch.equal(found, before[name]) == stays, name


def test_it_is_done_once_whatever_the_number_of_steps() -> None:
    shaken, trained = tiny.clip("micro-vit-32"), tiny.clip("micro-vit-32")
    ShrinkPerturb(shrink=0.8).apply(shaken, 5)
    train(Finetune(shrink_perturb=ShrinkPerturb(shrink=0.8), **{**STILL, "epochs": 3}), trained, tiny.data(16), seed=5)
    assert tiny.same(values(trained), values(shaken))


@pytest.mark.parametrize("after", [0, 3, 5])
def test_a_killed_training_goes_on_with_the_same_bits(after: int, tmp_path: Path) -> None:
    brief: dict[str, Any] = {"epochs": 2, "batch_size": 8, "lr": 1e-3, "warmup_steps": 3}
    method = CleanCLIP(**brief, caption_view=Eda(wordnet="none"), shrink_perturb=ShrinkPerturb(shrink=0.9))
    whole = run(method, tmp_path / "whole")
    broken(method, tmp_path / "broken", after)
    assert equal(run(method, tmp_path / "broken"), whole)
    assert not equal(run(CleanCLIP(**brief, caption_view=Eda(wordnet="none")), tmp_path / "without"), whole)


def test_without_it_a_method_is_found_again_under_its_old_digest() -> None:
    """Of values as they were written before the field was there."""
    assert digest(Finetune()) == "0ca6ee2890f9097f"
    assert (
        len({digest(Finetune(shrink_perturb=value)) for value in (None, ShrinkPerturb(), ShrinkPerturb(shrink=0.9))})
        == 3
    )


@pytest.mark.parametrize("kind", METHODS.members)
def test_every_method_takes_it_from_a_file(kind: str) -> None:
    needed = {"labels": "labels.csv"} if kind == "pseudo_labels" else {}
    method = METHODS.parse({"kind": kind, "shrink_perturb": {"shrink": 0.9}, **needed})
    assert method.shrink_perturb == ShrinkPerturb(shrink=0.9, perturb=1e-4)


def test_its_fields_are_axes_of_a_grid() -> None:
    plain = tiny.experiment()
    plain["stages"][1]["grid"] = {"shrink_perturb.shrink": [0.5, 1.0], "shrink_perturb.perturb": [0.0, 1e-3]}
    found = [stage for stage in parse(plain).expanded() if stage.name.startswith("finetune")]
    assert [stage.method.shrink_perturb for stage in found] == [
        ShrinkPerturb(shrink=shrink, perturb=perturb) for shrink in (0.5, 1.0) for perturb in (0.0, 1e-3)
    ]
    assert found[1].name == "finetune shrink_perturb.shrink=0.5 shrink_perturb.perturb=0.001"
    plain["stages"][1]["grid"] = {"shrink_perturb.shrnk": [0.5]}
    with pytest.raises(ValueError, match=r"stages.1.grid.*unknown key 'shrnk'; did you mean 'shrink'"):
        parse(plain)


@pytest.mark.parametrize(("field", "value"), [("shrink", 1.5), ("shrink", -0.1), ("perturb", -1.0)])
def test_what_it_cannot_be(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        METHODS.parse({"kind": "finetune", "shrink_perturb": {field: value}})
