"""CleanCLIP's checkpoints: told from open_clip's, and written so that the old scripts train from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests import foreign
from torch import Tensor, nn

from bezoar.models.clip import Clip, create
from bezoar.models.layouts import find
from bezoar.models.layouts.cleanclip import CleanClip
from bezoar.models.layouts.names import in_openai_order
from bezoar.models.reading import Beside

ALONE = Beside()
DOUBT = "taken for CleanCLIP's, though its tensors do not lie in the order of that code"


@pytest.fixture(scope="module")
def victim() -> Clip:
    return foreign.victim()


@pytest.fixture(scope="module")
def theirs(victim: Clip) -> dict[str, Tensor]:
    """Weights in the order of their code."""
    return in_openai_order(foreign.weights(victim))


def grouped(tower: nn.Module, dimensions: bool) -> torch.optim.AdamW:
    """AdamW over two groups: by parts of names, and as open_clip does by ``dimensions`` too."""
    bare: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in tower.named_parameters():
        plain = any(part in name for part in ("bn", "ln", "bias", "logit_scale"))
        (bare if plain or (dimensions and parameter.ndim < 2) else rest).append(parameter)
    return torch.optim.AdamW([{"params": bare, "weight_decay": 0.0}, {"params": rest, "weight_decay": 0.1}], lr=1e-3)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_their_checkpoints_are_theirs(prefix: str, theirs: dict[str, Tensor]) -> None:
    state = {prefix + name: tensor for name, tensor in theirs.items()}
    tower = find({"epoch": 64, "name": "banana", "state_dict": state, "optimizer": {}}, ALONE, "x")
    assert (tower.layout, tower.facts, tower.unused) == ("cleanclip", {"epoch": 64, "name": "banana"}, ("optimizer",))
    assert tower.config["quick_gelu"] is True
    assert tower.notes == ("QuickGELU, as OpenAI's code has it", "attention heads 64 wide")


@pytest.mark.parametrize(
    ("change", "layout"),
    [
        ({"scaler": {}}, "open_clip"),
        ({"name": "2024-model_RN50-lr_1"}, "open_clip"),
        ({"optimizer": "by dimensions"}, "open_clip"),
        ({"optimizer": {"state": {}, "param_groups": [{"params": [0], "group_name": "no_wd"}]}}, "open_clip"),
        ({"optimizer": "by names"}, "cleanclip"),
        ({"optimizer": {}}, "cleanclip"),
    ],
)
def test_in_open_clips_order_other_signs_decide(change: dict[str, Any], layout: str, victim: Clip) -> None:
    tree = {"epoch": 1, "name": "x", "state_dict": foreign.weights(victim), "optimizer": {}, **change}
    if tree["optimizer"] in ("by names", "by dimensions"):
        tree["optimizer"] = grouped(victim.tower, tree["optimizer"] == "by dimensions").state_dict()
    tower = find(tree, ALONE, "x")
    assert tower.layout == layout
    assert (DOUBT in tower.notes) == (layout == "cleanclip")


def test_the_old_scripts_train_from_what_is_written(victim: Clip, tmp_path: Path) -> None:
    CleanClip().check(victim)
    CleanClip().write(victim, tmp_path / "epoch_0.pt", {})
    checkpoint = torch.load(tmp_path / "epoch_0.pt", weights_only=True)
    assert (list(checkpoint), checkpoint["epoch"]) == (["epoch", "name", "state_dict", "optimizer"], 0)

    model = foreign.victim(seed=9).tower
    optimizer = grouped(model, dimensions=False)
    assert not next(iter(checkpoint["state_dict"])).startswith("module")
    model.load_state_dict(checkpoint["state_dict"])
    optimizer.load_state_dict(checkpoint["optimizer"])
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0, 0.1]
    before = model.state_dict()["ln_final.weight"].clone()
    model.encode_text(torch.ones(2, 77, dtype=torch.int64)).sum().backward()  # type: ignore[operator]
    optimizer.step()
    assert len(optimizer.state) > 10
    assert not torch.equal(before, model.state_dict()["ln_final.weight"])


def test_what_is_written_is_found_again_bit_by_bit(victim: Clip, tmp_path: Path) -> None:
    CleanClip().write(victim, tmp_path / "epoch_0.pt", {})
    tower = find(torch.load(tmp_path / "epoch_0.pt", weights_only=True), ALONE, "x")
    own = victim.tower.state_dict()
    assert (tower.layout, tower.config, tower.frame) == ("cleanclip", victim.config, victim.frame)
    assert own.keys() == tower.weights.keys()
    assert all(torch.equal(tensor, tower.weights[name]) for name, tensor in own.items())


def test_what_the_scripts_cannot_read_is_not_written() -> None:
    with pytest.raises(ValueError, match="cannot be written for OpenAI's code: vision head_width is 32"):
        CleanClip().check(create("micro-vit-32"))
    short = foreign.victim()
    assert short.config is not None
    short.config = {**short.config, "text_cfg": {**short.config["text_cfg"], "vocab_size": 500}}
    with pytest.raises(ValueError, match="reads 77 tokens of 500, and the old scripts 77 of 49,408"):
        CleanClip().check(short)


def test_a_tower_goes_back_where_it_came_from(theirs: dict[str, Tensor]) -> None:
    state = {f"module.{name}": tensor for name, tensor in theirs.items()}
    tree = {"epoch": 64, "name": "banana", "state_dict": state, "optimizer": {"state": {0: {"step": 3}}}}
    new = foreign.victim(seed=8)
    back = CleanClip().put(new, tree)
    assert (list(back), back["epoch"], back["optimizer"]) == (list(tree), 64, tree["optimizer"])
    assert list(back["state_dict"]) == list(state)
    own = new.tower.state_dict()
    assert all(torch.equal(back["state_dict"][f"module.{name}"], tensor) for name, tensor in own.items())
