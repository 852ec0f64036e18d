"""open_clip's own: a state dict, a training checkpoint, or a folder with ``open_clip_config.json``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from bezoar.core.files import write_json
from bezoar.core.frame import Frame, Interpolation, Resize
from bezoar.models.architecture import check, config_of, image_size, registered
from bezoar.models.clip import architectures
from bezoar.models.layouts.base import OPENAI_MEAN, OPENAI_STD, Tower, Tree
from bezoar.models.layouts.files import save_safetensors
from bezoar.models.layouts.names import Spot, facts, first_spot, nested, others, tower_name

if TYPE_CHECKING:
    from bezoar.models.clip import Clip
    from bezoar.models.reading import Beside

CONFIG, WEIGHTS, TOKENIZER = "open_clip_config.json", "open_clip_model.safetensors", "tokenizer.json"
CLIP_VOCABULARY = 49_408
_AVERAGE = (("state_dict_ema",),)
_RUN_NAME = re.compile(r"(?:^|-)model_(.+?)-lr_")
"""What open_clip's training makes of the architecture when nobody names the run."""


@dataclass(frozen=True)
class OpenClip:
    """Files of open_clip; it writes a folder that ``open_clip.create_model("local-dir:…")`` reads."""

    name: str = "open_clip"
    about: str = "open_clip"
    suffix: str = ""

    def find(self, tree: Tree, beside: Beside) -> Tower | None:
        found = _spot(tree, beside)
        if found is None:
            return None
        weights = found.tensors(tree)
        known = beside.json(CONFIG)
        tower = Tower(
            layout=self.name, weights=weights, config={}, frame=Frame(1), facts=facts(tree), unused=others(tree, found)
        )
        if known is None:
            name = _named_in(tree)
            quick_gelu = bool(name and registered(name).get("quick_gelu"))
            config, notes = config_of(weights, quick_gelu=quick_gelu)
            activation = "QuickGELU" if quick_gelu else "GELU"
            said = f"{activation}, as its run name says" if name else "GELU: QuickGELU would look the same"
            tower = replace(tower, config=config, frame=Frame(image_size(config)), notes=(said, *notes))
        else:
            tower = _as_told(tower, known, beside)
        check(weights, tower.config)
        return tower

    def check(self, model: Clip) -> None:
        """Any model is open_clip's."""

    def write(self, model: Clip, out: Path, told: Mapping[str, Any]) -> None:
        frame = model.frame
        settings = {
            "size": [frame.size, frame.size],
            "mean": list(model.mean),
            "std": list(model.std),
            "interpolation": frame.interpolation,
            "resize_mode": frame.resize,
        }
        config = {"model_cfg": model.config or registered(model.architecture), "preprocess_cfg": settings}
        if frame.larger is not None:  # open_clip has no word for it, and leaves alone what it does not know
            config["bezoar"] = {"larger": frame.larger}
        header = {"format": "pt", **{key: str(value) for key, value in told.items()}}
        save_safetensors(out / WEIGHTS, model.tower.state_dict(), header)
        if model.tokenizer_file is not None:
            (out / TOKENIZER).write_bytes(model.tokenizer_file)
        write_json(out / CONFIG, config)

    def put(self, model: Clip, tree: Tree) -> Tree:
        found = first_spot(tree, tower_name, _AVERAGE)
        assert found is not None, "put follows find"
        return found.put(model, tree)


def _spot(tree: Tree, beside: Beside) -> Spot | None:
    """The tower; text names of before there was a ``CustomTextCLIP`` are brought to it where the config says so."""
    found = first_spot(tree, tower_name, _AVERAGE)
    known = beside.json(CONFIG)
    if found is None or known is None or not _model_config(known).get("custom_text"):
        return found
    return replace(found, names={nested(name): key for name, key in found.names.items()})


def _model_config(known: Mapping[str, Any]) -> dict[str, Any]:
    config = known.get("model_cfg")
    if not isinstance(config, dict) or not all(isinstance(config.get(key), dict) for key in ("vision_cfg", "text_cfg")):
        raise ValueError(f"{CONFIG} has no model_cfg with a vision_cfg and a text_cfg")
    return {key: value for key, value in config.items() if key != "nonscalar_logit_scale"}  # the scale is a scalar here


def _as_told(tower: Tower, known: Mapping[str, Any], beside: Beside) -> Tower:
    """``tower`` with all that the folder's config says of it."""
    config = _model_config(known)
    told, ours = known.get("preprocess_cfg") or {}, known.get("bezoar") or {}
    resize, interpolation = told.get("resize_mode") or "shortest", told.get("interpolation") or "bicubic"
    for field, value, choices in (
        ("resize_mode", resize, get_args(Resize)),
        ("interpolation", interpolation, get_args(Interpolation)),
    ):
        if value not in choices:
            raise ValueError(f"{CONFIG}: {field} is '{value}' (choices: {', '.join(choices)})")
    vocabulary = config["text_cfg"].get("vocab_size", CLIP_VOCABULARY)
    return replace(
        tower,
        config=config,
        frame=Frame(image_size(config), resize, interpolation, ours.get("larger")),
        mean=_channels(told.get("mean"), OPENAI_MEAN),
        std=_channels(told.get("std"), OPENAI_STD),
        tokenizer=None if vocabulary == CLIP_VOCABULARY else beside.bytes(TOKENIZER),
    )


def _channels(value: Any, default: tuple[float, float, float]) -> tuple[float, float, float]:
    if value is None:
        return default
    if (
        not isinstance(value, (list, tuple))
        or len(value) != 3
        or not all(isinstance(one, (int, float)) for one in value)
    ):
        raise ValueError(f"{CONFIG}: mean and std are three numbers each, got {value}")
    red, green, blue = (float(one) for one in value)
    return red, green, blue


def _named_in(tree: Tree) -> str | None:
    """The architecture in the name of a training run, where open_clip chose the name."""
    name = tree.get("name")
    found = _RUN_NAME.search(name) if isinstance(name, str) else None
    return found[1] if found and found[1] in architectures() else None
