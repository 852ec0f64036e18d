"""Any model by what a person has of it: a name, a tag, a file, a folder, a place on the hub."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from bezoar.core.machine import expand
from bezoar.models.architecture import build, name_of
from bezoar.models.bundle import Bundle
from bezoar.models.checkpoint import CARD, WEIGHTS, check_weights, load_folder, load_heads, load_weights, read_card
from bezoar.models.clip import Clip, architectures, create
from bezoar.models.layouts import find
from bezoar.models.layouts.base import Tower
from bezoar.models.pretrained import HUB, Tag, fetch_folder
from bezoar.models.provenance import Origin, Step
from bezoar.models.reading import Beside
from bezoar.models.sidecar import read_sidecar

_log = logging.getLogger(__name__)
_said: set[str] = set()


class Place(Protocol):
    """Where a model is to be had."""

    @property
    def trained(self) -> bool:
        """Whether its weights are more than random."""
        ...

    def load(self, seed: int) -> Clip:
        """The model; ``seed`` is that of random weights. Raises ``ValueError`` where it cannot be had."""
        ...

    def bundle(self) -> Bundle:
        """Its files, fetched where they are elsewhere; raises ``ValueError`` where there are none."""
        ...

    def identity(self) -> str:
        """Other weights have another one."""
        ...

    def lineage(self) -> tuple[Step, ...]:
        """Its history, the oldest step first; empty for random weights."""
        ...


@dataclass(frozen=True)
class Named:
    """Random weights of an architecture."""

    architecture: str

    @property
    def trained(self) -> bool:
        return False

    def load(self, seed: int) -> Clip:
        return create(self.architecture, seed)

    def bundle(self) -> Bundle:
        create(self.architecture)  # names the nearest, where there is none of this name
        raise ValueError(f"model: {self.architecture} is an architecture with random weights: there is no file of it")

    def identity(self) -> str:
        return self.architecture

    def lineage(self) -> tuple[Step, ...]:
        return ()


@dataclass(frozen=True)
class Ours:
    """A folder that Bezoar wrote."""

    folder: Path

    @property
    def trained(self) -> bool:
        return True

    def load(self, seed: int) -> Clip:
        return load_folder(self.folder)

    def bundle(self) -> Bundle:
        return Bundle((self.folder / WEIGHTS,), Beside(self.folder))

    def identity(self) -> str:
        card = read_card(self.folder)
        return card.weights if card.heads is None else f"{card.weights}+{card.heads}"  # a training may go on with them

    def lineage(self) -> tuple[Step, ...]:
        return read_card(self.folder).steps


@dataclass(frozen=True)
class Foreign:
    """A file or a folder that somebody else wrote, or that Bezoar wrote for others."""

    path: Path
    architecture: str | None = None
    """As the user has named it; else it is inferred."""

    @property
    def trained(self) -> bool:
        return True

    def load(self, seed: int) -> Clip:
        return assemble(self.bundle(), self.architecture, str(self.path))

    def bundle(self) -> Bundle:
        return Bundle.at(self.path)

    def identity(self) -> str:
        said = f"{self.architecture}:" if self.architecture else ""
        return said + self.bundle().sha256()

    def lineage(self) -> tuple[Step, ...]:
        bundle = self.bundle()
        known = read_sidecar(self.path, bundle.sha256())
        if known:
            return known
        tower = find(bundle.skim(), bundle.beside, str(self.path))
        return (_first_step(self.path.name, tower, bundle.sha256()),)


@dataclass(frozen=True)
class Tagged:
    """Weights that open_clip knows by a tag; fetched when they are needed."""

    tag: Tag

    @property
    def trained(self) -> bool:
        return True

    @property
    def _called(self) -> str:
        return f"{self.tag.architecture}:{self.tag.tag}"

    def load(self, seed: int) -> Clip:
        return assemble(self.bundle(), self.tag.architecture, self._called, self.tag)

    def bundle(self) -> Bundle:
        return Bundle.at(self.tag.fetch())

    def identity(self) -> str:
        return self._called

    def lineage(self) -> tuple[Step, ...]:
        bundle = self.bundle()
        tower = find(bundle.skim(), bundle.beside, self._called)
        return (_first_step(self._called, tower, bundle.sha256()),)


@dataclass(frozen=True)
class OnHub:
    """A folder of the Hugging Face hub; fetched when it is needed."""

    name: str

    @property
    def trained(self) -> bool:
        return True

    def _place(self) -> Place:
        folder = fetch_folder(self.name)
        return Ours(folder) if (folder / CARD).exists() else Foreign(folder)

    def load(self, seed: int) -> Clip:
        return self._place().load(seed)

    def bundle(self) -> Bundle:
        return self._place().bundle()

    def identity(self) -> str:
        return HUB + self.name

    def lineage(self) -> tuple[Step, ...]:
        first, *rest = self._place().lineage()
        named = first if first.origin is None else replace(first, origin=replace(first.origin, name=HUB + self.name))
        return (named, *rest)


def place(spec: str) -> Place:
    """Where the model is that ``spec`` names; ``~`` and ``$VARIABLES`` at its beginning are put in.

    A folder (of a model, or of a run that kept one) or a file; ``ARCHITECTURE:PATH`` where the architecture shall not
    be inferred; ``ARCHITECTURE`` for random weights; ``ARCHITECTURE:TAG`` for open_clip's; ``hf-hub:owner/name`` or
    ``hf-hub:owner/name@revision``.

    Raises ``ValueError`` for what is none of these; nothing is fetched or read yet.
    """
    if spec.startswith(("~", "$")):
        spec = str(expand(spec))
    path = Path(spec)
    if not spec:
        raise ValueError("model: names nothing")
    if path.is_dir():
        return _folder(path)
    if path.exists() or path.is_symlink():
        beside = path.name == WEIGHTS and (path.parent / CARD).exists()
        return Ours(path.parent) if beside else Foreign(path)
    if spec.startswith(HUB):
        return OnHub(spec.removeprefix(HUB))
    architecture, colon, rest = spec.partition(":")
    if colon and architecture in architectures():
        if not rest or not Path(rest).exists():
            _refuse_missing(rest)
            return Tagged(Tag(architecture, rest))
        if isinstance(place(rest), Ours):  # as another's it would lose its history
            raise ValueError(f"model: {rest} says itself what it is; name it without {architecture}:")
        return Foreign(Path(rest), architecture)
    _refuse_missing(spec)
    return Named(spec)


def _refuse_missing(name: str) -> None:
    """Raise ``ValueError`` for what can only have been meant as a file."""
    if name.lower().endswith((".pt", ".pth", ".bin", ".ckpt", ".safetensors", ".tar", ".zip")):
        raise ValueError(f"model: there is no file {name}")


def load_model(spec: str | Path, seed: int = 0) -> Clip:
    """The model that ``spec`` names, as for ``place``, in float32; random weights depend on ``seed`` alone.

    Nothing in a file is ever executed. Raises ``ValueError`` in one line where it does not exist, is refused, is
    damaged, or holds no tower that can be built.
    """
    return place(str(spec)).load(seed)


def assemble(bundle: Bundle, architecture: str | None, source: str, tag: Tag | None = None) -> Clip:
    """The model whose tower is in ``bundle``; its architecture is inferred unless it is named."""
    seen = find(bundle.skim(), bundle.beside, source)
    name = architecture or name_of(seen.config)
    if name is not None:
        model = create(name, tokenizer_file=seen.tokenizer)
    else:
        model = Clip(build(seen.config), "custom", config=seen.config, tokenizer_file=seen.tokenizer)
    check_weights(model, seen.weights, source)  # before they are read: checkpoints have gigabytes
    tower = find(bundle.read(), bundle.beside, source)
    load_weights(model, tower.weights, source)
    load_heads(model, tower.heads, source)
    if tag is not None:
        tower = tag.applied(tower)
    model.normalize_by(tower.mean, tower.std)
    model.frame = tower.frame
    _say(model, tower if architecture is None else replace(tower, notes=()), source)  # nothing of it was assumed
    return model


def _say(model: Clip, tower: Tower, source: str) -> None:
    """State, once a process, what a file was taken for."""
    notes = f"; {'; '.join(tower.notes)}" if tower.notes else ""
    unused = f"; not used: {', '.join(tower.unused)}" if tower.unused else ""
    said = f"{source}: {model.title}, in the {tower.layout} layout{notes}{unused}"
    if said not in _said:
        _said.add(said)
        _log.info(said)


def _first_step(name: str, tower: Tower, sha256: str) -> Step:
    return Step(weights=sha256, origin=Origin(name=name, layout=tower.layout, sha256=sha256, facts=dict(tower.facts)))


def _folder(path: Path) -> Place:
    if (path / CARD).exists():
        return Ours(path)
    of_run = [card.parent for card in sorted(path.glob(f"stages/*/model/{CARD}"))]
    if len(of_run) > 1:
        named = ", ".join(str(folder) for folder in of_run[:3]) + (", …" if len(of_run) > 3 else "")
        raise ValueError(f"model: {path} is a run folder with {len(of_run)} models; name one of {named}")
    if (path / "zoo.json").exists():
        raise ValueError(f"model: {path} is a zoo; its models are {path}/models/NAME-seedN")
    if not of_run and (path / "stages").is_dir():
        raise ValueError(f"model: {path} is a run folder that keeps no model (yet)")
    return Ours(of_run[0]) if of_run else Foreign(path)
