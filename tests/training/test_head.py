"""A head on image features: as wide as they are, begun as in the released code, and never decayed."""

from __future__ import annotations

import pytest
import torch
from tests import tiny

from bezoar.cleaning import CleanCLIP
from bezoar.training.head import Headed, width_of
from bezoar.training.optimizer import adamw, groups


@pytest.mark.parametrize("name", ["micro-cnn-32", "micro-vit-32"])
def test_it_is_as_wide_as_the_features(name: str) -> None:
    model = tiny.clip(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = Headed(model, 48, 7, 0)
    assert tiny.same(dict(model.state_dict()), before)
    images = torch.stack([tiny.data().image(index) for index in range(3)])
    assert width_of(model) == model.eval().encode_image(images).shape[1]
    assert state.head(model.encode_image(images)).shape == (3, 7)


def test_it_begins_with_small_weights_and_no_bias() -> None:
    head = Headed(tiny.clip(), 48, 300, 0).head
    assert head.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert head.weight.mean().abs() < 2e-4
    assert not head.bias.any()


def test_it_begins_anew_in_place_by_seed_and_epoch_alone() -> None:
    state, other = Headed(tiny.clip(), 48, 7, 3), Headed(tiny.clip(), 48, 7, 4)
    weight, first = state.head.weight, state.head.weight.detach().clone()
    assert not torch.equal(first, other.head.weight)
    state.begin_head(1)
    assert state.head.weight is weight
    assert not torch.equal(weight, first)
    torch.randn(5)
    state.begin_head(0)
    assert torch.equal(weight, first)


def test_decay_leaves_it_alone() -> None:
    state = Headed(tiny.clip(), 48, 7, 0)
    found = groups(state)
    assert [any(one is state.head.weight for one in found[name]) for name in ("plain", "decayed")] == [True, False]
    optimizer = adamw(state, CleanCLIP(weight_decay=50.0))
    (group,) = (group for group in optimizer.param_groups if any(one is state.head.weight for one in group["params"]))
    assert group["weight_decay"] == 0
