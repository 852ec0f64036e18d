"""The models of a zoo as values: where each lies, how it came to be, and whether its attack works in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from bezoar.core.files import read_object, write_json
from bezoar.core.records import Measure
from bezoar.core.settings import validate

if TYPE_CHECKING:
    from bezoar.models.clip import Clip

SCHEMA = 1
INDEX = "zoo.json"
RULE = (
    "An attack takes where the lower end of its success lies above guessing, and above the upper end of what the same "
    "model does without it: with the same pictures untouched, or the same prompts without the words; a chosen picture "
    "has nothing that could be taken away. A model that is no better than guessing has no verdict."
)
"""When an attack is said to take; intervals are Wilson's, 95 %, over pictures or prompts."""

Role = Literal["clean", "poisoned", "cleaned"]
"""``cleaned``: trained further on pairs that are not the poison's, whether there was any to be cleaned away or not."""


@dataclass(frozen=True, kw_only=True)
class Poison:
    """What was done to the pairs that a model, or one it descends from, was trained on."""

    kind: str
    """Of the attack."""
    settings: dict[str, Any]
    """Of the attack, all of them."""
    plan: str
    """Digest of the plan."""
    seed: int
    count: int
    """Poisoned pairs."""
    total: int
    """All pairs."""


@dataclass(frozen=True, kw_only=True)
class ZooModel:
    """One model of a zoo and the truth about it."""

    name: str
    path: str
    """Its model folder, from the folder of the zoo."""
    role: Role
    seed: int
    method: str
    """Kind of the method that made it."""
    weights: str
    """Digest of its weights."""
    start: str | None
    """The model of the zoo that it started from."""
    parent: str | None
    """Digest of the weights that it started from."""
    poison: Poison | None
    targets: tuple[str, ...]
    """The classes that the poison calls up."""
    threat: dict[str, Any] | None
    """Settings of the attack that ``success`` is of: its own, or for a clean model one that it never met."""
    accuracy: Measure | None
    """Clean, zero-shot, top-1."""
    success: Measure | None
    """``asr_top1``, ``targeted_top1`` or ``caption_asr_top1``, by the attack."""
    without: Measure | None
    """The same share of the same model without the trigger or the words; ``None`` where it is not known."""
    takes: bool | None
    """Whether the attack works in this model, by ``RULE``; ``None`` where nothing was poisoned, or where its attack was
    not measured."""
    root: Path
    """The folder of the zoo."""

    @property
    def poisoned(self) -> bool:
        """Whether it or a model it descends from was trained on poison, however little of that is left."""
        return self.poison is not None

    @property
    def attack(self) -> str | None:
        """Kind of the attack that poisoned it."""
        return self.poison.kind if self.poison else None

    @property
    def folder(self) -> Path:
        return self.root / self.path

    def model(self) -> Clip:
        """The model; raises ``ValueError`` where its folder is missing or damaged, or holds other weights."""
        from bezoar.models.checkpoint import load_folder, read_card

        found = read_card(self.folder).weights
        if found != self.weights:
            raise ValueError(f"zoo: {self.folder} holds other weights ({found}) than {INDEX} says ({self.weights})")
        return load_folder(self.folder)


def zoo_models(folder: str | Path) -> tuple[ZooModel, ...]:
    """The models of the zoo in ``folder``, in the order of its experiment, seed by seed; no weights are read.

    Raises ``ValueError`` when it is no zoo, of a newer version, or damaged.
    """
    root = Path(folder)
    if not (root / INDEX).is_file():
        raise ValueError(f"zoo: {root} is not a zoo: it has no {INDEX}")
    entries = read_object(root / INDEX, SCHEMA).get("models")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{root / INDEX}: models must be a list of mappings")
    found = tuple(
        validate(ZooModel, {**entry, "root": str(root)}, f"{root / INDEX}: models.{number}")
        for number, entry in enumerate(entries)
    )
    for model in found:
        path = PurePosixPath(model.path)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{root / INDEX}: the path of '{model.name}' leads out of the zoo: {model.path}")
    return found


def write_index(models: Sequence[ZooModel], root: Path, facts: Mapping[str, str]) -> None:
    """Write ``zoo.json``: ``facts`` of the whole zoo, then its models."""
    plain = [{key: value for key, value in asdict(model).items() if key != "root"} for model in models]
    write_json(root / INDEX, {"schema": SCHEMA, **facts, "rule": RULE, "models": plain})
