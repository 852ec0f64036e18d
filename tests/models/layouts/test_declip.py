"""DeCLIP's checkpoints: the towers among the heads, and the text tower checked against its description."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests import foreign
from torch import Tensor
from torch.nn import functional as F

from bezoar.core.frame import Frame
from bezoar.models.architecture import build
from bezoar.models.clip import Clip
from bezoar.models.heads import Heads
from bezoar.models.layouts import find
from bezoar.models.layouts.declip import MEAN, STD, DeClip
from bezoar.models.reading import Beside


def loaded(model: Clip, tmp_path: Path) -> dict[str, Any]:
    tree: dict[str, Any] = torch.load(foreign.declip(model, tmp_path / "ckpt.pth.tar"), weights_only=True)
    return tree


def described_text(state: dict[str, Tensor], tokens: Tensor, heads: int) -> Tensor:
    """DeCLIP's text tower from its description: sequence first, causal, QuickGELU, end of text, a linear layer."""
    own = {name.removeprefix("module.encode_text."): t for name, t in state.items() if "encode_text" in name}
    x = (own["token_embedding.weight"][tokens] + own["positional_embedding"]).permute(1, 0, 2)
    length, count, width = x.shape
    hidden = torch.full((length, length), -torch.inf).triu(1)
    layer = 0
    while f"transformer.resblocks.{layer}.ln_1.weight" in own:
        at = {name.partition(f"resblocks.{layer}.")[2]: t for name, t in own.items() if f"resblocks.{layer}." in name}
        y = F.layer_norm(x, (width,), at["ln_1.weight"], at["ln_1.bias"])
        parts = F.linear(y, at["attn.in_proj_weight"], at["attn.in_proj_bias"]).chunk(3, -1)
        q, k, v = (part.reshape(length, count * heads, width // heads).transpose(0, 1) for part in parts)
        mixed = ((q @ k.transpose(1, 2)) / (width // heads) ** 0.5 + hidden).softmax(-1) @ v
        mixed = mixed.transpose(0, 1).reshape(length, count, width)
        x = x + F.linear(mixed, at["attn.out_proj.weight"], at["attn.out_proj.bias"])
        y = F.layer_norm(x, (width,), at["ln_2.weight"], at["ln_2.bias"])
        y = F.linear(y, at["mlp.c_fc.weight"], at["mlp.c_fc.bias"])
        x = x + F.linear(y * torch.sigmoid(1.702 * y), at["mlp.c_proj.weight"], at["mlp.c_proj.bias"])
        layer += 1
    x = F.layer_norm(x.permute(1, 0, 2), (width,), own["ln_final.weight"], own["ln_final.bias"])
    ends = x[torch.arange(count), tokens.argmax(-1)]
    return F.linear(ends, own["text_projection.weight"], own["text_projection.bias"])


@pytest.mark.parametrize("make", [foreign.victim, foreign.resnet])
def test_the_towers_are_found_among_the_heads(make: Any, tmp_path: Path) -> None:
    model = make()
    tower = find(loaded(model, tmp_path), Beside(), "x")
    assert (tower.layout, tower.facts) == ("declip", {"last_iter": 120_000})
    assert tower.unused == ("optimizer", "visual.*")
    assert {name: tuple(head.shape) for name, head in tower.heads.items()} == {"projector.linear1.weight": (8, 8)}
    assert (tower.mean, tower.std, tower.frame.interpolation) == (MEAN, STD, "bilinear")
    assert tower.config["custom_text"] is True
    assert tower.config["text_cfg"] | {"proj_bias": True, "vocab_size": 49_409} == tower.config["text_cfg"]
    assert tower.weights["logit_scale"].shape == ()
    own = model.tower.state_dict()
    image = [name for name in own if name.startswith("visual.")]
    assert image == [name for name in tower.weights if name.startswith("visual.") or name in image][: len(image)]
    assert all(torch.equal(own[name], tower.weights[name]) for name in image)


def test_text_features_are_those_of_the_description(tmp_path: Path) -> None:
    tree = loaded(foreign.victim(), tmp_path)
    tower = find(tree, Beside(), "x")
    built = build(tower.config).eval()
    built.load_state_dict(tower.weights)
    tokens = torch.zeros(3, 77, dtype=torch.int64)
    for row, words in enumerate(([5, 6, 7], [], [40_000] * 75)):
        tokens[row, : len(words) + 2] = torch.tensor([49_407, *words, 49_408])
    with torch.no_grad():
        found = built.encode_text(tokens)  # type: ignore[operator]
        wanted = described_text(tree["model"], tokens, tower.config["text_cfg"]["heads"])
    assert torch.allclose(found, wanted, atol=1e-5)


def test_full_size_towers_see_the_center_of_a_larger_picture() -> None:
    """On the meta device: a R50 at 224 px, resized to 256 as their evaluation does."""
    with torch.device("meta"):
        model = build(
            {
                "embed_dim": 1024,
                "quick_gelu": True,
                "custom_text": True,
                "vision_cfg": {"image_size": 224, "layers": [3, 4, 6, 3], "width": 64},
                "text_cfg": {"vocab_size": 49_409, "heads": 8, "proj_bias": True},
            }
        )
    state = {f"module.{name.replace('text.', 'encode_text.', 1)}": t for name, t in model.state_dict().items()}
    tower = find({"model": state, "last_iter": 1}, Beside(), "x")
    assert tower.frame == Frame(224, interpolation="bilinear", larger=256)


def test_a_tower_goes_back_with_its_averages(tmp_path: Path) -> None:
    old = loaded(foreign.victim(), tmp_path)
    old["ema"] = {"ema_state_dict": dict(old["model"]), "decay": 0.999}
    tower = find(old, Beside(), "x")
    new = Clip(build(tower.config), "custom", config=tower.config)
    new.heads = Heads({"projector.linear1.weight": torch.ones(8, 8), "predictor.layer2.bias": torch.ones(3)})
    back = DeClip().put(new, old)
    own = new.tower.state_dict()
    for state in (back["model"], back["ema"]["ema_state_dict"]):
        assert list(state) == list(old["model"])
        assert torch.equal(state["module.encode_text.ln_final.weight"], own["text.ln_final.weight"])
        assert torch.equal(state["module.logit_scale"], own["logit_scale"].reshape(1))
        assert torch.equal(state["module.projector.linear1.weight"], torch.ones(8, 8))
    assert (back["last_iter"], back["ema"]["decay"]) == (120_000, 0.999)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    tree = loaded(foreign.victim(), tmp_path)
    del tree["model"]["module.encode_text.text_projection.bias"]
    with pytest.raises(ValueError, match=r"looks like DeCLIP, .*missing text\.text_projection\.bias"):
        find(tree, Beside(), "x")


def test_none_is_written_afresh() -> None:
    with pytest.raises(ValueError, match="heads of its losses"):
        DeClip().check(foreign.victim())
