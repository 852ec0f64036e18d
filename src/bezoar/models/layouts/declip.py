"""The checkpoints of DeCLIP's code, which the backdoor attack on DeCLIP uses too.

Source: Li et al. 2022 (arXiv 2110.05208). The image towers are OpenAI's; the text tower ends in a linear layer with a
bias, and its vocabulary has one more token, for what is masked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from bezoar.core.frame import Frame
from bezoar.models.architecture import check, config_of
from bezoar.models.compared import image_size
from bezoar.models.layouts.base import Tower, Tree
from bezoar.models.layouts.names import Spot, at, bare, facts, others, spot, tower_name

if TYPE_CHECKING:
    from bezoar.models.clip import Clip
    from bezoar.models.reading import Beside

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_TEXT = "encode_text."
_IDLE = ("visual.fc.", "visual.adaptivepool.")
"""Of the image tower, but never on the way of a picture of its size."""
_HEADS = ("projector.", "predictor.", "text_label_predictor.")
"""Of the losses: SimSiam's two, and what guesses masked words."""
_FEATURES = "_feat_"
"""In the names of activations that attention transfer leaves among the weights."""


@dataclass(frozen=True)
class DeClip:
    """``{model, optimizer, last_iter}``: towers, and beside them the heads of DeCLIP's losses."""

    name: str = "declip"
    about: str = "DeCLIP, or the backdoor attack on it"
    suffix: str = ".pth.tar"

    def find(self, tree: Tree, beside: Beside) -> Tower | None:
        found = _spot(tree)
        if found is None:
            return None
        weights = found.tensors(tree)
        config, notes = config_of(weights, quick_gelu=True)
        check(weights, config)
        size = image_size(config)
        # their evaluation resizes to 256 and crops to 224, with torchvision's default interpolation
        frame = Frame(size, interpolation="bilinear", larger=256 if size == 224 else None)
        said = ("QuickGELU, as DeCLIP's code has it", *notes)
        return Tower(
            layout=self.name,
            weights=weights,
            config=config,
            frame=frame,
            mean=MEAN,
            std=STD,
            heads={
                bare(key): item
                for key, item in at(tree, found.path).items()
                if bare(key).startswith(_HEADS) and isinstance(item, Tensor)
            },
            facts=facts(tree),
            unused=tuple(name for name in others(tree, found) if not name.startswith(_HEADS)),
            notes=said,
        )

    def check(self, model: Clip) -> None:
        raise ValueError("a DeCLIP checkpoint holds the heads of its losses too: put the tower into one instead")

    def write(self, model: Clip, out: Path, told: Mapping[str, Any]) -> None:
        raise AssertionError("check refuses every model")

    def put(self, model: Clip, tree: Tree) -> Tree:
        found = _spot(tree)
        assert found is not None, "put follows find"
        return found.put(model, tree)


def _spot(tree: Tree) -> Spot | None:
    for path in (("model",), ("state_dict",), ()):
        found = spot(tree, path, _tower_name, (("ema", "ema_state_dict"),))
        if found is not None:
            return found
    return None


def _tower_name(key: str) -> str | None:
    """Text names are those of ``CustomTextCLIP`` once ``encode_text`` is called ``text``."""
    name = bare(key)
    if name.startswith(_TEXT):
        return f"text.{name.removeprefix(_TEXT)}"
    if name.startswith(_IDLE) or _FEATURES in name or name.startswith("text."):
        return None
    return tower_name(name) if name.startswith(("visual.", "logit_scale")) else None
