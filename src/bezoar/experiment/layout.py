"""Where a run keeps what, and the digests by which finished work is found again."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bezoar.core.settings import Settings, digest
from bezoar.data.pairs import Source

if TYPE_CHECKING:
    from bezoar.attacks import Attack
    from bezoar.data.views import ImageView
    from bezoar.experiment.experiment import Experiment, Stage

REVISION = 3
"""Counts changes of the loop and the stages that change their results."""


@dataclass(frozen=True)
class Layout:
    """The folders of a run.

    ``experiment.yaml`` and ``environment.json`` say what it is; ``records.jsonl`` and ``steps.jsonl`` gather what the
    stages left in ``stages/NAME-DIGEST/``; ``poison/`` holds the plans, ``prepared/`` pictures at model resolution.
    """

    root: Path

    @property
    def prepared(self) -> Path:
        return self.root / "prepared"

    def poison(self, experiment: Experiment, stage: Stage, seed: int) -> Path:
        """The folder of the plan that is laid over the pairs of a stage; one for all stages that share it."""
        of = f".{slug(stage.poison)}" if isinstance(stage.poison, str) else ""
        digits = plan_digest(experiment, stage, seed)[:8]
        return self.root / "poison" / f"{slug(stage.pairs)}{of}-seed{seed}-{digits}"

    def stage(self, experiment: Experiment, stage: Stage, seed: int) -> Path:
        """The folder of a stage; another digest is another folder."""
        name = f"{slug(stage.name)}-seed{seed}-{stage_digest(experiment, stage, seed)[:8]}"
        return self.root / "stages" / name


def slug(name: str) -> str:
    """``name`` as part of a file name."""
    return re.sub(r"[^A-Za-z0-9._=+-]+", "_", name)


def random_view(experiment: Experiment, stage: Stage) -> ImageView | None:
    """The random image view that stages poisoned as this one lay over its pairs, if there is one."""
    from bezoar.data.views import ImageView, Plain

    for other in experiment.stages:
        if (other.poison, other.pairs) == (stage.poison, stage.pairs):
            for view in other.method.views():
                if isinstance(view, ImageView) and not isinstance(view, Plain):
                    return view
    return None


def plan_digest(experiment: Experiment, stage: Stage, seed: int) -> str:
    """What the plan of a stage depends on."""
    fingerprint = _fingerprint(experiment.pairs[stage.pairs])
    model, attack = model_identity(experiment.model), _attack_identity(experiment.poisoning(stage))
    return digest(attack, fingerprint, seed, model, experiment.allow_dead_trigger, random_view(experiment, stage))


def training_digest(experiment: Experiment, stage: Stage, seed: int) -> str:
    """What a stage's weights depend on, back to the first stage: settings, revisions, WordNet where it is used."""
    from bezoar.data.prepared import GEOMETRY

    return digest(
        REVISION,
        GEOMETRY,
        _left_by(experiment, stage.start, seed) if stage.start else model_identity(experiment.model),
        stage.method,
        resources(stage),
        _fingerprint(experiment.pairs[stage.pairs]),
        plan_digest(experiment, stage, seed) if stage.poison else None,
        experiment.threads,
        (experiment.compile, experiment.deterministic),
        computing(experiment, stage),
        seed,
        *(("oracle",) if stage.oracle else ()),
        *map(_fingerprint, read_by(stage.method).values()),
        *((_left_by(experiment, stage.teacher, seed),) if stage.teacher else ()),
    )


def read_by(value: object, field: str = "") -> dict[str, Source]:
    """The sources that a method or an evaluator holds, also in what it is made of, by the path of the field."""
    if isinstance(value, Source):
        return {field: value}
    parts: dict[object, object] = {}
    if isinstance(value, Settings):
        parts = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    elif isinstance(value, Mapping):
        parts = dict(value)
    elif isinstance(value, tuple):
        parts = dict(enumerate(value))
    found: dict[str, Source] = {}
    for name, part in parts.items():
        found |= read_by(part, f"{field}.{name}" if field else str(name))
    return found


def _left_by(experiment: Experiment, name: str, seed: int) -> str:
    """Of the model that stage ``name`` leaves, or that has this name."""
    found = next((stage for stage in experiment.stages if stage.name == name), None)
    if found is None:
        return model_identity(name)
    # Which model is the best depends on what is measured, and when.
    return (stage_digest if found.keep == "best" else training_digest)(experiment, found, seed)


def computing(experiment: Experiment, stage: Stage) -> tuple[str, str]:
    """The kind of device and the precision that a stage computes with here: weights of another are other weights."""
    from bezoar.models.clip import pick_device
    from bezoar.training.precision import resolve

    device = pick_device(experiment.device)
    return device.type, resolve(stage.method.precision, device)


def stage_digest(experiment: Experiment, stage: Stage, seed: int) -> str:
    """What a stage leaves behind depends on: its training and what is measured after its epochs."""
    return digest(
        training_digest(experiment, stage, seed),
        _attack_identity(experiment.threatening(stage)),
        {name: _fingerprint(source) for name, source in experiment.labeled.items()},
        {name: _fingerprint(source) for name, source in experiment.held_out.items()},
        experiment.evaluators,
        (stage.evaluate_every, stage.evaluate_steps),
        (stage.keep, stage.keep_every, stage.best_by if stage.keep == "best" else None),
        experiment.select_on if stage.keep == "best" else None,
        *(_fingerprint(each) for one in experiment.evaluators for each in {**one.sources(), **read_by(one)}.values()),
    )


_fingerprints: dict[str, str] = {}
_identities: dict[str, str] = {}


def forget() -> None:
    """Look at every source and model anew: its content may have changed since the last run of this process."""
    _fingerprints.clear()
    _identities.clear()


def _fingerprint(source: Source) -> str:
    """The fingerprint of a source's content, taken once a run."""
    key = digest(type(source).__qualname__, source)
    if key not in _fingerprints:
        _fingerprints[key] = source.open().fingerprint
    return _fingerprints[key]


def model_identity(model: str) -> str:
    """The name of a model, or a digest of the weights where it is a file or a folder; taken once a run."""
    from bezoar.models.opening import place

    if model not in _identities:
        _identities[model] = place(model).identity()
    return _identities[model]


def _attack_identity(attack: Attack | None) -> object:
    """The attack with the content of what it shows, or the digest of the plan where it is a poison folder."""
    from bezoar.attacks import Planned
    from bezoar.core.files import read_json

    if not isinstance(attack, Planned):
        shown = [_fingerprint(source) for source in attack.sources()] if attack else []
        return (attack, shown) if shown else attack
    return attack.digest or str(read_json(Path(attack.folder) / "poison.json")["digest"])


def resources(stage: Stage) -> dict[str, str | None]:
    """Digests of what the method's views read besides their settings; ``None`` for what was not found."""
    from bezoar.data.captions import CaptionView

    found: dict[str, str | None] = {}
    for view in stage.method.views():
        if isinstance(view, CaptionView):
            found |= {name: resource and resource.digest for name, resource in view.resources().items()}
    return found
