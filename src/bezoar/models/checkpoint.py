"""Model folders: ``model.safetensors``, ``model.json`` and a card to read. Nothing in them is ever executed."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialize

from bezoar.core.files import atomic, bytes_digest, file_digest, read_json, write_json, write_text
from bezoar.core.frame import Frame, Interpolation, Resize
from bezoar.core.records import Measure
from bezoar.core.settings import validate
from bezoar.models.architecture import build
from bezoar.models.clip import Clip, create
from bezoar.models.model_card import markdown
from bezoar.models.provenance import Step, versions
from bezoar.models.reading import Beside

SCHEMA = 2
WEIGHTS, CARD, README, TOKENIZER = "model.safetensors", "model.json", "README.md", "tokenizer.json"

_Channels = Annotated[tuple[float, ...], Field(min_length=3, max_length=3)]


@dataclass(frozen=True, kw_only=True)
class Card(Step):
    """What ``model.json`` says of a model: what it is, and how it came to be."""

    architecture: str
    image_size: int
    mean: _Channels
    std: _Channels
    config: dict[str, Any] | None = None
    """open_clip's model config, where the architecture has no name."""
    resize: Resize = "shortest"
    interpolation: Interpolation = "bicubic"
    larger: int | None = None
    """With ``resize`` and ``interpolation``: the ``Frame`` of its pictures."""
    tokenizer: str | None = None
    """Digest of ``tokenizer.json``, where it reads other words than CLIP."""
    ancestors: tuple[Step, ...] = ()
    """The steps before, the oldest first."""
    schema: int = SCHEMA

    @property
    def frame(self) -> Frame:
        """How the model wants its pictures."""
        return Frame(self.image_size, self.resize, self.interpolation, self.larger)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The whole history, the oldest first; the last is this model."""
        own = Step(**{entry.name: getattr(self, entry.name) for entry in fields(Step)})
        return (*self.ancestors, own)


def save(model: Clip, folder: Path, *, measures: Sequence[Measure] = (), **provenance: Any) -> Card:
    """Write ``model`` to ``folder``; ``model.json`` comes last: a folder with one is whole.

    ``provenance``: fields of the card; ``measures`` stand in the card to read.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.tower.state_dict().items()}
    with atomic(folder / WEIGHTS) as stream:
        stream.write(serialize(tensors))
    if model.tokenizer_file is not None:
        with atomic(folder / TOKENIZER) as stream:
            stream.write(model.tokenizer_file)
    card = Card(
        architecture=model.architecture,
        config=model.config,
        image_size=model.image_size,
        resize=model.frame.resize,
        interpolation=model.frame.interpolation,
        larger=model.frame.larger,
        mean=model.mean,
        std=model.std,
        weights=file_digest(folder / WEIGHTS),
        tokenizer=file_digest(folder / TOKENIZER) if model.tokenizer_file is not None else None,
        version=importlib.metadata.version("bezoar"),  # the package itself stands on every floor
        versions=versions(),
        **provenance,
    )
    write_text(folder / README, markdown(model.title, card.steps, measures))
    write_json(folder / CARD, asdict(card))
    return card


def read_card(folder: Path) -> Card:
    """The card of a model folder; raises ``ValueError`` when it is missing, malformed or of a newer schema."""
    data = read_json(folder / CARD)
    given = data.get("schema") if isinstance(data, dict) else None
    if type(given) is not int or not 1 <= given <= SCHEMA:
        raise ValueError(f"{folder / CARD}: not a model card, or one of schema {given}: this version reads {SCHEMA}")
    names = {entry.name for entry in fields(Card)}
    missing = {"architecture", "weights", "image_size", "mean", "std"} - set(data)
    if missing or set(data) - names:
        odd = ", ".join(sorted(missing | (set(data) - names)))
        raise ValueError(f"{folder / CARD}: not a model card: missing or unknown field {odd}")
    return validate(Card, data, str(folder / CARD))


def load_folder(folder: Path) -> Clip:
    """The model of a folder of ours; raises ``ValueError`` where it is damaged or of another architecture."""
    card = read_card(folder)
    beside = Beside(folder)
    tokenizer = beside.bytes(TOKENIZER) if card.tokenizer is not None else None
    if card.tokenizer is not None and (tokenizer is None or bytes_digest(tokenizer) != card.tokenizer):
        raise ValueError(f"model: {folder / TOKENIZER} is not what {CARD} describes")
    if card.config is None:
        model = create(card.architecture, tokenizer_file=tokenizer)
    else:
        model = Clip(build(card.config), card.architecture, config=card.config, tokenizer_file=tokenizer)
    if model.image_size != card.image_size:
        raise ValueError(
            f"model: {folder} says {card.image_size} px, but a {card.architecture} is made for {model.image_size} px"
        )
    path = folder / WEIGHTS
    try:
        found = file_digest(path)
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"model: {folder / WEIGHTS} cannot be read: {error}") from None
    load_weights(model, tensors, str(folder))
    if found != card.weights:
        raise ValueError(f"model: {folder / WEIGHTS} is not what {CARD} describes (digest {found}, not {card.weights})")
    model.normalize_by(card.mean, card.std)
    model.frame = card.frame
    return model


def check_weights(model: Clip, tensors: Mapping[str, torch.Tensor], source: str) -> None:
    """Raise ``ValueError`` that lists what is missing, extra or of another shape; only shapes are looked at."""
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
        raise ValueError(f"model: {source} is not a {model.title}: {'; '.join(faults[:3])}{more}")


def load_weights(model: Clip, tensors: Mapping[str, torch.Tensor], source: str) -> None:
    """Put ``tensors`` into ``model``; floating ones of another precision are brought to the model's.

    Raises ``ValueError`` as ``check_weights`` does, or one that names what is not finite.
    """
    check_weights(model, tensors, source)
    wild = next((name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()), None)
    if wild is not None:
        raise ValueError(f"model: {source} holds a NaN or an infinity in {wild}")
    model.tower.load_state_dict(tensors)
