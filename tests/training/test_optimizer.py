"""Who is decayed and who is not, on real towers, and that the groups do what they say."""

from __future__ import annotations

from dataclasses import dataclass

import open_clip
import pytest
import torch
from tests import tiny
from torch import nn

import bezoar.models.clip  # noqa: F401  registers the micro towers
from bezoar.training.optimizer import adamw, facts, groups


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What AdamW is told."""

    lr: float = 0.1
    weight_decay: float = 0.5
    decay_embeddings: bool = True
    beta1: float = 0.8
    beta2: float = 0.9
    eps: float = 1e-6


def names(module: nn.Module, decay_embeddings: bool = True) -> dict[str, set[str]]:
    """Names of the parameters in each group."""
    known = {id(parameter): name for name, parameter in module.named_parameters()}
    found = groups(module, decay_embeddings=decay_embeddings)
    everybody = [id(parameter) for parameters in found.values() for parameter in parameters]
    assert len(everybody) == len(set(everybody)), "a parameter stands twice"
    return {group: {known[id(parameter)] for parameter in parameters} for group, parameters in found.items()}


@pytest.mark.parametrize("architecture", ["micro-cnn-32", "micro-vit-32"])
def test_groups_of_a_tower(architecture: str) -> None:
    """Vectors that scale or shift are norms and biases here, so a dumber rule finds the same: by name and shape."""
    model = tiny.clip(architecture)
    found = names(model)
    assert list(found) == ["decayed", "plain"]
    decayed, plain = found["decayed"], found["plain"]
    norms = ("ln_", "bn", ".stem.1.", ".shortcut.1.")
    expected = {
        name
        for name, _ in model.named_parameters()
        if name.endswith(("bias", "logit_scale")) or any(norm in name for norm in norms)
    }
    assert plain == expected
    assert decayed == {name for name, _ in model.named_parameters()} - expected
    assert {"tower.token_embedding.weight", "tower.positional_embedding"} <= decayed
    assert "tower.text_projection" in decayed
    assert "tower.logit_scale" in plain
    assert "tower.transformer.resblocks.0.attn.in_proj_bias" in plain
    if architecture == "micro-vit-32":
        assert {"tower.visual.class_embedding", "tower.visual.positional_embedding"} <= decayed
        assert {"tower.visual.ln_pre.weight", "tower.visual.ln_post.weight"} <= plain
    else:
        # The systems look for "bn" in the name, and so decay the norm of a shortcut.
        assert "tower.visual.trunk.blocks.0.shortcut.1.weight" in plain


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
    assert names(Heads()) == {
        "decayed": {"one.weight"},
        "plain": {"one.bias", "other.bias", "calm.weight", "calm.bias", "logit_bias"},
    }


EMBEDDINGS = {
    "micro-cnn-32": {"token_embedding.weight", "positional_embedding"},
    "micro-vit-32": {
        "token_embedding.weight", "positional_embedding", "visual.class_embedding", "visual.positional_embedding",
    },
    "coca_ViT-B-32": {
        "text.token_embedding.weight", "text.positional_embedding", "text.cls_emb",
        "visual.class_embedding", "visual.positional_embedding",
    },
    "EVA02-B-16": {
        "text.token_embedding.weight", "text.positional_embedding", "visual.trunk.cls_token", "visual.trunk.pos_embed",
    },
    "RN50": {"token_embedding.weight", "positional_embedding", "visual.attnpool.positional_embedding"},
}  # fmt: skip


@pytest.mark.parametrize("architecture", EMBEDDINGS)
def test_embeddings_apart(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Towers of every make, without memory: only the embeddings leave the decayed group."""
    monkeypatch.setattr(nn.Module, "to", lambda self, *_, **__: self)
    with torch.device("meta"):
        tower = open_clip.create_model(architecture)
    together, apart = names(tower), names(tower, decay_embeddings=False)
    assert apart["embeddings"] == EMBEDDINGS[architecture]
    assert apart["decayed"] == together["decayed"] - EMBEDDINGS[architecture]
    assert apart["plain"] == together["plain"]


def test_decay_shrinks_only_what_it_should() -> None:
    module = Heads()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(1.0)
    optimizer = adamw(module, Asked())
    assert [group["betas"] for group in optimizer.param_groups] == [(0.8, 0.9)] * 2
    assert [group["eps"] for group in optimizer.param_groups] == [1e-6] * 2
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert {round(float(value), 6) for value in module.one.weight.detach().flatten()} == {0.95}
    for still in (module.one.bias, module.calm.weight, module.logit_bias, module.frozen.weight):
        assert torch.equal(still, torch.ones_like(still))


class Words(nn.Module):
    """A table of words that is decayed or not."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(3, 2), nn.Linear(2, 2)


@pytest.mark.parametrize(("decayed", "left"), [(True, 0.95), (False, 1.0)])
def test_embeddings_are_decayed_where_that_is_asked_for(decayed: bool, left: float) -> None:
    module = Words()
    with torch.no_grad():
        module.table.weight.fill_(1.0)
    optimizer = adamw(module, Asked(decay_embeddings=decayed))
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert module.table.weight.detach().flatten().tolist() == pytest.approx([left] * 6)


def test_facts_are_those_of_the_next_step() -> None:
    optimizer = adamw(Words(), Asked(decay_embeddings=False))
    expected = {
        "decayed": {"lr": 0.1, "weight_decay": 0.5},
        "plain": {"lr": 0.1, "weight_decay": 0.0},
        "embeddings": {"lr": 0.1, "weight_decay": 0.0},
    }
    assert facts(optimizer) == expected
    for group in optimizer.param_groups:
        group["lr"] = 0.025
    assert {name: fact["lr"] for name, fact in facts(optimizer).items()} == dict.fromkeys(expected, 0.025)
    # The decay that is asked for is not the one that is used, once a state of other settings is loaded.
    optimizer.load_state_dict(adamw(Words(), Asked(weight_decay=0.25, decay_embeddings=False)).state_dict())
    assert facts(optimizer)["decayed"] == {"lr": 0.1, "weight_decay": 0.25}


def test_a_group_with_nobody_in_it_is_left_out() -> None:
    module = nn.Linear(2, 2, bias=False)
    assert facts(adamw(module, Asked())) == {"decayed": {"lr": 0.1, "weight_decay": 0.5}}
    assert facts(adamw(nn.LayerNorm(2), Asked())) == {"plain": {"lr": 0.1, "weight_decay": 0.0}}


def test_nothing_to_train_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^method\.lock: everything is locked, so there is nothing to train$"):
        adamw(Heads().requires_grad_(False), Asked())


def test_fused_where_the_device_has_it() -> None:
    assert {group["fused"] for group in adamw(Words(), Asked()).param_groups} == {True}
    assert {group["fused"] for group in adamw(Words().to("meta"), Asked()).param_groups} == {None}
