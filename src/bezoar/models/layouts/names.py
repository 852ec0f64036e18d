"""Where in a tree a tower stands, and under which names: what the layouts share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from bezoar.models.architecture import differences
from bezoar.models.layouts.base import Tree

if TYPE_CHECKING:
    from bezoar.models.clip import Clip

HOLDERS: tuple[tuple[str, ...], ...] = ((), ("state_dict",), ("model",), ("model_state_dict",))
"""Where training code puts a state dict."""

_ROOTS = (
    *("visual.", "text.", "text_decoder.", "transformer.", "token_embedding.", "ln_final."),
    *("positional_embedding", "text_projection", "cls_emb", "logit_scale", "logit_bias"),
)
_TEXT = ("transformer.", "token_embedding.", "ln_final.", "positional_embedding", "text_projection", "cls_emb")
_COUNTER = ".num_batches_tracked"
_ORDERS: dict[tuple[str, ...], Literal["openai", "open_clip"]] = {
    ("attn", "ln_1", "mlp", "ln_2"): "openai",
    ("ln_1", "attn", "ln_2", "mlp"): "open_clip",
}
_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Spot:
    """Where in a tree a tower stands."""

    path: tuple[str, ...]
    """Keys that lead to its state dict."""
    names: Mapping[str, str]
    """The tower's name of each tensor, and the file's."""
    unused: tuple[str, ...]
    """What else the state dict holds."""
    copies: tuple[tuple[str, ...], ...] = ()
    """Where running averages of the same state dict stand."""

    def tensors(self, tree: Tree) -> dict[str, Tensor]:
        """The tower's tensors under its own names; the scale as a scalar, as open_clip has it."""
        state = at(tree, self.path)
        found = {name: _scalar(name, state[key]) for name, key in self.names.items()}
        # torch adds these where old files lack them; done here too, so that all else that is missing can be refused
        for name in [name for name in found if name.endswith(".running_mean")]:
            counter = name.removesuffix(".running_mean") + _COUNTER
            found.setdefault(counter, torch.zeros((), dtype=torch.int64, device=found[name].device))
        return found

    def put(self, model: Clip, tree: Tree) -> Tree:
        """``tree`` with the tower replaced by ``model`` here and in the running averages; dtypes stay.

        So are heads that both have, in one shape.

        Raises ``ValueError`` where the towers differ.
        """
        own = like(model.tower.state_dict(), self.names)
        faults = differences(self.tensors(tree), own)
        if faults:
            raise ValueError(f"the file holds another tower than the {model.title}: {'; '.join(faults[:3])}")
        wanted = {bare(key): own[name] for name, key in self.names.items()}
        heads = model.heads.state_dict()
        for path in (self.path, *self.copies):
            state = at(tree, path)
            wanted |= {
                bare(key): heads[bare(key)]
                for key, item in state.items()
                if bare(key) in heads and isinstance(item, Tensor) and item.shape == heads[bare(key)].shape
            }
            tree = _with(tree, path, {key: _replaced(item, wanted.get(bare(key))) for key, item in state.items()})
        return tree


def spot(
    tree: Tree, path: tuple[str, ...], rename: Callable[[str], str | None], copies: Iterable[tuple[str, ...]] = ()
) -> Spot | None:
    """The tower in the state dict at ``path``; ``None`` if there is none.

    ``rename`` gives the tower's own name of a tensor, or ``None`` for what is no part of it.

    Raises ``ValueError`` where two tensors have one name.
    """
    state = at(tree, path)
    names: dict[str, str] = {}
    unused: dict[str, None] = {}
    for key, item in state.items():
        name = rename(key) if isinstance(item, Tensor) else None
        if name is None:
            if type(item) not in _PLAIN:
                unused[_group(key) if isinstance(item, Tensor) else key] = None
        elif name in names:
            raise ValueError(f"it holds {name} twice: as {names[name]} and as {key}")
        else:
            names[name] = key
    text = any(name == "token_embedding.weight" or name.startswith("text.") for name in names)
    if not text or not any(name.startswith("visual.") for name in names):
        return None
    rest = tuple(one for one in copies if at(tree, one))
    return Spot(path, names, tuple(unused), rest)


def first_spot(tree: Tree, rename: Callable[[str], str | None], copies: Iterable[tuple[str, ...]] = ()) -> Spot | None:
    """The tower in ``tree``, wherever training code may have put its state dict; ``None`` if there is none."""
    for path in HOLDERS:
        found = spot(tree, path, rename, copies)
        if found is not None:
            return found
    return None


def at(tree: Tree, path: tuple[str, ...]) -> Tree:
    """What stands in ``tree`` at ``path``; empty where it is no tree."""
    here: Any = tree
    for key in path:
        here = here.get(key) if isinstance(here, dict) else None
    return {key: item for key, item in here.items() if isinstance(key, str)} if isinstance(here, dict) else {}


def bare(key: str) -> str:
    """``key`` without what data-parallel training and ``torch.compile`` put into it."""
    parts = [part for part in key.split(".") if part != "_orig_mod"]
    while len(parts) > 1 and parts[0] == "module":
        del parts[0]
    return ".".join(parts)


def tower_name(key: str) -> str | None:
    """The name in open_clip's towers of a tensor that a file calls ``key``, wrappers aside."""
    name = bare(key)
    return name if name.startswith(_ROOTS) and not name.endswith("attn_mask") else None


def plain(name: str) -> str:
    """The name in ``CLIP`` of what ``CustomTextCLIP`` keeps in its text tower."""
    return name.removeprefix("text.")


def nested(name: str) -> str:
    """The name in ``CustomTextCLIP`` of what ``CLIP`` keeps beside its image tower."""
    return f"text.{name}" if name.startswith(_TEXT) else name


def like(weights: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """``weights`` under the names of ``CLIP`` or of ``CustomTextCLIP``, whichever ``names`` are."""
    rename = nested if any(name.startswith("text.") for name in names) else plain
    return {rename(name): tensor for name, tensor in weights.items()}


def order(names: Iterable[str]) -> Literal["openai", "open_clip"] | None:
    """Whose code wrote a state dict: OpenAI's has attention before the norm that comes first, open_clip after it.

    ``None`` where names were sorted, as safetensors does, or no block was found.
    """
    parts = [name.split(".")[3] for name in names if name.startswith("transformer.resblocks.0.")]
    return _ORDERS.get(tuple(dict.fromkeys(parts)))


def in_openai_order(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``weights`` of a ``CLIP`` in the order of OpenAI's code."""
    blocks = ("attn", "ln_1", "mlp", "ln_2")

    def rank(at_and_name: tuple[int, str]) -> tuple[int, int, int]:
        index, name = at_and_name
        head, mark, tail = name.partition("resblocks.")
        number, _, rest = tail.partition(".")
        if not mark:
            return index, 0, 0
        return first[head, number], blocks.index(rest.partition(".")[0]), index

    first: dict[tuple[str, str], int] = {}
    for index, name in enumerate(weights):
        head, mark, tail = name.partition("resblocks.")
        if mark:
            first.setdefault((head, tail.partition(".")[0]), index)
    return {name: weights[name] for _, name in sorted(enumerate(weights), key=rank)}


def facts(tree: Tree) -> dict[str, str | int | float]:
    """The plain values at the top of ``tree``: epoch, name, step."""
    return {key: item for key, item in tree.items() if type(item) in (str, int, float)}


def others(tree: Tree, found: Spot) -> tuple[str, ...]:
    """What ``tree`` holds beside the tower and plain values: at its top, and in the state dict."""
    here = found.path[:1]
    top = [
        key for key, item in tree.items() if here and key not in here and key not in facts(tree) and item is not None
    ]
    return (*top, *found.unused)


def _scalar(name: str, tensor: Tensor) -> Tensor:
    return tensor.reshape(()) if name in ("logit_scale", "logit_bias") and tensor.shape == (1,) else tensor


def _replaced(old: object, new: Tensor | None) -> object:
    """``new`` in the dtype and the shape of ``old``, which stays where it is no such tensor."""
    if new is None or not isinstance(old, Tensor) or old.numel() != new.numel():
        return old
    return new.detach().cpu().to(old.dtype).reshape(old.shape).contiguous()


def _with(tree: Tree, path: tuple[str, ...], state: Tree) -> Tree:
    if not path:
        return state
    return {**tree, path[0]: _with(tree[path[0]], path[1:], state)}


def _group(key: str) -> str:
    """``projector.*`` for all of its tensors."""
    first, dot, _ = bare(key).partition(".")
    return f"{first}.*" if dot else first
