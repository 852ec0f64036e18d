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
from torch import nn

from bezoar.core.files import atomic, bytes_digest, file_digest, read_json, write_json, write_text
from bezoar.core.frame import Frame, Interpolation, Resize
from bezoar.core.records import Measure
from bezoar.core.settings import validate
from bezoar.models.architecture import build, differences, is_elsewhere, on_meta
from bezoar.models.clip import Clip, architectures, create
from bezoar.models.compared import image_size, registered
from bezoar.models.heads import Heads
from bezoar.models.layouts.base import channels
from bezoar.models.model_card import markdown
from bezoar.models.provenance import Step, versions
from bezoar.models.reading import Beside, Skim, skim

SCHEMA = 3
WEIGHTS, CARD, README, TOKENIZER = "model.safetensors", "model.json", "README.md", "tokenizer.json"
HEADS = "heads.safetensors"
"""What a training left beside the towers, which measures nothing."""

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
    heads: str | None = None
    """Digest of ``heads.safetensors``, where a training left heads beside the towers."""
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
    _write(model.tower, folder / WEIGHTS)
    heads = model.heads.state_dict()
    if heads:
        _write(model.heads, folder / HEADS)
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
        heads=file_digest(folder / HEADS) if heads else None,
        version=importlib.metadata.version("bezoar"),  # the package itself stands on every floor
        versions=versions(),
        **provenance,
    )
    write_text(folder / README, markdown(model.title, card.steps, measures))
    write_json(folder / CARD, asdict(card))
    return card


def _write(module: nn.Module, path: Path) -> None:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    with atomic(path) as stream:
        stream.write(serialize(tensors))


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
    card = validate(Card, data, str(folder / CARD))
    channels(card.mean, f"{folder / CARD}: mean")
    channels(card.std, f"{folder / CARD}: std", least=1e-6)
    return card


def load_folder(folder: Path) -> Clip:
    """The model of a folder of ours; raises ``ValueError`` where it is damaged or of another architecture."""
    card = check_folder(folder)
    tokenizer = Beside(folder).bytes(TOKENIZER) if card.tokenizer is not None else None
    if card.config is None:
        model = create(card.architecture, tokenizer_file=tokenizer)
    else:
        model = Clip(build(card.config), card.architecture, config=card.config, tokenizer_file=tokenizer)
    load_weights(model, _read(folder / WEIGHTS), str(folder))
    if card.heads is not None:
        load_heads(model, _read(folder / HEADS), str(folder / HEADS))
    model.normalize_by(card.mean, card.std)
    model.frame = card.frame
    return model


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"model: {path} cannot be read: {error}") from None


def check_folder(folder: Path) -> Card:
    """The card of a model folder whose files are what it says. No weights are loaded, and no tower is built of them.

    Raises ``ValueError`` where one is missing or another, or leads out of the folder: the card may come from anybody.
    """
    card, beside = read_card(folder), Beside(folder)
    if card.config is None and card.architecture not in architectures():
        create(card.architecture)  # says so, and names the nearest
    config = card.config or registered(card.architecture)
    tokenizer = beside.bytes(TOKENIZER) if card.tokenizer is not None else None
    if card.tokenizer is not None and (tokenizer is None or bytes_digest(tokenizer) != card.tokenizer):
        raise ValueError(f"model: {folder / TOKENIZER} is not what {CARD} describes")
    path, seen = _skimmed(beside, folder / WEIGHTS)
    if card.config is not None or not is_elsewhere(config):  # others are built by open_clip, which may fetch them
        title = card.architecture if card.config is None else "tower of its config"
        try:
            own = on_meta(config).state_dict()
        except ValueError as error:
            raise ValueError(f"model: {folder / CARD}: {error}") from None
        check_shapes(own, seen.tree, title, str(folder))
    made_for = image_size(config)
    if made_for != card.image_size:
        raise ValueError(
            f"model: {folder / CARD} says image_size {card.image_size}, but its tower is made for {made_for} px"
        )
    _check_digest(path, card.weights, folder)
    if card.heads is not None:
        _check_digest(_skimmed(beside, folder / HEADS)[0], card.heads, folder)
    return card


def _skimmed(beside: Beside, wanted: Path) -> tuple[Path, Skim]:
    path = beside.find(wanted.name)
    if path is None:
        raise ValueError(f"model: {wanted} cannot be read: it is missing")
    seen = skim(path)
    if seen.faults:
        raise ValueError(f"model: {path} cannot be read: {seen.faults[0]}")
    return path, seen


def _check_digest(path: Path, wanted: str, folder: Path) -> None:
    found = file_digest(path)
    if found != wanted:
        raise ValueError(f"model: {folder / path.name} is not what {CARD} describes (digest {found}, not {wanted})")


def check_weights(model: Clip, tensors: Mapping[str, torch.Tensor], source: str) -> None:
    """Raise ``ValueError`` that lists what is missing, extra or of another shape; only shapes are looked at."""
    check_shapes(model.tower.state_dict(), tensors, model.title, source)


def check_shapes(own: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor], title: str, source: str) -> None:
    """Raise ``ValueError`` that lists where ``tensors`` are not those of ``own``, which may lie on the meta device."""
    faults = differences(tensors, own)
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ValueError(f"model: {source} is not a {title}: {'; '.join(faults[:3])}{more}")


def load_weights(model: Clip, tensors: Mapping[str, torch.Tensor], source: str) -> None:
    """Put ``tensors`` into ``model``; floating ones of another precision are brought to the model's.

    Raises ``ValueError`` as ``check_weights`` does, or one that names what is not finite.
    """
    check_weights(model, tensors, source)
    _check_finite(tensors, source)
    model.tower.load_state_dict(tensors)
    model.source = source


def load_heads(model: Clip, tensors: Mapping[str, torch.Tensor], source: str) -> None:
    """Let ``model`` bring ``tensors`` along beside its towers; raises ``ValueError`` as ``load_weights`` does."""
    _check_finite(tensors, source)
    model.heads = Heads(tensors)


def _check_finite(tensors: Mapping[str, torch.Tensor], source: str) -> None:
    wild = next((name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()), None)
    if wild is not None:
        raise ValueError(f"model: {source} holds a NaN or an infinity in {wild}")
