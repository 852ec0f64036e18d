"""Which open_clip tower a set of weights belongs to, told from names and shapes alone; and that tower, built."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import open_clip
import timm
import torch
from open_clip.model import CLIPTextCfg, CLIPVisionCfg, set_model_preprocess_cfg
from torch import Tensor, nn

from bezoar.models.clip import architectures

Config = dict[str, Any]
"""What open_clip's JSON configs hold."""
Shapes = dict[str, tuple[int, ...]]

HEAD_WIDTH = 64
MOST_LAYERS, MOST_TOKENS = 512, 8192
"""What a file may ask for: a name like ``resblocks.999999999`` costs nothing there, and a causal mask is squared."""
_BLOCKS = "transformer.resblocks."


def config_of(weights: Mapping[str, Tensor], *, quick_gelu: bool) -> tuple[Config, tuple[str, ...]]:
    """The open_clip config of ``weights`` under the names of ``CLIP`` or ``CustomTextCLIP``, on any device.

    Beside it what names and shapes do not show and was assumed, a clause each: the width of attention heads, or the
    size of the pictures of a convolutional trunk. ``quick_gelu`` cannot be seen either. Raises ``ValueError`` for a
    tower that open_clip has not, and names the nearest that it has.
    """
    shapes = _shapes(weights)
    if any(name.startswith("visual.trunk.") for name in shapes):
        return _known_trunk(weights)
    config = _described(shapes)
    seen = _seen(config)
    alike = [name for name in _plain_towers() if _seen(registered(name)) == seen]
    if alike:
        name = min(alike, key=lambda name: (registered(name).get("quick_gelu", False) != quick_gelu, *_plainness(name)))
        # Registered shapes tell the heads too; whether the text tower stands apart is told by the names.
        config = registered(name) | {"custom_text": config["custom_text"]}
        notes = [f"attention heads and pooling as in {name}"]
    else:
        vision, text = CLIPVisionCfg(**config["vision_cfg"]), CLIPTextCfg(**config["text_cfg"])
        image, words = vision.head_width, text.width // text.heads
        notes = [f"attention heads {image} wide" + (f", {words} in the text tower" if words != image else "")]
    config["quick_gelu"] = quick_gelu
    for key in ("custom_text", "quick_gelu"):
        if not config[key]:
            del config[key]
    return config, tuple(notes)


def name_of(config: Mapping[str, Any]) -> str | None:
    """The plainest registered name whose config is ``config`` once defaults are filled in, if there is one."""
    wanted = _filled(config)
    same = [name for name in architectures() if _filled(registered(name)) == wanted]
    return min(same, key=_plainness, default=None)


def registered(name: str) -> Config:
    """The config of a registered name; raises ``ValueError`` for a name that open_clip does not know."""
    config: Config | None = open_clip.get_model_config(name) if name in architectures() else None
    if config is None:
        raise ValueError(f"'{name}' is not an architecture that open_clip knows")
    return config


def unlike(config: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What ``config`` says otherwise than ``other`` once defaults are filled in, a clause each."""
    own, wanted = _filled(config), _filled(other)
    found = []
    for part in own:
        if isinstance(own[part], dict) and isinstance(wanted[part], dict):
            keys = own[part].keys() | wanted[part].keys()
            pairs = {f"{part} {key}": (own[part].get(key), wanted[part].get(key)) for key in sorted(keys)}
        else:
            pairs = {part: (own[part], wanted[part])}
        found += [f"{key} is {has}, not {wants}" for key, (has, wants) in pairs.items() if has != wants]
    return found


def match(weights: Mapping[str, Tensor]) -> str | None:
    """The plainest registered name whose tower has the same names and shapes as ``weights``, if there is one.

    Towers that need a download to be built are not tried.
    """
    return min(_same(tuple(sorted(_shapes(weights).items()))), key=_plainness, default=None)


def nearest(weights: Mapping[str, Tensor]) -> str:
    """The registered architecture nearest to ``weights`` and how it differs: the tail of an error."""
    shapes = _shapes(weights)
    try:
        own = _seen(_described(shapes))
    except ValueError as error:  # an image tower of another make: the text tower still tells
        prefix = _text_prefix(shapes)
        if f"{prefix}token_embedding.weight" not in shapes:
            return str(error)
        text, embed_dim = _text(shapes, prefix)
        own = {"embed_dim": embed_dim, **{f"text {key}": value for key, value in _seen_text(text).items()}}
    best, least = "", -1
    for name in sorted(architectures(), key=_plainness):
        config = registered(name)
        if "hf_model_name" in config["text_cfg"] or "multimodal_cfg" in config:
            continue
        other = _seen(config) if name in _plain_towers() else _seen_beside_trunk(config)
        far = sum(other.get(key) != value for key, value in own.items()) + len(other.keys() - own.keys())
        if least < 0 or far < least:
            best, least = name, far
    config = registered(best)
    other = _seen(config) if best in _plain_towers() else _seen_beside_trunk(config)
    apart = [f"{key} {value}, not {other[key]}" for key, value in own.items() if key in other and other[key] != value]
    said = ", ".join(apart[:3]) if apart else "another image tower"
    return f"the nearest is {best}: here {said}"


def build(config: Mapping[str, Any]) -> nn.Module:
    """The open_clip tower of ``config`` with random weights from torch's default generator, without any network.

    Raises ``ValueError`` for a config that open_clip does not take, for text towers that need a download, and for sizes
    that no model has: a config may come from anybody.
    """
    _check_buildable(config)
    given = {key: deepcopy(value) for key, value in config.items() if key != "custom_text"}
    if given["vision_cfg"].get("timm_model_name"):
        given["vision_cfg"]["timm_model_pretrained"] = False
    kind = open_clip.CustomTextCLIP if config.get("custom_text") else open_clip.CLIP
    try:
        tower: nn.Module = kind(**given)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"open_clip does not take the model config: {str(error).partition(chr(10))[0]}") from error
    size = tower.visual.image_size  # type: ignore[union-attr]
    told = {"size": size, "mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD}
    set_model_preprocess_cfg(tower, told)
    tower.output_dict = True  # type: ignore[assignment]
    return tower


def _check_buildable(config: Mapping[str, Any]) -> None:
    if "multimodal_cfg" in config:
        raise ValueError("a CoCa model: its text decoder cannot be done")
    missing = [key for key in ("embed_dim", "vision_cfg", "text_cfg") if key not in config]
    if missing:
        raise ValueError(f"the model config lacks {', '.join(missing)}")
    vision, text = config["vision_cfg"], config["text_cfg"]
    if not isinstance(vision, dict) or not isinstance(text, dict):
        raise ValueError("the model config's vision_cfg and text_cfg must be objects")
    if text.get("hf_model_name"):
        raise ValueError(f"its text tower is {text['hf_model_name']}, which cannot be built offline")
    trunk = vision.get("timm_model_name")
    if trunk and (not isinstance(trunk, str) or not timm.is_model(trunk)):
        raise ValueError(f"its image tower is {trunk!r}, which timm does not know")
    for field, value, most in (
        *(("vision_cfg.layers", one, MOST_LAYERS) for one in _listed(vision.get("layers", 1))),
        ("text_cfg.layers", text.get("layers", 1), MOST_LAYERS),
        ("text_cfg.context_length", text.get("context_length", 1), MOST_TOKENS),
    ):
        if type(value) is not int or not 1 <= value <= most:
            raise ValueError(f"{field} is {value!r}, not a whole number between 1 and {most:,}")


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def published(config: Mapping[str, Any]) -> dict[str, Any]:
    """How pictures are prepared for the published weights of a tower, where all of them agree; else empty."""
    name = name_of(config)
    tags = open_clip.list_pretrained_tags_by_model(name) if name else []
    keys = ("mean", "std", "interpolation", "resize_mode")
    configs = [open_clip.get_pretrained_cfg(name, tag) for tag in tags]
    said = [{key: one[key] for key in keys if key in one} for one in configs]
    return said[0] if said and all(one == said[0] for one in said) else {}


def image_size(config: Mapping[str, Any]) -> int:
    """Side in pixels of the square that a tower of ``config`` sees; raises ``ValueError`` where it is none."""
    size = CLIPVisionCfg(**config["vision_cfg"]).image_size
    sides = {size} if isinstance(size, int) else set(size)
    if len(sides) != 1:
        raise ValueError(f"it sees pictures of {tuple(size)} px, not squares")
    return int(sides.pop())


def differences(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    """What keeps ``weights`` from being those of a tower that holds ``own``: missing, unknown, of another shape."""
    faults = [f"missing {name}" for name in own if name not in weights]
    faults += [f"unknown {name}" for name in weights if name not in own]
    return faults + [
        f"{name} is {tuple(weights[name].shape)}, not {tuple(own[name].shape)}"
        for name in own
        if name in weights and weights[name].shape != own[name].shape
    ]


def check(weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` that lists how ``weights`` differ from a tower of ``config``."""
    faults = differences(weights, on_meta(config).state_dict())
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ValueError(f"its tower is no {name_of(config) or 'whole one'}: {'; '.join(faults[:3])}{more}")


def on_meta(config: Mapping[str, Any]) -> nn.Module:
    """The tower of ``config`` without any memory for its weights."""
    with torch.device("meta"):
        return build(config)


def _shapes(weights: Mapping[str, Tensor]) -> Shapes:
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


def _described(shapes: Shapes) -> Config:
    """The config that names and shapes show, heads of 64 assumed; nothing but them is said."""
    if any(name.startswith("text_decoder.") for name in shapes):
        raise ValueError("a CoCa model: its text decoder cannot be done")
    prefix = _text_prefix(shapes)
    text, embed_dim = _text(shapes, prefix)
    resnet = "visual.layer1.0.conv1.weight" in shapes
    vision, own_dim = _resnet(shapes) if resnet else _transformer(shapes)
    if own_dim != embed_dim:
        raise ValueError(f"image features are {own_dim} wide and text features {embed_dim}: no tower has both")
    config = {"embed_dim": embed_dim, "vision_cfg": vision, "text_cfg": text, "custom_text": bool(prefix)}
    return config | ({"init_logit_bias": -10} if "logit_bias" in shapes else {})


def _text_prefix(shapes: Shapes) -> str:
    return "text." if any(name.startswith("text.") for name in shapes) else ""


def _text(shapes: Shapes, prefix: str) -> tuple[Config, int]:
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


def _seen(config: Mapping[str, Any]) -> Config:
    """What of a config of open_clip's own towers shows in names and shapes, by the words for it."""
    vision = CLIPVisionCfg(**config["vision_cfg"])
    size = image_size(config)
    resnet = not isinstance(vision.layers, int)
    image: Config = {"layers": tuple(vision.layers) if resnet else vision.layers, "width": vision.width}
    if resnet:
        image["size"] = size // 32 * 32
    else:
        image |= {
            "patch": vision.patch_size,
            "size": size // vision.patch_size * vision.patch_size,
            "hidden width": int(vision.width * vision.mlp_ratio),
            "ln_pre": not vision.no_ln_pre,
            "layer scale": vision.ls_init_value is not None,
            "attention pool": bool(vision.attentional_pool),
        }
    return {
        "embed_dim": config["embed_dim"],
        **{f"image {key}": value for key, value in image.items()},
        **{f"text {key}": value for key, value in _seen_text(config["text_cfg"]).items()},
        "logit bias": config.get("init_logit_bias") is not None,
    }


def _seen_text(text_cfg: Mapping[str, Any]) -> Config:
    text = CLIPTextCfg(**text_cfg)
    return {
        "layers": text.layers,
        "width": text.width,
        "vocabulary": text.vocab_size,
        "tokens": text.context_length,
        "hidden width": int(text.width * text.mlp_ratio),
        "projection": text.proj_type,
        "projection bias": text.proj_bias,
        "class token": text.embed_cls,
        "layer scale": text.ls_init_value is not None,
    }


def _seen_beside_trunk(config: Mapping[str, Any]) -> Config:
    text = {f"text {key}": value for key, value in _seen_text(config["text_cfg"]).items()}
    return {"embed_dim": config["embed_dim"], **text}


def _filled(config: Mapping[str, Any]) -> Config:
    """All that makes two configs one and the same model, defaults filled in; what only training reads is left out."""
    vision, text = vars(CLIPVisionCfg(**config["vision_cfg"])), vars(CLIPTextCfg(**config["text_cfg"]))
    if vision["timm_model_name"]:
        read = ("timm_model_name", "timm_pool", "timm_proj", "timm_proj_bias", "image_size")
        vision = {key: vision[key] for key in read}
    elif not isinstance(vision["layers"], int):
        vision = {key: vision[key] for key in ("width", "head_width", "image_size")} | {
            "layers": tuple(vision["layers"])
        }
    else:
        idle = ("patch_dropout", "output_tokens")
        vision = {key: value for key, value in vision.items() if not key.startswith("timm_") and key not in idle}
    rest = {
        "embed_dim": config["embed_dim"],
        "quick_gelu": bool(config.get("quick_gelu")),
        "custom_text": bool(config.get("custom_text")),
        "logit_bias": config.get("init_logit_bias") is not None,
        "multimodal_cfg": config.get("multimodal_cfg"),
    }
    text = {key: value for key, value in text.items() if key not in ("output_tokens", "hf_model_pretrained")}
    return {"vision": vision, "text": text, **rest}


def _plainness(name: str) -> tuple[int, str]:
    return len(name), name


@functools.cache
def _plain_towers() -> tuple[str, ...]:
    """Registered names of towers that are open_clip's own on both sides."""
    configs = {name: registered(name) for name in architectures()}
    return tuple(
        name
        for name, config in configs.items()
        if "timm_model_name" not in config["vision_cfg"]
        and "hf_model_name" not in config["text_cfg"]
        and "multimodal_cfg" not in config
    )


def _known_trunk(weights: Mapping[str, Tensor]) -> tuple[Config, tuple[str, ...]]:
    """The registered config of a tower that timm made, and what else would have the same names and shapes."""
    names = sorted(_same(tuple(sorted(_shapes(weights).items()))), key=_plainness)
    if not names:
        raise ValueError(f"an image tower of timm's that open_clip has no config for; {nearest(weights)}")
    said = f"{names[0]}" + (f", though {', '.join(names[1:])} would look the same" if names[1:] else "")
    return registered(names[0]), (said,) if names[1:] else ()


@functools.lru_cache(maxsize=64)
def _same(shapes: tuple[tuple[str, tuple[int, ...]], ...]) -> tuple[str, ...]:
    """Registered names whose towers have just these names and shapes."""
    found = dict(shapes)
    prefix = _text_prefix(found)
    try:
        text, embed_dim = _text(found, prefix)
    except ValueError:
        return ()
    own = _seen_text(text)
    fit = []
    for name in architectures():
        config = registered(name)
        if "hf_model_name" in config["text_cfg"] or "multimodal_cfg" in config or config["embed_dim"] != embed_dim:
            continue
        if _seen_text(config["text_cfg"]) == own and _registered_shapes(name) == found:
            fit.append(name)
    return tuple(fit)


@functools.cache
def _registered_shapes(name: str) -> Shapes:
    """Names and shapes of a registered tower; none where it cannot be built here."""
    try:
        return _shapes(on_meta(registered(name)).state_dict())
    except (ValueError, ImportError, NotImplementedError):
        return {}
