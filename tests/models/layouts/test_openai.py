"""OpenAI's layout: found, and written so that open_clip's loader for OpenAI's own files reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from open_clip.model import build_model_from_openai_state_dict
from tests import foreign
from torch import Tensor

from bezoar.core.frame import Frame
from bezoar.models.architecture import name_of, on_meta
from bezoar.models.clip import Clip, create
from bezoar.models.compared import registered
from bezoar.models.layouts import find
from bezoar.models.layouts.names import in_openai_order
from bezoar.models.layouts.openai import SIZES, OpenAI
from bezoar.models.reading import Beside

ALONE = Beside()


@pytest.fixture(scope="module", params=["RN50-quickgelu", "ViT-B-32-quickgelu"])
def model(request: pytest.FixtureRequest) -> Clip:
    return create(request.param, 1).eval()


def written(model: Clip, path: Path) -> dict[str, Tensor]:
    OpenAI().check(model)
    OpenAI().write(model, path, {})
    tree: dict[str, Tensor] = torch.load(path, weights_only=True)
    return tree


def shown(name: str) -> dict[str, Tensor]:
    return dict(on_meta(registered(name)).state_dict())


def test_their_loader_and_ours_read_what_is_written(model: Clip, tmp_path: Path) -> None:
    tree = written(model, tmp_path / "model.pt")
    tower = find(tree, ALONE, "x")
    own = model.tower.state_dict()
    assert (tower.layout, name_of(tower.config), tower.unused) == ("openai", model.architecture, ())
    assert own.keys() == tower.weights.keys()
    assert all(torch.equal(tensor, tower.weights[name]) for name, tensor in own.items())
    assert [tree[name].item() for name in SIZES] == [224, 77, 49_408]

    theirs = build_model_from_openai_state_dict(dict(tree)).float()
    theirs.load_state_dict(own)  # they round to fp16 on the way
    pictures = torch.randint(0, 256, (1, 3, 224, 224), dtype=torch.uint8)
    pixels = (pictures / 255 - torch.tensor(model.mean).view(3, 1, 1)) / torch.tensor(model.std).view(3, 1, 1)
    words = model.tokenize(["a dog"])
    words = torch.nn.functional.pad(words, (0, 77 - words.shape[1]))
    with torch.no_grad():
        assert torch.allclose(model.image_features(pictures), theirs.encode_image(pixels), atol=1e-5)
        assert torch.allclose(model.text_features(words), theirs.encode_text(words), atol=1e-5)


def test_what_has_their_sizes_or_their_order_is_theirs() -> None:
    weights = shown("RN50-quickgelu")
    sizes = {name: torch.empty((), dtype=torch.int64, device="meta") for name in SIZES}
    trees: list[dict[str, Any]] = [
        {**weights, **sizes},
        {"state_dict": {**weights, **sizes}},
        in_openai_order(weights),
        {"model": in_openai_order(weights)},
    ]
    for tree in trees:
        tower = find(tree, ALONE, "x")
        assert (tower.layout, name_of(tower.config), tower.unused) == ("openai", "RN50-quickgelu", ())
        assert tower.notes[0] == "QuickGELU, as OpenAI's code has it"
    assert find(weights, ALONE, "x").layout == "open_clip"


def test_missing_tensors_are_listed() -> None:
    tree = in_openai_order(shown("RN50-quickgelu"))
    del tree["visual.layer2.1.conv1.weight"]
    with pytest.raises(ValueError, match=r"its tower is no RN50-quickgelu: missing visual\.layer2\.1\.conv1"):
        find(tree, ALONE, "x")


def test_causal_masks_of_archives_are_left_alone() -> None:
    tree = {
        **in_openai_order(foreign.weights(foreign.victim())),
        "transformer.resblocks.0.attn_mask": torch.zeros(7, 7),
    }
    assert find(tree, ALONE, "x").layout == "openai"


def _with(change: Callable[[Clip], object]) -> Clip:
    model = foreign.victim()
    change(model)
    return model


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (foreign.micro(), "micro-vit-32 cannot be written for OpenAI's code: vision head_width is 32, not 64"),
        (create("micro-cnn-32"), "OpenAI's code has no such image tower"),
        (_with(lambda model: setattr(model, "frame", Frame(32, "squash"))), "brought to size another way"),
        (_with(lambda model: model.normalize_by((0.5,) * 3, (0.5,) * 3)), "normalized by other numbers"),
    ],
)
def test_what_their_code_would_misread_is_not_written(model: Clip, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        OpenAI().check(model)


def test_the_other_activation_is_named() -> None:
    model = foreign.victim()
    assert model.config is not None
    model.config = {**model.config, "quick_gelu": False}
    with pytest.raises(ValueError, match="quick_gelu is False, not True"):
        OpenAI().check(model)


def test_a_tower_goes_back_in_half_precision(tmp_path: Path) -> None:
    tree = {name: tensor.half() for name, tensor in foreign.weights(foreign.victim(1)).items()}
    tree |= {name: torch.tensor(1) for name in SIZES}
    new = foreign.victim(2)
    back = OpenAI().put(new, tree)
    assert torch.equal(back["ln_final.weight"], new.tower.state_dict()["ln_final.weight"].half())
    assert torch.equal(back["token_embedding.weight"], new.tower.state_dict()["token_embedding.weight"].half())
    assert list(back) == list(tree)
