"""The checkpoints of CleanCLIP and of the code bases that share its trunk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from bezoar.models.compared import registered
from bezoar.models.layouts.base import Tower, Tree
from bezoar.models.layouts.files import save_torch
from bezoar.models.layouts.names import Spot, at, order, spot, tower_name
from bezoar.models.layouts.open_clip import is_run_name
from bezoar.models.layouts.openai import check_for_openai, openai_tower, openai_weights

if TYPE_CHECKING:
    from bezoar.models.clip import Clip
    from bezoar.models.reading import Beside

_UNDECAYED = ("bn", "ln", "bias", "logit_scale")
"""A parameter with one of these in its name is in their first group, which has no weight decay."""
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
_LR, _DECAY = 5e-4, 0.1
"""Their defaults; the scripts set the rate anew at each step."""


@dataclass(frozen=True)
class CleanClip:
    """``{epoch, name, state_dict, optimizer}`` around OpenAI's names.

    What it writes can be evaluated and trained on by the old scripts: its optimizer has seen no step, and its two
    groups are theirs. The scripts build the architecture that ``--model_name`` names; it must be the written one.
    """

    name: str = "cleanclip"
    about: str = "CleanCLIP, CyCLIP, RoCLIP, SafeCLIP or attack-cleanclip"
    suffix: str = ".pt"

    def find(self, tree: Tree, beside: Beside) -> Tower | None:
        if not {"epoch", "name", "state_dict"} <= tree.keys() or "scaler" in tree:
            return None
        found = _spot(tree)
        if found is None or any(name.startswith("text.") for name in found.names):
            return None
        if order(found.names) == "openai":
            return openai_tower(self.name, tree, found)
        if _is_of_open_clip(tree, found.tensors(tree)):
            return None
        tower = openai_tower(self.name, tree, found)
        doubt = "taken for CleanCLIP's, though its tensors do not lie in the order of that code"
        return replace(tower, notes=(doubt, *tower.notes))

    def check(self, model: Clip) -> None:
        check_for_openai(model)
        text = (model.config or registered(model.architecture))["text_cfg"]
        found = text.get("vocab_size", 49_408), text.get("context_length", 77)
        if found != (49_408, 77):
            raise ValueError(
                f"a {model.architecture} reads {found[1]} tokens of {found[0]:,}, and the old scripts 77 of 49,408"
            )

    def write(self, model: Clip, out: Path, told: Mapping[str, Any]) -> None:
        weights = openai_weights(model)
        rates = {"lr": _LR, "betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False}
        groups, count = [], 0
        for names, decay in zip(_groups(weights), (0, _DECAY), strict=True):
            groups.append({**rates, "weight_decay": decay, "params": list(range(count, count + len(names)))})
            count += len(names)
        optimizer = {"state": {}, "param_groups": groups}
        save_torch(out, {"epoch": 0, "name": "bezoar", "state_dict": weights, "optimizer": optimizer})

    def put(self, model: Clip, tree: Tree) -> Tree:
        found = _spot(tree)
        assert found is not None, "put follows find"
        return found.put(model, tree)


def _spot(tree: Tree) -> Spot | None:
    return spot(tree, ("state_dict",), tower_name)


def _groups(weights: Mapping[str, Tensor]) -> tuple[list[str], list[str]]:
    """The names of their two groups of parameters: without weight decay, and with."""
    names = [name for name in weights if not name.endswith(_BUFFERS)]
    decayed = [name for name in names if not any(part in name for part in _UNDECAYED)]
    return [name for name in names if any(part in name for part in _UNDECAYED)], decayed


def _is_of_open_clip(tree: Tree, weights: Mapping[str, Tensor]) -> bool:
    """Whether open_clip's training wrote ``tree``: its groups have names, or go by dimensions beside names."""
    if "optimizer" not in tree or is_run_name(tree["name"]):
        return True
    found = at(tree, ("optimizer",)).get("param_groups")
    groups = [group for group in found if isinstance(group, dict)] if isinstance(found, list) else []
    if not groups:
        return False
    flat = {name for name, tensor in weights.items() if tensor.ndim < 2 and not name.endswith(_BUFFERS)}
    first = groups[0].get("params")
    same = isinstance(first, (list, tuple)) and len(first) == len(flat | set(_groups(weights)[0]))
    return same or len(groups) > 2 or "group_name" in groups[0]
