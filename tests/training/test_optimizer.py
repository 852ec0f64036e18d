"""Who is decayed and who is not, on real towers, and that the groups do what they say."""

from __future__ import annotations

import pytest
import torch
from tests import tiny
from torch import nn

from bezoar.pretraining import ClipPretraining
from bezoar.training.optimizer import adamw, groups
from bezoar.training.state import State


def names(module: nn.Module) -> tuple[set[str], set[str]]:
    """Names of the decayed and the other parameters."""
    found = {id(parameter): name for name, parameter in module.named_parameters()}
    decayed, plain = groups(module)
    assert len(decayed) + len(plain) == len({id(p) for p in decayed + plain}), "a parameter stands twice"
    return {found[id(p)] for p in decayed}, {found[id(p)] for p in plain}


@pytest.mark.parametrize("architecture", ["micro-cnn-32", "micro-vit-32"])
def test_groups_of_a_tower(architecture: str) -> None:
    """Vectors that scale or shift are norms and biases here, so a dumber rule finds the same: by name and shape."""
    state = State(tiny.clip(architecture), 10)
    decayed, plain = names(state)
    norms = ("ln_", "bn", ".stem.1.", ".shortcut.1.")
    expected = {
        name
        for name, _ in state.named_parameters()
        if name.endswith(("bias", "logit_scale")) or any(norm in name for norm in norms)
    }
    assert plain == expected
    assert decayed == {name for name, _ in state.named_parameters()} - expected
    assert {"model.tower.token_embedding.weight", "model.tower.positional_embedding"} <= decayed
    assert "model.tower.text_projection" in decayed
    assert "model.tower.logit_scale" in plain
    assert "model.tower.transformer.resblocks.0.attn.in_proj_bias" in plain
    if architecture == "micro-vit-32":
        assert {"model.tower.visual.class_embedding", "model.tower.visual.positional_embedding"} <= decayed
        assert {"model.tower.visual.ln_pre.weight", "model.tower.visual.ln_post.weight"} <= plain
    else:
        # The systems look for "bn" in the name, and so decay the norm of a shortcut.
        assert "model.tower.visual.trunk.blocks.0.shortcut.1.weight" in plain


class Heads(nn.Module):
    """One weight in two places, one that is frozen, a norm that a name would not give away."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(3, 3), nn.Linear(3, 3)
        self.other.weight = self.one.weight
        self.calm = nn.GroupNorm(1, 3)
        self.frozen = nn.Linear(3, 3).requires_grad_(False)
        self.logit_bias = nn.Parameter(torch.zeros(()))


def test_shared_weights_stand_once_and_frozen_ones_not_at_all() -> None:
    decayed, plain = names(Heads())
    assert decayed == {"one.weight"}
    assert plain == {"one.bias", "other.bias", "calm.weight", "calm.bias", "logit_bias"}


def test_decay_shrinks_only_what_it_should() -> None:
    module = Heads()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(1.0)
    optimizer = adamw(module, ClipPretraining(lr=0.1, weight_decay=0.5, beta1=0.8, beta2=0.9, eps=1e-6))
    assert [group["betas"] for group in optimizer.param_groups] == [(0.8, 0.9)] * 2
    assert [group["eps"] for group in optimizer.param_groups] == [1e-6] * 2
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert {round(float(value), 6) for value in module.one.weight.detach().flatten()} == {0.95}
    for still in (module.one.bias, module.calm.weight, module.logit_bias, module.frozen.weight):
        assert torch.equal(still, torch.ones_like(still))
