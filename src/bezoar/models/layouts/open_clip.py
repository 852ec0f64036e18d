"""open_clip's own: a state dict, a training checkpoint, or a folder with ``open_clip_config.json``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from torch import Tensor

from bezoar.core.files import write_json
from bezoar.core.frame import Frame, Interpolation, Resize
from bezoar.models.architecture import check, config_of, differences, on_meta, published
from bezoar.models.clip import architectures
from bezoar.models.compared import image_size, registered
from bezoar.models.layouts.base import OPENAI_MEAN, OPENAI_STD, Tower, Tree, channels
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
        if known is None:
            config, notes = _inferred(tree, weights)
            settings, larger, tokenizer = published(config), None, None
            if settings and not (_frame(config, settings, None).usual and settings["mean"] == OPENAI_MEAN):
                notes = (*notes, "pictures prepared as for its published weights")
        else:
            config, notes = _model_config(known), ()
            settings, larger = _part(known, "preprocess_cfg"), _part(known, "bezoar").get("larger")
            vocabulary = config["text_cfg"].get("vocab_size", CLIP_VOCABULARY)
            tokenizer = None if vocabulary == CLIP_VOCABULARY else beside.bytes(TOKENIZER)
        check(weights, config)
        return Tower(
            layout=self.name,
            weights=weights,
            config=config,
            frame=_frame(config, settings, larger),
            mean=channels(settings.get("mean") or OPENAI_MEAN, f"{CONFIG}: mean"),
            std=channels(settings.get("std") or OPENAI_STD, f"{CONFIG}: std", 1e-6),
            facts=facts(tree),
            unused=others(tree, found),
            notes=notes,
            tokenizer=tokenizer,
        )

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


def is_run_name(name: object) -> bool:
    """Whether open_clip's training made up ``name`` from its settings."""
    return isinstance(name, str) and _RUN_NAME.search(name) is not None


def _inferred(tree: Tree, weights: Mapping[str, Tensor]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The config of weights that came without one, and what was assumed: the run's name tells, or shapes alone."""
    name = tree.get("name")
    named = _RUN_NAME.search(name) if isinstance(name, str) else None
    if named and named[1] in architectures() and not differences(weights, on_meta(registered(named[1])).state_dict()):
        return registered(named[1]), (f"a {named[1]}, as its run name says",)
    config, notes = config_of(weights, quick_gelu=False)
    if "timm_model_name" in config["vision_cfg"]:
        return config, notes
    return config, ("GELU, though QuickGELU would look the same", *notes)


def _frame(config: Mapping[str, Any], settings: Mapping[str, Any], larger: Any) -> Frame:
    resize, interpolation = settings.get("resize_mode") or "shortest", settings.get("interpolation") or "bicubic"
    for field, value, choices in (
        ("resize_mode", resize, get_args(Resize)),
        ("interpolation", interpolation, get_args(Interpolation)),
    ):
        if value not in choices:
            raise ValueError(f"{CONFIG}: {field} is '{value}' (choices: {', '.join(choices)})")
    size = image_size(config)
    if larger is not None and (type(larger) is not int or larger < size):
        raise ValueError(f"{CONFIG}: larger is {larger}, and the model sees {size} px")
    return Frame(size, resize, interpolation, larger)  # type: ignore[arg-type]


def _part(known: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = known.get(name) or {}
    if not isinstance(found, dict):
        raise ValueError(f"{CONFIG}: {name} is not an object")
    return found
