"""Configs of open_clip beside each other: what they show, what they are once filled in, how they differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import open_clip
from open_clip.model import CLIPTextCfg, CLIPVisionCfg

from bezoar.models.clip import architectures
from bezoar.models.described import Config


def registered(name: str) -> Config:
    """The config of a registered name; raises ``ValueError`` for a name that open_clip does not know."""
    config: Config | None = open_clip.get_model_config(name) if name in architectures() else None
    if config is None:
        raise ValueError(f"'{name}' is not an architecture that open_clip knows")
    return config


def image_size(config: Mapping[str, Any]) -> int:
    """Side in pixels of the square that a tower of ``config`` sees; raises ``ValueError`` where it is none."""
    size = CLIPVisionCfg(**config["vision_cfg"]).image_size
    sides = {size} if isinstance(size, int) else set(size)
    if len(sides) != 1:
        raise ValueError(f"it sees pictures of {tuple(size)} px, not squares")
    return int(sides.pop())


def unlike(config: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What ``config`` says otherwise than ``other`` once defaults are filled in, a clause each."""
    own, wanted = filled(config), filled(other)
    found = []
    for part in own:
        if isinstance(own[part], dict) and isinstance(wanted[part], dict):
            keys = own[part].keys() | wanted[part].keys()
            pairs = {f"{part} {key}": (own[part].get(key), wanted[part].get(key)) for key in sorted(keys)}
        else:
            pairs = {part: (own[part], wanted[part])}
        found += [f"{key} is {has}, not {wants}" for key, (has, wants) in pairs.items() if has != wants]
    return found


def seen(config: Mapping[str, Any]) -> Config:
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
        **{f"text {key}": value for key, value in seen_text(config["text_cfg"]).items()},
        "logit bias": config.get("init_logit_bias") is not None,
    }


def seen_text(text_cfg: Mapping[str, Any]) -> Config:
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


def seen_beside_trunk(config: Mapping[str, Any]) -> Config:
    text = {f"text {key}": value for key, value in seen_text(config["text_cfg"]).items()}
    return {"embed_dim": config["embed_dim"], **text}


def filled(config: Mapping[str, Any]) -> Config:
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


def plainness(name: str) -> tuple[int, str]:
    """Sorts registered names: the shortest first."""
    return len(name), name
