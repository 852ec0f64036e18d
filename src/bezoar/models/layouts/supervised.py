"""What CleanCLIP's supervised fine-tuning leaves: a whole model inside a classifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bezoar.models.layouts.base import Tower, Tree
from bezoar.models.layouts.names import Spot, bare, spot, tower_name
from bezoar.models.layouts.openai import openai_tower

if TYPE_CHECKING:
    from bezoar.models.clip import Clip
    from bezoar.models.reading import Beside


@dataclass(frozen=True)
class Supervised:
    """``{state_dict}`` of ``linear.*`` and ``model.*``, the latter under OpenAI's names."""

    name: str = "supervised"
    about: str = "CleanCLIP's supervised fine-tuning"
    suffix: str = ".pt"

    def find(self, tree: Tree, beside: Beside) -> Tower | None:
        found = _spot(tree)
        if found is None or "linear.*" not in found.unused or any(name.startswith("text.") for name in found.names):
            return None
        return openai_tower(self.name, tree, found)

    def check(self, model: Clip) -> None:
        raise ValueError(
            "a finetune.pt holds a classifier too, which the model has not: put the tower into one instead"
        )

    def write(self, model: Clip, out: Path, told: Mapping[str, Any]) -> None:
        raise AssertionError("check refuses every model")

    def put(self, model: Clip, tree: Tree) -> Tree:
        found = _spot(tree)
        assert found is not None, "put follows find"
        return found.put(model, tree)


def _spot(tree: Tree) -> Spot | None:
    return spot(tree, ("state_dict",), _tower_name)


def _tower_name(key: str) -> str | None:
    name = bare(key)
    return tower_name(name.removeprefix("model.")) if name.startswith("model.") else None
