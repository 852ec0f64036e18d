"""The verbs as functions: what the command line does, for Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bezoar.attacks import Attack, Planned
from bezoar.core.files import exclusive, read_json, sweep, writable_folder
from bezoar.core.machine import cores
from bezoar.core.progress import Listener, silent
from bezoar.core.settings import kind_of
from bezoar.data import LabeledSource, PairsSource
from bezoar.evaluation import AttackSuccess, Evaluator, Retrieval, ZeroShot, looks_of, names_of
from bezoar.experiment.experiment import Device, Experiment, Stage
from bezoar.experiment.stages import Job
from bezoar.training.method import Method

if TYPE_CHECKING:
    from bezoar.attacks.plan import PoisonPlan
    from bezoar.core.records import Measure

STANDARD: tuple[Evaluator, ...] = (ZeroShot(), AttackSuccess())
"""What is measured on a labeled set; on held-out pairs it is retrieval."""


def planned(folder: str | Path) -> Planned:
    """The attack that a poison folder holds, held to the plan that is there now."""
    if not (Path(folder) / "poison.json").exists():
        raise ValueError(f"poison: {folder} is not a poison folder: it has no poison.json")
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
    with exclusive(out):
        sweep(out)
        opened = pairs.open()
        plan = attack.plan(opened, seed)
        survival = measure(plan, opened, image_size)
        refuse_dead(survival, allow_dead_trigger)
        _refuse_other(plan, out)
        write_preview(plan, opened, image_size, out)
        plan = plan.with_survival(survival)
        plan.save(out)
    return plan


def _refuse_other(plan: PoisonPlan, out: Path) -> None:
    """Raise ``ValueError`` where ``out`` holds another plan: models trained on it name it by its digest."""
    head = out / "poison.json"
    found = read_json(head) if head.exists() else None
    if isinstance(found, dict) and found.get("digest") != plan.digest:
        raise ValueError(
            f"out: {out} holds another plan ({found.get('digest')}, not {plan.digest}); name another folder"
        )


def train(
    method: Method,
    *,
    pairs: PairsSource,
    model: str | Path,
    out: str | Path,
    attack: Attack | None = None,
    poisoned: bool = True,
    val: LabeledSource | None = None,
    held_out: PairsSource | None = None,
    evaluators: Sequence[Evaluator] | None = None,
    allow_dead_trigger: bool = False,
    seed: int = 0,
    threads: int | None = None,
    workers: int = 0,
    device: Device = "auto",
    listen: Listener = silent,
) -> Path:
    """Train ``model`` with ``method`` on ``pairs``; returns the folder of the trained model.

    ``attack`` poisons the pairs, or with ``poisoned=False`` is only measured. After each epoch accuracy and attack
    success are measured on ``val``, and retrieval on ``held_out``.
    ``out`` becomes a run folder; the same call continues an interrupted one. ``threads``: all cores by default;
    ``workers``: loader processes, on which nothing depends.
    """
    from bezoar.experiment.run import run

    stage = Stage(
        name=type(method).kind or "method", method=method, pairs="pairs", poison=attack is not None and poisoned
    )
    experiment = Experiment(
        name=stage.name, model=str(model), pairs={"pairs": pairs}, labeled={"validation": val} if val else {},
        held_out={"validation": held_out} if held_out else {},
        attack=attack, allow_dead_trigger=allow_dead_trigger, stages=(stage,), seeds=(seed,),
        evaluators=_usual(val, held_out) if evaluators is None else tuple(evaluators),
        select_on="validation", report_on="validation",
        threads=threads or cores(), workers=workers, device=device,
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
    held_out: PairsSource | None = None,
    evaluators: Sequence[Evaluator] | None = None,
    seed: int = 0,
    threads: int | None = None,
    workers: int = 0,
    device: Device = "auto",
    listen: Listener = silent,
) -> Path:
    """Clean ``model`` with ``method`` on clean ``pairs``; returns the folder of the cleaned model.

    ``against`` is only measured, on ``val``: it never touches the pairs.
    """
    return train(
        method, pairs=pairs, model=model, out=out, attack=against, poisoned=False, val=val, held_out=held_out,
        evaluators=evaluators, seed=seed, threads=threads, workers=workers, device=device, listen=listen,
    )  # fmt: skip


def _usual(labeled: LabeledSource | None, held_out: PairsSource | None) -> tuple[Evaluator, ...]:
    return (*(STANDARD if labeled else ()), *((Retrieval(),) if held_out else ()))


def evaluate(
    *,
    model: str | Path,
    data: LabeledSource | None = None,
    held_out: PairsSource | None = None,
    evaluators: Sequence[Evaluator] | None = None,
    against: Attack | None = None,
    precision: Literal["auto", "bf16", "fp32"] = "auto",
    device: Device = "auto",
    scores: Path | None = None,
) -> tuple[Measure, ...]:
    """Measure a model on a labeled set, on held-out pairs, or both; an attack's trigger where one is given.

    ``precision`` is that of the methods by default, so that a model measures here as it did in its run.
    ``scores`` is a folder that takes the per-sample tables.
    """
    import pyarrow.parquet as pq

    from bezoar.core.files import atomic
    from bezoar.data.images import Exact
    from bezoar.data.prepared import Prepared
    from bezoar.evaluation import Context, HeldOut, LabeledImages
    from bezoar.models.checkpoint import load
    from bezoar.models.clip import pick_device
    from bezoar.training.precision import autocast_for

    if data is None and held_out is None:
        raise ValueError("data: there is nothing to measure on: give a labeled set, held-out pairs, or both")
    evaluators = _usual(data, held_out) if evaluators is None else evaluators
    labeled = {kind_of(data): data.open()} if data else {}
    pairs = {kind_of(held_out): held_out.open()} if held_out else {}
    threat = against.threat() if against else None
    clip = load(str(model)).to(pick_device(device)).eval()
    size = clip.image_size
    for evaluator in evaluators:
        evaluator.check(labeled, pairs, threat, size)
    context = Context(
        sets={name: LabeledImages(found, Prepared(found, size)) for name, found in labeled.items()},
        held_out={name: HeldOut(found, Prepared(Exact(found), size)) for name, found in pairs.items()},
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
