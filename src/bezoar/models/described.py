"""The open_clip config that the names and shapes of weights show, as far as they do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

Config = dict[str, Any]
"""What open_clip's JSON configs hold."""
Shapes = dict[str, tuple[int, ...]]

HEAD_WIDTH = 64
"""Of attention heads where nothing else is known: no shape shows it."""
_BLOCKS = "transformer.resblocks."


def shapes_of(weights: Mapping[str, Tensor]) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}


def _shape(shapes: Shapes, name: str, dims: int) -> tuple[int, ...]:
    if name not in shapes:
        raise ValueError(f"it has no {name}, which every tower of open_clip's own has")
    if len(shapes[name]) != dims or 0 in shapes[name]:
        raise ValueError(f"{name} is {shapes[name]}: {dims} dimensions were expected, and none of them empty")
    return shapes[name]


def _layers(shapes: Shapes, prefix: str) -> int:
    """How many numbered parts stand under ``prefix``; gaps count, so that they are seen as missing."""
    numbers = {name.removeprefix(prefix).partition(".")[0] for name in shapes if name.startswith(prefix)}
    return max((int(number) for number in numbers if number.isdecimal()), default=-1) + 1


def described(shapes: Shapes) -> Config:
    """The config that names and shapes show, heads of 64 assumed; nothing but them is said."""
    if any(name.startswith("text_decoder.") for name in shapes):
        raise ValueError("a CoCa model: its text decoder cannot be done")
    prefix = text_prefix(shapes)
    text, embed_dim = text_of(shapes, prefix)
    resnet = "visual.layer1.0.conv1.weight" in shapes
    vision, own_dim = _resnet(shapes) if resnet else _transformer(shapes)
    if own_dim != embed_dim:
        raise ValueError(f"image features are {own_dim} wide and text features {embed_dim}: no tower has both")
    config = {"embed_dim": embed_dim, "vision_cfg": vision, "text_cfg": text, "custom_text": bool(prefix)}
    return config | ({"init_logit_bias": -10} if "logit_bias" in shapes else {})


def text_prefix(shapes: Shapes) -> str:
    return "text." if any(name.startswith("text.") for name in shapes) else ""


def text_of(shapes: Shapes, prefix: str) -> tuple[Config, int]:
    """The text tower's config and the width of its features."""
    if not any(name.startswith(f"{prefix}{_BLOCKS}") for name in shapes):
        raise ValueError("its text tower is not one of open_clip's own")
    vocab, width = _shape(shapes, f"{prefix}token_embedding.weight", 2)
    positions = _shape(shapes, f"{prefix}positional_embedding", 2)[0]
    embeds_class = f"{prefix}cls_emb" in shapes
    text = {
        "context_length": positions - embeds_class,
        "vocab_size": vocab,
        "width": width,
        "heads": width // HEAD_WIDTH if width % HEAD_WIDTH == 0 else 1,
        "layers": _layers(shapes, f"{prefix}{_BLOCKS}"),
        **_blocks(shapes, f"{prefix}{_BLOCKS}0.", width),
    }
    if embeds_class:
        text["embed_cls"] = True
    if f"{prefix}text_projection.weight" in shapes:
        return text | {"proj_bias": True}, _shape(shapes, f"{prefix}text_projection.weight", 2)[0]
    if f"{prefix}text_projection" in shapes:
        return text, _shape(shapes, f"{prefix}text_projection", 2)[1]
    return text | {"proj_type": "none"}, width


def _resnet(shapes: Shapes) -> tuple[Config, int]:
    """The config of a ``ModifiedResNet`` and the width of its features."""
    width = _shape(shapes, "visual.layer1.0.conv1.weight", 4)[0]
    pixels = _shape(shapes, "visual.attnpool.positional_embedding", 2)[0] - 1
    embed_dim = _shape(shapes, "visual.attnpool.c_proj.weight", 2)[0]
    layers = [_layers(shapes, f"visual.layer{stage}.") for stage in (1, 2, 3, 4)]
    vision = {
        "image_size": 32 * _side(pixels, "visual.attnpool.positional_embedding"),
        "layers": layers,
        "width": width,
    }
    return vision, embed_dim


def _transformer(shapes: Shapes) -> tuple[Config, int]:
    """The config of a ``VisionTransformer`` and the width of its features."""
    width, _, patch, other = _shape(shapes, "visual.conv1.weight", 4)
    if patch != other:
        raise ValueError(f"its patches are {patch}×{other} px, not squares")
    patches = _shape(shapes, "visual.positional_embedding", 2)[0] - 1
    embed_dim = _shape(shapes, "visual.proj", 2)[1]
    vision = {
        "image_size": patch * _side(patches, "visual.positional_embedding"),
        "layers": _layers(shapes, f"visual.{_BLOCKS}"),
        "width": width,
        "patch_size": patch,
        **({} if width % HEAD_WIDTH == 0 else {"head_width": width}),
        **({} if "visual.ln_pre.weight" in shapes else {"no_ln_pre": True}),
        **_blocks(shapes, f"visual.{_BLOCKS}0.", width),
    }
    return vision, embed_dim


def _blocks(shapes: Shapes, block: str, width: int) -> Config:
    """What the first block of a transformer shows beside its width, where it is not the default."""
    hidden = _shape(shapes, f"{block}mlp.c_fc.weight", 2)[0]
    ratio = hidden / width
    if int(width * ratio) != hidden:  # rounded down once more
        ratio = (hidden + 0.5) / width
    scaled = {"ls_init_value": 1e-5} if f"{block}ls_1.gamma" in shapes else {}
    return scaled | ({"mlp_ratio": ratio} if ratio != 4.0 else {})


def _side(count: int, name: str) -> int:
    side = round(count**0.5)
    if side < 1 or side * side != count:
        raise ValueError(f"{name} has {count} places beside the class, which are no square")
    return int(side)
