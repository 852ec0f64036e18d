"""Model folders: ``model.safetensors`` and ``model.json``. Nothing in them is ever executed."""

from __future__ import annotations

import importlib.metadata
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialize

from bezoar.core.files import atomic, file_digest, read_json, write_json
from bezoar.core.settings import validate
from bezoar.models.clip import Clip, create

SCHEMA = 1
WEIGHTS, CARD = "model.safetensors", "model.json"

_Channels = Annotated[tuple[float, ...], Field(min_length=3, max_length=3)]


@dataclass(frozen=True, kw_only=True)
class Card:
    """What ``model.json`` says of a model: what it is, and how it came to be."""

    architecture: str
    image_size: int
    mean: _Channels
    std: _Channels
    weights: str
    """Digest of ``model.safetensors``."""
    method: dict[str, Any] | None = None
    """The settings of the method that made it; ``None`` for random or foreign weights."""
    parent: str | None = None
    """Weights digest of the model it started from."""
    data: str | None = None
    """Fingerprint of the pairs it was trained on."""
    poison: dict[str, Any] | None = None
    """Attack, plan digest and count, if this model or one it descends from was trained on poisoned pairs."""
    training: dict[str, Any] = field(default_factory=dict)
    """Seed, threads, precision, steps."""
    version: str = ""
    schema: int = SCHEMA


def save(model: Clip, folder: Path, **provenance: Any) -> Card:
    """Write ``model`` to ``folder``; the card comes last: a folder with a card is whole. ``provenance``: its fields."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.tower.state_dict().items()}
    with atomic(folder / WEIGHTS) as stream:
        stream.write(serialize(tensors))
    card = Card(
        architecture=model.architecture,
        image_size=model.image_size,
        mean=model.mean,
        std=model.std,
        weights=file_digest(folder / WEIGHTS),
        version=importlib.metadata.version("bezoar"),  # the package itself stands on every floor
        **provenance,
    )
    write_json(folder / CARD, asdict(card))
    return card


def read_card(folder: Path) -> Card:
    """The card of a model folder; raises ``ValueError`` when it is missing, malformed or of a newer schema."""
    data = read_json(folder / CARD)
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, dict) else None
        raise ValueError(f"{folder / CARD}: not a model card, or one of schema {found}: this version reads {SCHEMA}")
    names = {entry.name for entry in fields(Card)}
    missing = {"architecture", "weights", "image_size", "mean", "std"} - set(data)
    if missing or set(data) - names:
        odd = ", ".join(sorted(missing | (set(data) - names)))
        raise ValueError(f"{folder / CARD}: not a model card: missing or unknown field {odd}")
    return validate(Card, data, str(folder / CARD))


def load(spec: str, seed: int = 0) -> Clip:
    """A model from a folder of ours, an open_clip name, ``name:tag`` or ``hf-hub:owner/name``.

    Raises ``ValueError`` when it does not exist, is damaged, or its weights are of another architecture.
    """
    folder = Path(spec)
    if (folder / CARD).exists():
        return _load_folder(folder)
    if folder.exists():
        is_run = any(folder.glob(f"stages/*/model/{CARD}"))
        hint = f"; the models of this run are {folder}/stages/*/model" if is_run else ""
        raise ValueError(f"model: {folder} is not a model folder: it has no {CARD}{hint}")
    return create(spec, seed)


def _load_folder(folder: Path) -> Clip:
    card = read_card(folder)
    model = create(card.architecture)
    if model.image_size != card.image_size:
        raise ValueError(
            f"model: {folder} says {card.image_size} px, but a {card.architecture} is made for {model.image_size} px"
        )
    try:
        found = file_digest(folder / WEIGHTS)
        tensors = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"model: {folder / WEIGHTS} cannot be read: {error}") from None
    load_weights(model, tensors, str(folder))
    if found != card.weights:
        raise ValueError(f"model: {folder / WEIGHTS} is not what {CARD} describes (digest {found}, not {card.weights})")
    model.normalize_by(card.mean, card.std)
    return model


def load_weights(model: Clip, tensors: dict[str, torch.Tensor], source: str) -> None:
    """Put ``tensors`` into ``model``.

    Raises ``ValueError`` that lists what is missing, extra or of another shape, or names what is not finite.
    """
    own = model.tower.state_dict()
    faults = [f"missing {name}" for name in own if name not in tensors]
    faults += [f"unknown {name}" for name in tensors if name not in own]
    faults += [
        f"{name} is {tuple(tensors[name].shape)}, not {tuple(own[name].shape)}"
        for name in own
        if name in tensors and tensors[name].shape != own[name].shape
    ]
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ValueError(f"model: {source} is not a {model.architecture}: {'; '.join(faults[:3])}{more}")
    wild = next((name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()), None)
    if wild is not None:
        raise ValueError(f"model: {source} holds a NaN or an infinity in {wild}")
    model.tower.load_state_dict(tensors)
