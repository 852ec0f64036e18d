"""The experiment: one value that names data, model, attack, stages, evaluators and seeds."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationError, model_validator

from bezoar.attacks import AnyAttack, Attack
from bezoar.cleaning import METHODS as CLEANING
from bezoar.core.settings import Family, Settings, dump, explain, kind_of, nearest, settings, validate
from bezoar.data import AnyLabeledSource, AnyPairsSource
from bezoar.evaluation import AnyEvaluator
from bezoar.experiment.layout import slug
from bezoar.pretraining import METHODS as PRETRAINING
from bezoar.training.method import Method
from bezoar.training.oracle import Oracle
from bezoar.training.taught import Taught

METHODS = Family("method", Method, (*PRETRAINING, *CLEANING))
AnyMethod = Annotated[Method, METHODS]

Device = Literal["auto", "cpu", "cuda"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._=+-]*$", max_length=80)]


@settings
class Stage(Settings):
    """One training run: a method, the pairs it sees, and the stage whose model it starts from."""

    added: ClassVar[frozenset[str]] = frozenset({"oracle", "teacher"})

    name: Name
    method: AnyMethod
    pairs: str
    """Name of one of the experiment's sets of pairs."""
    start: str | None = None
    """Name of an earlier stage; without it, the experiment's model."""
    poison: bool | Name = False
    """Whether the attack's plan is laid over the pairs; a name is that of one of ``attacks``."""
    threat: Name | None = None
    """Which of ``attacks`` is measured after it; by default the one it was poisoned by, or the stage it starts from."""
    oracle: bool = False
    """Whether the method is told which pairs are poisoned: for one that needs it, as ``unlearn``, and no other."""
    teacher: str | None = None
    """Whose model teaches a method that has a teacher, as ``nad``: the name of an earlier stage, or a model as the
    experiment names one."""
    grid: dict[str, tuple[Any, ...]] = Field(default_factory=dict)
    """Fields of the method, as ``lr`` or ``shrink_perturb.shrink``, and the values each takes; the stage stands for all
    their combinations."""
    evaluate_every: Annotated[int, Field(ge=1)] = 1
    """Epochs between evaluations; the last epoch is always evaluated."""
    evaluate_steps: Annotated[int, Field(ge=1)] | None = None
    """Steps between evaluations, instead of epochs."""
    keep: Literal["none", "last", "best"] = "last"
    """Which model the stage leaves: its last, the best of those evaluated, or none but its numbers."""
    keep_every: Annotated[int, Field(ge=1)] | None = None
    """Epochs between models that are kept beside it, in ``models/epoch-NNN`` of the stage's folder."""
    best_by: str = "accuracy_top1"
    """The metric by which ``best`` is chosen, on the experiment's ``select_on``."""

    def expand(self) -> Iterator[Stage]:
        """The stage itself, or one stage per point of its grid, named ``stage field=value …``."""
        if not self.grid:
            yield self
            return
        for values in itertools.product(*self.grid.values()):
            point = dict(zip(self.grid, values, strict=True))
            name = " ".join([self.name, *(f"{key}={value}" for key, value in point.items())])
            plain = dump(self.method)
            for path, value in point.items():
                _put(plain, path, value)
            yield dataclasses.replace(self, name=name, method=METHODS.parse(plain), grid={})


@settings
class Experiment(Settings):
    """Everything a run depends on. ``bezoar run`` takes it as a YAML file."""

    name: Name
    about: str = ""
    """What it shows, its cost and what to expect; for people."""
    model: str = "RN50"
    """Architecture, ``name:tag``, ``hf-hub:owner/name`` or a model folder."""
    pairs: dict[Name, AnyPairsSource]
    labeled: dict[Name, AnyLabeledSource] = Field(default_factory=dict)
    held_out: dict[Name, AnyPairsSource] = Field(default_factory=dict)
    """Pairs that no stage trains on, for retrieval; called as a labeled set, they share its place in tables."""
    attack: AnyAttack | None = None
    attacks: dict[Name, AnyAttack] = Field(default_factory=dict)
    """More attacks by name, for stages that are poisoned otherwise."""
    allow_dead_trigger: bool = False
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    evaluators: tuple[AnyEvaluator, ...] = ()
    select_on: str = "validation"
    """The labeled or held-out set on which settings are chosen."""
    report_on: str = "test"
    """The labeled or held-out set whose numbers are reported."""
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0,)
    device: Device = "auto"
    """Where models train and are measured; ``auto`` is a GPU where there is one."""
    threads: Annotated[int, Field(ge=1)] = 1
    """Computing threads of one stage; on the CPU weights depend on it, so it is part of the experiment."""
    workers: Annotated[int, Field(ge=0)] = 0
    """Loader processes of each stage, 0 for none beside the training; nothing that it leaves behind depends on them."""
    compile: bool = False
    """Whether ``torch.compile`` works on the towers: slow to begin, faster afterwards on most GPUs."""
    deterministic: bool = False
    """Whether a GPU computes the same bits every time, which is slower; a CPU does so anyway."""

    @model_validator(mode="after")
    def _names_agree(self) -> Experiment:
        before: list[str] = []
        taken: set[str] = set()
        for number, stage in enumerate(self.stages):
            where = f"stages.{number}"
            if stage.pairs not in self.pairs:
                raise ValueError(
                    f"{where}.pairs: no pairs are called '{stage.pairs}'{nearest(stage.pairs, self.pairs)}"
                )
            if any(stage.start == earlier.name and earlier.grid for earlier in self.stages[:number]):
                raise ValueError(f"{where}.start: '{stage.start}' has a grid, and a stage starts from one model")
            if stage.start is not None and stage.start not in before:
                raise ValueError(f"{where}.start: no earlier stage '{stage.start}'{nearest(stage.start, before)}")
            if stage.poison is True and self.attack is None:
                raise ValueError(f"{where}.poison: is true, but the experiment has no attack")
            _check_oracle(stage, where)
            _check_teacher(stage, self.stages[:number], self.stages[number:], where)
            for field in ("poison", "threat"):
                named = getattr(stage, field)
                if isinstance(named, str) and named not in self.attacks:
                    raise ValueError(f"{where}.{field}: no attack is called '{named}'{nearest(named, self.attacks)}")
            if stage.keep == "best" and not (self.labeled or self.held_out):
                raise ValueError(f"{where}.keep: 'best' is chosen on a labeled or held-out set, and there is none")
            keeps = next((e.keep for e in self.stages[:number] if e.name == stage.start), "last")
            if keeps == "none":
                raise ValueError(f"{where}.start: '{stage.start}' keeps no model to start from (keep: none)")
            for name in {stage.name, *_names_of_points(stage, where)}:
                if name in taken:
                    raise ValueError(f"{where}.name: '{name}' is the name of an earlier stage")
                taken.add(name)
            if not stage.grid:
                before.append(stage.name)
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds: each stands once, got {list(self.seeds)}")
        folders: dict[str, str] = {}
        for name in (point.name for stage in self.stages for point in stage.expand()):
            other = folders.setdefault(slug(name).casefold(), name)
            if other != name:
                raise ValueError(f"stages: '{other}' and '{name}' would share a folder; rename one")
        measured = dict.fromkeys([*self.labeled, *self.held_out])
        for field in ("select_on", "report_on") if measured else ():
            value = getattr(self, field)
            if value not in measured:
                raise ValueError(f"{field}: no labeled or held-out set is called '{value}'{nearest(value, measured)}")
        return self

    def expanded(self) -> tuple[Stage, ...]:
        """All stages, every grid spelt out, in the order given."""
        return tuple(point for stage in self.stages for point in stage.expand())

    def poisoning(self, stage: Stage) -> Attack | None:
        """The attack whose plan is laid over the pairs of ``stage``."""
        if isinstance(stage.poison, str):
            return self.attacks[stage.poison]
        return self.attack if stage.poison else None

    def threatening(self, stage: Stage) -> Attack | None:
        """The attack that is measured after ``stage``: named there, or that of its own pairs or its start's."""
        if stage.threat is not None:
            return self.attacks[stage.threat]
        own = self.poisoning(stage)
        if own is not None:
            return own
        start = next((earlier for earlier in self.stages if earlier.name == stage.start), None)
        return self.threatening(start) if start is not None else self.attack

    def pinned(self) -> Experiment:
        """The same experiment with what its attacks, methods and evaluators read from files named by content."""
        return dataclasses.replace(
            self,
            stages=tuple(point for stage in self.stages for point in _pinned(stage)),
            attack=self.attack.pinned() if self.attack else None,
            attacks={name: attack.pinned() for name, attack in self.attacks.items()},
            evaluators=tuple(evaluator.pinned() for evaluator in self.evaluators),
        )


def _pinned(stage: Stage) -> Iterator[Stage]:
    """The stage with its method pinned; where a point is another then, its grid spelt out: a file may be an axis."""
    points = tuple(stage.expand())
    pinned = tuple(dataclasses.replace(point, method=point.method.pinned()) for point in points)
    yield from (stage,) if pinned == points else pinned


def _check_oracle(stage: Stage, where: str) -> None:
    """Raise ``ValueError`` where a method would be told what it may not know, or not told what it needs."""
    kind, needs = kind_of(stage.method), isinstance(stage.method, Oracle)
    if needs and not stage.oracle:
        raise ValueError(
            f"{where}.oracle: '{kind}' is told which pairs are poisoned: grant it with oracle: true (--oracle)"
        )
    if stage.oracle and not needs:
        raise ValueError(f"{where}.oracle: '{kind}' takes no answer key; leave it out")
    if stage.oracle and not stage.poison:
        raise ValueError(f"{where}.poison: '{kind}' is told which pairs are poisoned, and none is (--poison)")


def _check_teacher(stage: Stage, before: Sequence[Stage], after: Sequence[Stage], where: str) -> None:
    """Raise ``ValueError`` where a method lacks its teacher, or is given one that it does not listen to."""
    kind, needs = kind_of(stage.method), isinstance(stage.method, Taught)
    if needs and stage.teacher is None:
        raise ValueError(f"{where}.teacher: '{kind}' has a teacher: name an earlier stage or a model (--teacher)")
    if stage.teacher is not None and not needs:
        raise ValueError(f"{where}.teacher: '{kind}' has no teacher; leave it out")
    found = next((earlier for earlier in before if earlier.name == stage.teacher), None)
    if found is not None and found.grid:
        raise ValueError(f"{where}.teacher: '{stage.teacher}' has a grid, and there is one teacher")
    if found is not None and found.keep == "none":
        raise ValueError(f"{where}.teacher: '{stage.teacher}' keeps no model to teach with (keep: none)")
    if stage.teacher is not None and any(later.name == stage.teacher for later in after):
        raise ValueError(f"{where}.teacher: '{stage.teacher}' is no earlier stage")


def _put(plain: dict[str, Any], path: str, value: Any) -> None:
    """Set ``path.to.field`` of a method's plain values; a part that is not there, or ``null``, begins empty."""
    *parts, last = path.split(".")
    for part in parts:
        if not isinstance(plain.get(part), dict):
            plain[part] = {}
        plain = plain[part]
    plain[last] = value


def _names_of_points(stage: Stage, where: str) -> list[str]:
    """The names of all that a stage stands for; raises ``ValueError`` for a grid that cannot be."""
    fields = [f.name for f in dataclasses.fields(stage.method)]
    for field, values in stage.grid.items():
        if field.partition(".")[0] not in fields:
            raise ValueError(f"{where}.grid: {stage.method.kind} has no field '{field}'{nearest(field, fields)}")
        odd = [value for value in values if not isinstance(value, (bool, int, float, str))]
        if odd or not values or len(set(values)) < len(values):
            got = odd[0] if odd else list(values)
            raise ValueError(f"{where}.grid.{field}: must list numbers, words or booleans, each once, got {got!r}")
    try:
        return [point.name for point in stage.expand()]
    except ValidationError as error:
        raise ValueError(explain(error, f"{where}.grid")) from None


def parse(data: Any, source: str = "") -> Experiment:
    """An experiment from plain values; raises ``ValueError``, a line a fault, each with its path."""
    if not isinstance(data, dict):
        raise ValueError(f"{source or 'experiment'}: must be a mapping of settings, got {type(data).__name__}")
    return validate(Experiment, data)


def override(data: Any, path: str, value: Any) -> None:
    """Set ``path.to.key`` in plain experiment data; entries of lists go by their ``name`` or their number.

    What is ``null`` on the way begins empty. Raises ``ValueError`` when a step before the last does not exist.
    """
    steps = path.split(".")
    at = data
    for depth, step in enumerate(steps):
        where = ".".join(steps[: depth + 1])
        if isinstance(at, list):
            names = [str(e.get("name", number) if isinstance(e, dict) else number) for number, e in enumerate(at)]
            number = names.index(step) if step in names else int(step) if step.isdecimal() else -1
            if not 0 <= number < len(at):
                raise ValueError(f"{where}: no such entry{nearest(step, names)}")
            key: Any = number
        elif isinstance(at, dict):
            key = step
            if key not in at and depth < len(steps) - 1:
                raise ValueError(f"{where}: no such key{nearest(step, map(str, at))}")
        else:
            raise ValueError(f"{'.'.join(steps[:depth]) or 'experiment'}: is {at!r}, it has no '{step}'")
        if depth == len(steps) - 1:
            at[key] = value
        else:
            at[key] = {} if at[key] is None else at[key]
            at = at[key]
