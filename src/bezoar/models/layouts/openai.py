"""OpenAI's: a state dict with three sizes in it, as from the tensors of their TorchScript archives, or without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from bezoar.core.frame import Frame
from bezoar.models.architecture import check, config_of
from bezoar.models.compared import image_size, registered, unlike
from bezoar.models.layouts.base import OPENAI_MEAN, OPENAI_STD, Tower, Tree
from bezoar.models.layouts.files import save_torch
from bezoar.models.layouts.names import (
    HOLDERS,
    Spot,
    at,
    facts,
    first_spot,
    in_openai_order,
    order,
    others,
    plain,
    tower_name,
)
from bezoar.models.layouts.open_clip import CONFIG

if TYPE_CHECKING:
    from bezoar.models.clip import Clip
    from bezoar.models.reading import Beside

SIZES = ("input_resolution", "context_length", "vocab_size")


@dataclass(frozen=True)
class OpenAI:
    """Files of OpenAI's code; what it writes is read by their ``build_model`` and by open_clip's loader for them."""

    name: str = "openai"
    about: str = "OpenAI's code"
    suffix: str = ".pt"

    def find(self, tree: Tree, beside: Beside) -> Tower | None:
        found = _spot(tree)
        if found is None or not (_sized(tree) or order(found.names) == "openai"):
            return None
        if beside.json(CONFIG) is not None:  # a folder of open_clip, which says what else had to be assumed
            return None
        return openai_tower(self.name, tree, found)

    def check(self, model: Clip) -> None:
        check_for_openai(model)

    def write(self, model: Clip, out: Path, told: Mapping[str, Any]) -> None:
        config = model.config or registered(model.architecture)
        text = config["text_cfg"]
        sizes = (model.frame.size, text.get("context_length", 77), text.get("vocab_size", 49_408))
        entries = {name: torch.tensor(size) for name, size in zip(SIZES, sizes, strict=True)}
        save_torch(out, {**openai_weights(model), **entries})

    def put(self, model: Clip, tree: Tree) -> Tree:
        found = _spot(tree)
        assert found is not None, "put follows find"
        return found.put(model, tree)


def openai_tower(layout: str, tree: Tree, found: Spot) -> Tower:
    """The tower at ``found``, as OpenAI's code builds it from the tensors; raises ``ValueError`` where it cannot."""
    weights = found.tensors(tree)
    config, notes = config_of(weights, quick_gelu=True)
    check(weights, config)
    unused = tuple(name for name in others(tree, found) if name not in SIZES)
    return Tower(
        layout=layout,
        weights=weights,
        config=config,
        frame=Frame(image_size(config)),
        facts=facts(tree),
        unused=unused,
        notes=("QuickGELU, as OpenAI's code has it", *notes),
    )


def openai_weights(model: Clip) -> dict[str, torch.Tensor]:
    """The weights of a tower that passed ``check_for_openai``, under OpenAI's names and in their order."""
    return in_openai_order({plain(name): tensor for name, tensor in model.tower.state_dict().items()})


def check_for_openai(model: Clip) -> None:
    """Raise ``ValueError`` where OpenAI's code would make another model of the weights, or of its pictures.

    Their code infers a tower from shapes: heads are 64 wide, activations QuickGELU, pictures and words CLIP's.
    """
    config = model.config or registered(model.architecture)
    vision, text = config["vision_cfg"], config["text_cfg"]
    if vision.get("timm_model_name"):
        raise ValueError(f"a {model.title} cannot be written so: OpenAI's code has no such image tower")
    width = text.get("width", 512)
    theirs = {
        "embed_dim": config["embed_dim"],
        "quick_gelu": True,
        "vision_cfg": {key: vision[key] for key in ("image_size", "layers", "width", "patch_size") if key in vision},
        "text_cfg": {key: text[key] for key in ("context_length", "vocab_size", "width", "layers") if key in text}
        | {"heads": width // 64},
    }
    faults = unlike(config | {"custom_text": False}, theirs)
    if not model.frame.usual:
        faults.append("its pictures are brought to size another way")
    if (tuple(model.mean), tuple(model.std)) != (OPENAI_MEAN, OPENAI_STD):
        faults.append("its pictures are normalized by other numbers")
    if faults:
        raise ValueError(f"a {model.title} cannot be written for OpenAI's code: {'; '.join(faults[:3])}")


def _spot(tree: Tree) -> Spot | None:
    found = first_spot(tree, tower_name)
    return None if found is None or any(name.startswith("text.") for name in found.names) else found


def _sized(tree: Tree) -> bool:
    return any(all(name in at(tree, path) for name in SIZES) for path in HOLDERS)
