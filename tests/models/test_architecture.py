"""Architectures told from names and shapes, on the meta device: no memory, no weights."""

from __future__ import annotations

from typing import Any

import open_clip
import pytest
import torch
from torch import Tensor

from bezoar.models.architecture import (
    build,
    check,
    config_of,
    differences,
    name_of,
    nearest,
    on_meta,
    published,
)
from bezoar.models.clip import architectures
from bezoar.models.compared import registered, unlike

PLAIN = tuple(
    name
    for name in architectures()
    if "timm_model_name" not in registered(name)["vision_cfg"]
    and "hf_model_name" not in registered(name)["text_cfg"]
    and "multimodal_cfg" not in registered(name)
)


def shown(config: dict[str, Any]) -> dict[str, Tensor]:
    """Names and shapes of the tower of ``config``."""
    return dict(on_meta(config).state_dict())


def changed(part: str, **values: Any) -> dict[str, Any]:
    """The config of a micro model with other values in one part."""
    config = registered("micro-vit-32")
    return config | {part: config[part] | values}


def test_every_registered_tower_is_told_from_names_and_shapes() -> None:
    assert len(PLAIN) > 50
    for name in PLAIN:
        config = registered(name)
        found, _ = config_of(shown(config), quick_gelu=bool(config.get("quick_gelu")))
        assert (name_of(found), unlike(found, config)) == (name, [])


@pytest.mark.parametrize("name", ["micro-cnn-32", "ViT-B-16-SigLIP", "convnext_base_w"])
def test_towers_of_timm_are_matched(name: str) -> None:
    weights = shown(registered(name))
    config, notes = config_of(weights, quick_gelu=False)
    assert config == registered(name)
    assert notes == {
        "micro-cnn-32": ("micro-cnn-32, though micro-cnn-64, micro-cnn-32-fast would look the same",),
        "convnext_base_w": ("convnext_base_w, though convnext_base_w_320 would look the same",),
    }.get(name, ())


def test_the_trunk_of_another_is_no_match() -> None:
    weights = shown(registered("micro-cnn-32"))
    weights["visual.trunk.fc.bias"] = torch.empty(127, device="meta")
    with pytest.raises(ValueError, match="no config for; the nearest is micro-cnn-32: here another image tower"):
        config_of(weights, quick_gelu=False)


def test_what_no_register_has_is_described() -> None:
    config = {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 35, "layers": 3, "width": 96, "patch_size": 7, "mlp_ratio": 3.3, "head_width": 96},
        "text_cfg": {"context_length": 9, "vocab_size": 500, "width": 128, "heads": 2, "layers": 1, "proj_bias": True},
        "custom_text": True,
        "quick_gelu": True,
    }
    found, notes = config_of(shown(config), quick_gelu=True)
    check(shown(config), found)
    assert name_of(found) is None
    assert notes == ("attention heads 96 wide, 64 in the text tower",)
    assert [one for one in unlike(found, config) if "mlp_ratio" not in one] == []


def test_heads_are_those_of_the_registered_tower() -> None:
    config, notes = config_of(shown(registered("micro-vit-32")), quick_gelu=True)
    assert config["vision_cfg"]["head_width"] == 32
    assert notes == ("attention heads and pooling as in micro-vit-32",)
    assert name_of(config) is None  # it is not registered with QuickGELU


def test_the_activation_decides_the_name() -> None:
    weights = shown(registered("RN50"))
    assert [name_of(config_of(weights, quick_gelu=quick)[0]) for quick in (False, True)] == ["RN50", "RN50-quickgelu"]


def test_differences_are_listed() -> None:
    weights = shown(registered("micro-vit-32"))
    found = {name: tensor for name, tensor in weights.items() if name != "visual.proj"}
    found |= {"visual.extra": torch.empty(1), "ln_final.bias": torch.empty(3)}
    assert differences(found, weights) == [
        "missing visual.proj",
        "unknown visual.extra",
        "ln_final.bias is (3,), not (64,)",
    ]
    with pytest.raises(ValueError, match=r"its tower is no micro-vit-32: missing visual\.proj; unknown visual\.extra"):
        check(found, registered("micro-vit-32"))


def test_a_tower_that_open_clip_has_not_names_the_nearest() -> None:
    config = changed("text_cfg", layers=3)
    block = shown(config) | {"visual.transformer.resblocks.0.attn.ln_q.weight": torch.empty(32, device="meta")}
    with pytest.raises(ValueError, match=r"ln_q\.weight\); the nearest is micro-vit-32: here text layers 3, not 2"):
        check(block, config)


def test_the_nearest_is_named_with_what_differs() -> None:
    config = registered("ViT-B-32")
    config["text_cfg"]["layers"] = 11
    assert nearest(shown(config)) == "the nearest is ViT-B-32: here text layers 11, not 12"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"visual.proj": None}, "it has no visual.proj"),
        ({"token_embedding.weight": (7,)}, r"token_embedding.weight is \(7,\): 2 dimensions were expected"),
        ({"visual.positional_embedding": (60, 128)}, "59 places beside the class, which are no square"),
        ({"visual.conv1.weight": (128, 3, 4, 5)}, "patches are 4×5 px, not squares"),
        ({"text_projection": (64, 77)}, "image features are 128 wide and text features 77"),
        ({"token_embedding.weight": (7, 0)}, "none of them empty"),
        ({"text_decoder.text_projection": (1, 1)}, "CoCa"),
    ],
)
def test_weights_that_contradict_themselves_are_refused(change: dict[str, Any], said: str) -> None:
    weights = shown(registered("micro-vit-32"))
    for name, shape in change.items():
        if shape is None:
            del weights[name]
        else:
            weights[name] = torch.empty(shape, device="meta")
    with pytest.raises(ValueError, match=said):
        config_of(weights, quick_gelu=False)


def test_a_block_with_a_wild_number_builds_nothing() -> None:
    weights = shown(registered("micro-vit-32"))
    weights["transformer.resblocks.999999999.ln_1.bias"] = torch.empty(64, device="meta")
    config, _ = config_of(weights, quick_gelu=False)
    with pytest.raises(ValueError, match="layers is 1000000000"):
        check(weights, config)


def test_a_built_tower_is_that_of_open_clip() -> None:
    torch.manual_seed(5)
    ours = build(registered("micro-vit-32"))
    torch.manual_seed(5)
    theirs = open_clip.create_model("micro-vit-32")
    assert all(torch.equal(tensor, theirs.state_dict()[name]) for name, tensor in ours.state_dict().items())
    pixels = torch.randn(1, 3, 32, 32)
    assert torch.equal(ours.encode_image(pixels), theirs.encode_image(pixels))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"embed_dim": 8}, "lacks vision_cfg, text_cfg"),
        (registered("coca_base"), "CoCa"),
        (registered("roberta-ViT-B-32"), "roberta-base, which cannot be built offline"),
        (registered("micro-vit-32") | {"spam": 1}, "open_clip does not take the model config: .*spam"),
        (changed("vision_cfg", layers=10**9), "vision_cfg.layers is 1000000000, not a whole number between 1 and 512"),
        (changed("vision_cfg", layers=[1, 1, 10**9, 1]), "vision_cfg.layers is 1000000000"),
        (changed("vision_cfg", layers="12"), "vision_cfg.layers is '12'"),
        (changed("vision_cfg", timm_model_name="hf-hub:somebody/something"), "which timm does not know"),
        (changed("vision_cfg", head_width=0), "open_clip does not take the model config"),
        (changed("text_cfg", context_length=10**6), "text_cfg.context_length is 1000000"),
        (changed("text_cfg", pool_type="spam"), "open_clip does not take the model config"),
        (registered("micro-vit-32") | {"text_cfg": 3}, "must be objects"),
    ],
)
def test_configs_that_cannot_be_built_are_refused(config: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        build(config)


def test_published_preprocessing_is_told_where_all_weights_share_it() -> None:
    assert published(registered("ViT-B-16-SigLIP"))["resize_mode"] == "squash"
    assert published(registered("micro-vit-32")) == {}


def test_a_name_that_nobody_registered_is_refused() -> None:
    with pytest.raises(ValueError, match="'spam' is not an architecture"):
        registered("spam")
