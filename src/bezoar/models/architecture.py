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

from bezoar.core.seeds import stream_seed
from bezoar.models.clip import Clip, architectures, create
from bezoar.models.compared import filled, plainness, registered, seen, seen_beside_trunk, seen_text
from bezoar.models.described import Config, Shapes, described, shapes_of, text_of, text_prefix

MOST_LAYERS, MOST_TOKENS = 512, 8192
"""What a file may ask for: a name like ``resblocks.999999999`` costs nothing there, and a causal mask is squared."""


def config_of(weights: Mapping[str, Tensor], *, quick_gelu: bool) -> tuple[Config, tuple[str, ...]]:
    """The open_clip config of ``weights`` under the names of ``CLIP`` or ``CustomTextCLIP``, on any device.

    Beside it what names and shapes do not show and was assumed, a clause each: the width of attention heads, or the
    size of the pictures of a convolutional trunk. ``quick_gelu`` cannot be seen either. Raises ``ValueError`` for a
    tower that open_clip has not, and names the nearest that it has.
    """
    shapes = shapes_of(weights)
    if any(name.startswith("visual.trunk.") for name in shapes):
        return _known_trunk(weights)
    config = described(shapes)
    wanted = seen(config)
    alike = [name for name in _plain_towers() if seen(registered(name)) == wanted]
    if alike:
        name = min(alike, key=lambda name: (registered(name).get("quick_gelu", False) != quick_gelu, *plainness(name)))
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
    wanted = filled(config)
    same = [name for name in architectures() if filled(registered(name)) == wanted]
    return min(same, key=plainness, default=None)


def nearest(weights: Mapping[str, Tensor]) -> str:
    """The registered architecture nearest to ``weights`` and how it differs: the tail of an error."""
    shapes = shapes_of(weights)
    try:
        own = seen(described(shapes))
    except ValueError as error:  # an image tower of another make: the text tower still tells
        prefix = text_prefix(shapes)
        if f"{prefix}token_embedding.weight" not in shapes:
            return str(error)
        text, embed_dim = text_of(shapes, prefix)
        own = {"embed_dim": embed_dim, **{f"text {key}": value for key, value in seen_text(text).items()}}
    known = {name: _seen_of(registered(name)) for name in architectures() if not is_elsewhere(registered(name))}

    def distance(name: str) -> tuple[int, int, str]:
        other = known[name]
        return sum(other.get(key) != own.get(key) for key in own.keys() | other.keys()), *plainness(name)

    best = min(known, key=distance)
    other = known[best]
    apart = [f"{key} {value}, not {other[key]}" for key, value in own.items() if key in other and other[key] != value]
    said = ", ".join(apart[:3]) if apart else "another image tower"
    return f"the nearest is {best}: here {said}"


def _seen_of(config: Config) -> Config:
    return seen_beside_trunk(config) if "timm_model_name" in config["vision_cfg"] else seen(config)


def is_elsewhere(config: Config) -> bool:
    """Whether a part of the tower is neither open_clip's own nor timm's."""
    return "hf_model_name" in config["text_cfg"] or "multimodal_cfg" in config


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


def fresh(model: Clip, seed: int) -> nn.Module:
    """A tower of the architecture of ``model`` with random weights that depend on ``seed`` alone, on the CPU."""
    if model.config is None:
        return create(model.architecture, seed).tower
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(stream_seed(seed, "init", model.architecture))
        return build(model.config)


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
        name = name_of(config)
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        listed = f"{'; '.join(faults[:3])}{more}"
        if name is None:
            raise ValueError(f"open_clip has no such tower ({listed}); {nearest(weights)}")
        raise ValueError(f"its tower is no {name}: {listed}")


def on_meta(config: Mapping[str, Any]) -> nn.Module:
    """The tower of ``config`` without any memory for its weights."""
    with torch.device("meta"):
        return build(config)


@functools.cache
def _plain_towers() -> tuple[str, ...]:
    """Registered names of towers that are open_clip's own on both sides."""
    configs = {name: registered(name) for name in architectures()}
    return tuple(
        name
        for name, config in configs.items()
        if "timm_model_name" not in config["vision_cfg"] and not is_elsewhere(config)
    )


def _known_trunk(weights: Mapping[str, Tensor]) -> tuple[Config, tuple[str, ...]]:
    """The registered config of a tower that timm made, and what else would have the same names and shapes."""
    names = sorted(_same(tuple(sorted(shapes_of(weights).items()))), key=plainness)
    if not names:
        raise ValueError(f"an image tower of timm's that open_clip has no config for; {nearest(weights)}")
    notes = (f"{names[0]}, though {', '.join(names[1:])} would look the same",) if names[1:] else ()
    return registered(names[0]), notes


@functools.lru_cache(maxsize=64)
def _same(shapes: tuple[tuple[str, tuple[int, ...]], ...]) -> tuple[str, ...]:
    """Registered names whose towers have just these names and shapes; what needs a download is not tried."""
    found = dict(shapes)
    prefix = text_prefix(found)
    try:
        text, embed_dim = text_of(found, prefix)
    except ValueError:
        return ()
    own = seen_text(text)
    fit = []
    for name in architectures():
        config = registered(name)
        if is_elsewhere(config) or config["embed_dim"] != embed_dim or seen_text(config["text_cfg"]) != own:
            continue
        if _registered_shapes(name) == found:
            fit.append(name)
    return tuple(fit)


@functools.cache
def _registered_shapes(name: str) -> Shapes:
    """Names and shapes of a registered tower; none where it cannot be built here."""
    try:
        return shapes_of(on_meta(registered(name)).state_dict())
    except (ValueError, ImportError, NotImplementedError):
        return {}
