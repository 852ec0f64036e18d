"""What a model's files hold and where it comes from, told without loading weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from bezoar.core.frame import Frame
from bezoar.models.architecture import is_elsewhere, name_of, on_meta
from bezoar.models.bundle import Bundle, sha256_of
from bezoar.models.checkpoint import HEADS, check_folder, check_shapes
from bezoar.models.clip import title_of
from bezoar.models.compared import registered
from bezoar.models.heads import parts
from bezoar.models.layouts import find
from bezoar.models.opening import Foreign, Ours, Place, Tagged, place
from bezoar.models.provenance import Step
from bezoar.models.reading import Part, skim
from bezoar.models.tokenizer import build as build_tokenizer


@dataclass(frozen=True, kw_only=True)
class TensorFacts:
    """One tensor of a file."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """One file of weights, as its skim found it."""

    path: str
    form: str
    """``safetensors``, ``torch``, ``torch legacy``, ``TorchScript``, or what else it looks like."""
    bytes: int
    sha256: str
    globals: tuple[str, ...]
    """Every global that its pickles name, in order; none of them was looked up."""
    tensors: tuple[TensorFacts, ...]
    parts: Mapping[str, Part]
    """How many tensors and bytes stand under each name at the top; under ``""`` those that are there themselves."""
    values: Mapping[str, str]
    """What is no tensor, shortened, by name."""
    faults: tuple[str, ...]
    """Why it is not read: what was found, and where."""


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What was found of a model."""

    model: str
    files: tuple[FileFacts, ...]
    layout: str | None = None
    """Where a tower was found: ``bezoar``, ``open_clip``, ``cleanclip``, …"""
    architecture: str | None = None
    """Its name, or its measures where it has none."""
    parameters: int = 0
    """Of the tower, with its buffers."""
    frame: Frame | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the file says of itself; nobody vouches for it."""
    unused: tuple[str, ...] = ()
    """What else the files hold."""
    notes: tuple[str, ...] = ()
    """What cannot be seen in the weights and would be assumed."""
    steps: tuple[Step, ...] = ()
    """The history, the oldest first."""
    faults: tuple[str, ...] = ()
    """Why it would not be loaded; empty for a model that would."""


def inspect_model(spec: str | Path) -> ModelFacts:
    """Tell what the files of a model hold, without loading weights; nothing in them is executed.

    ``spec`` as for ``load_model``. Files that would be refused are told of too: the reason stands in ``faults``.
    Raises ``ValueError`` where there is nothing to look at.
    """
    where = place(str(spec))
    bundle = where.bundle()
    files = tuple(_file(path) for path in bundle.files)
    found = ModelFacts(model=str(spec), files=files, faults=tuple(fault for one in files for fault in one.faults))
    if found.faults:
        return found
    try:
        return _ours(found, where) if isinstance(where, Ours) else _foreign(found, bundle, where)
    except ValueError as error:
        return replace(found, faults=(str(error).removeprefix("model: "),))


def _ours(found: ModelFacts, where: Ours) -> ModelFacts:
    card = check_folder(where.folder)
    return replace(
        found,
        layout="bezoar",
        architecture=card.architecture if card.config is None else title_of(card.config),
        parameters=sum(_count(tensor.shape) for one in found.files for tensor in one.tensors),
        frame=card.frame,
        mean=card.mean,
        std=card.std,
        facts={} if card.heads is None else {"heads": ", ".join(parts(skim(where.folder / HEADS).tree))},
        steps=card.steps,
    )


def _foreign(found: ModelFacts, bundle: Bundle, where: Place) -> ModelFacts:
    tower = find(bundle.skim(), bundle.beside, found.model)
    if isinstance(where, Tagged):
        tower = where.tag.applied(tower)
    named = where.architecture if isinstance(where, Foreign) else None
    name = named or name_of(tower.config)
    if named is not None and not is_elsewhere(registered(named)):  # others are built by open_clip, which may fetch them
        check_shapes(on_meta(registered(named)).state_dict(), tower.weights, named, str(found.files[0].path))
    if name is None:
        text = tower.config["text_cfg"]
        words, length = text.get("vocab_size", 49_408), text.get("context_length", 77)
        build_tokenizer("custom", words, length, True, tower.tokenizer)  # raises where none fits
    return replace(
        found,
        layout=tower.layout,
        architecture=name or title_of(tower.config),
        parameters=sum(tensor.numel() for tensor in tower.weights.values()),
        frame=tower.frame,
        mean=tower.mean,
        std=tower.std,
        facts=dict(tower.facts),
        unused=tower.unused,
        notes=tower.notes if named is None else (),
        steps=where.lineage(),
    )


def _file(path: Path) -> FileFacts:
    seen = skim(path)
    leaves = list(_leaves(seen.tree))
    return FileFacts(
        path=str(path),
        form=seen.form,
        bytes=seen.bytes,
        sha256=sha256_of(path) if path.is_file() else "",
        globals=seen.globals,
        tensors=tuple(
            TensorFacts(name=name, dtype=str(leaf.dtype).removeprefix("torch."), shape=tuple(leaf.shape))
            for name, leaf in leaves
            if isinstance(leaf, Tensor)
        ),
        parts=seen.parts(),
        values={name: _short(leaf) for name, leaf in leaves if not isinstance(leaf, Tensor)},
        faults=seen.faults,
    )


def _leaves(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every tensor and plain value in a tree, by its path; one that is in two places is told twice, a cycle once."""
    todo: list[tuple[str, Any, tuple[int, ...]]] = [(name, tree, ())]
    while todo:
        path, found, above = todo.pop()
        if isinstance(found, Mapping) and id(found) not in above:
            inner = [(f"{path}.{key}" if path else str(key), item) for key, item in found.items()]
        elif isinstance(found, (list, tuple)) and id(found) not in above and any(map(_is_deep, found)):
            inner = [(f"{path}.{place}", item) for place, item in enumerate(found)]
        else:
            yield path, found
            continue
        todo += [(path, item, (*above, id(found))) for path, item in reversed(inner)]


def _is_deep(value: object) -> bool:
    return isinstance(value, (Tensor, Mapping, list, tuple))


def _short(value: object) -> str:
    if isinstance(value, (Mapping, list, tuple)):
        return f"{type(value).__name__} of {len(value)}"
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _count(shape: tuple[int, ...]) -> int:
    total = 1
    for side in shape:
        total *= side
    return total
