"""The verbs as functions: what the command line does, for Python."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bezoar.attacks import Attack, Planned
from bezoar.core.files import exclusive, read_json, writable_folder
from bezoar.core.progress import Listener, silent
from bezoar.core.settings import kind_of
from bezoar.data import LabeledSource, PairsSource
from bezoar.evaluation import AttackSuccess, Evaluator, ZeroShot, looks_of, names_of
from bezoar.experiment.experiment import Device, Experiment, Stage
from bezoar.experiment.stages import Job
from bezoar.training.method import Method

if TYPE_CHECKING:
    from bezoar.attacks.plan import PoisonPlan
    from bezoar.core.records import Measure

STANDARD: tuple[Evaluator, ...] = (ZeroShot(), AttackSuccess())


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def planned(folder: str | Path) -> Planned:
    """The attack that a poison folder holds, held to the plan that is there now."""
    head = read_json(Path(folder) / "poison.json")
    return Planned(folder=str(folder), digest=str(head.get("digest", "")) if isinstance(head, dict) else "")


def poison(
    attack: Attack,
    *,
    pairs: PairsSource,
    out: str | Path,
    image_size: int = 224,
    seed: int = 0,
    allow_dead_trigger: bool = False,
) -> PoisonPlan:
    """Plan ``attack`` on ``pairs``, measure what of it reaches a model of ``image_size`` px, write it to ``out``.

    Raises ``ValueError`` when the attack does not fit the pairs, or its trigger never reaches the model.
    """
    from bezoar.attacks.preview import write_preview
    from bezoar.attacks.survival import measure, refuse_dead

    out = writable_folder(Path(out))
    opened = pairs.open()
    plan = attack.plan(opened, seed)
    survival = measure(plan, opened, image_size)
    refuse_dead(survival, allow_dead_trigger)
    with exclusive(out):
        write_preview(plan, opened, image_size, out)
        plan = plan.with_survival(survival)
        plan.save(out)
    return plan


def train(
    method: Method,
    *,
    pairs: PairsSource,
    model: str | Path,
    out: str | Path,
    attack: Attack | None = None,
    poisoned: bool = True,
    val: LabeledSource | None = None,
    evaluators: Sequence[Evaluator] = STANDARD,
    allow_dead_trigger: bool = False,
    seed: int = 0,
    threads: int | None = None,
    device: Device = "auto",
    listen: Listener = silent,
) -> Path:
    """Train ``model`` with ``method`` on ``pairs``; returns the folder of the trained model.

    ``attack`` poisons the pairs, or with ``poisoned=False`` is only measured; ``val`` is evaluated after each epoch.
    ``out`` becomes a run folder; the same call continues an interrupted one. ``threads``: all cores by default.
    """
    from bezoar.experiment.run import run

    stage = Stage(
        name=type(method).kind or "method", method=method, pairs="pairs", poison=attack is not None and poisoned
    )
    experiment = Experiment(
        name=stage.name, model=str(model), pairs={"pairs": pairs}, labeled={"validation": val} if val else {},
        attack=attack, allow_dead_trigger=allow_dead_trigger, stages=(stage,), seeds=(seed,),
        evaluators=tuple(evaluators) if val else (), select_on="validation", report_on="validation",
        threads=threads or cores(), device=device,
    )  # fmt: skip
    run(experiment, Path(out), listen=listen)
    return Job(experiment, stage, seed, Path(out)).folder / "model"


def clean(
    method: Method,
    *,
    model: str | Path,
    pairs: PairsSource,
    out: str | Path,
    against: Attack | None = None,
    val: LabeledSource | None = None,
    evaluators: Sequence[Evaluator] = STANDARD,
    seed: int = 0,
    threads: int | None = None,
    device: Device = "auto",
    listen: Listener = silent,
) -> Path:
    """Clean ``model`` with ``method`` on clean ``pairs``; returns the folder of the cleaned model.

    ``against`` is only measured, on ``val``: it never touches the pairs.
    """
    return train(
        method, pairs=pairs, model=model, out=out, attack=against, poisoned=False, val=val, evaluators=evaluators,
        seed=seed, threads=threads, device=device, listen=listen,
    )  # fmt: skip


def evaluate(
    *,
    model: str | Path,
    data: LabeledSource,
    evaluators: Sequence[Evaluator] = STANDARD,
    against: Attack | None = None,
    precision: Literal["auto", "bf16", "fp32"] = "auto",
    device: Device = "auto",
    scores: Path | None = None,
) -> tuple[Measure, ...]:
    """Measure a model on a labeled set; an attack's trigger is measured where one is given.

    ``precision`` is that of the methods by default, so that a model measures here as it did in its run.
    ``scores`` is a folder that takes the per-sample tables.
    """
    import pyarrow.parquet as pq

    from bezoar.core.files import atomic
    from bezoar.data.prepared import Prepared
    from bezoar.evaluation import Context, LabeledImages
    from bezoar.models.checkpoint import load
    from bezoar.models.clip import pick_device
    from bezoar.training.precision import autocast_for

    labeled, threat = data.open(), against.threat() if against else None
    clip, name = load(str(model)).to(pick_device(device)).eval(), kind_of(data)
    for evaluator in evaluators:
        evaluator.check({name: labeled}, {}, threat, clip.image_size)
    context = Context(
        sets={name: LabeledImages(labeled, Prepared(labeled, clip.image_size))},
        threat=threat,
        autocast=autocast_for(precision, clip.device),
        looks=looks_of(evaluators, threat),
    )
    measures: list[Measure] = []
    for evaluator, called in zip(evaluators, names_of(evaluators), strict=True):
        found = evaluator.evaluate(clip, context)
        measures += found.measures
        for table_name, rows in found.scores.items() if scores else ():
            assert scores is not None
            with atomic(scores / f"{called}.{table_name}.parquet") as stream:
                pq.write_table(rows, stream)
    return tuple(measures)
