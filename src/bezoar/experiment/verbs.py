"""The verbs as functions: what the command line does, for Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bezoar.attacks import Aim, Attack, Planned
from bezoar.core.files import clean_if_refused, exclusive, read_json, sweep, writable_folder
from bezoar.core.frame import Frame
from bezoar.core.machine import cores
from bezoar.core.progress import Listener, silent
from bezoar.core.settings import kind_of
from bezoar.data import LabeledSource, PairsSource
from bezoar.evaluation import (
    AttackSuccess,
    CaptionSuccess,
    ContrastiveLoss,
    Evaluator,
    Retrieval,
    TargetedSuccess,
    ZeroShot,
    looks_of,
    names_of,
)
from bezoar.experiment.experiment import Device, Experiment, Stage
from bezoar.experiment.stages import Job
from bezoar.training.method import Method

if TYPE_CHECKING:
    from bezoar.attacks.applied import Applied
    from bezoar.attacks.plan import PoisonPlan
    from bezoar.core.records import Measure
    from bezoar.data.pairs import Pairs
    from bezoar.training.method import Precision

ATTACKED: tuple[TargetedSuccess | CaptionSuccess, ...] = (TargetedSuccess(), CaptionSuccess())
"""What attacks without a trigger on pictures are measured by."""
STANDARD: tuple[Evaluator, ...] = (ZeroShot(), AttackSuccess(), *ATTACKED)
"""What is measured on a labeled set."""
HELD_OUT: tuple[Evaluator, ...] = (Retrieval(), ContrastiveLoss())
"""What is measured on held-out pairs."""


def planned(folder: str | Path) -> Planned:
    """The attack that a poison folder holds, held to the plan that is there now."""
    if not (Path(folder) / "poison.json").exists():
        raise ValueError(f"poison: {folder} is not a poison folder: it has no poison.json")
    head = read_json(Path(folder) / "poison.json")
    return Planned(folder=str(folder), digest=str(head.get("digest", "")) if isinstance(head, dict) else "")


def draft(
    attack: Attack,
    *,
    pairs: PairsSource,
    image_size: int = 224,
    seed: int = 0,
    allow_dead_trigger: bool = False,
) -> PoisonPlan:
    """Plan ``attack`` on ``pairs`` and measure what of it reaches a model of ``image_size`` px; nothing is written.

    Raises ``ValueError`` when the attack does not fit the pairs, or its trigger never reaches the model.
    """
    return _drafted(attack, pairs.open(), image_size, seed, allow_dead_trigger).plan


def _drafted(attack: Attack, pairs: Pairs, image_size: int, seed: int, allow_dead_trigger: bool) -> Applied:
    from bezoar.attacks.applied import Applied
    from bezoar.attacks.survival import measure, refuse_dead
    from bezoar.models.tokenizer import standard

    plan = attack.pinned().plan(pairs, seed)
    survival = measure(Applied(pairs, plan), Frame(image_size), tokenizer=standard())
    refuse_dead(survival, allow_dead_trigger)
    return Applied(pairs, plan.with_survival(survival))


def poison(
    attack: Attack,
    *,
    pairs: PairsSource,
    out: str | Path,
    image_size: int = 224,
    seed: int = 0,
    allow_dead_trigger: bool = False,
    sheet: bool = False,
) -> PoisonPlan:
    """Plan ``attack`` on ``pairs`` as ``draft`` does and write the plan to ``out``, with a few pictures of it.

    ``sheet`` also makes a contact sheet of them, ``preview.png``. Raises ``ValueError`` as ``draft`` does, and where
    ``out`` holds another plan.
    """
    from bezoar.attacks.contact_sheet import write_contact_sheet
    from bezoar.attacks.preview import preview, write_preview

    out, new = Path(out), not Path(out).exists()
    writable_folder(out)
    with exclusive(out), clean_if_refused(out, new):
        sweep(out)
        applied = _drafted(attack, pairs.open(), image_size, seed, allow_dead_trigger)
        plan = applied.plan
        _refuse_other(plan, out)
        rows = preview(applied, Frame(image_size))
        write_preview(rows, out)
        if sheet:
            write_contact_sheet(out / "preview.png", plan, rows)
        plan.save(out)
    return plan


def materialize(
    folder: str | Path,
    *,
    pairs: PairsSource,
    labeled: LabeledSource | None = None,
    copy: str | Path,
    form: Literal["csv", "parquet", "webdataset"] = "csv",
    image_size: int = 224,
    listen: Listener = silent,
) -> None:
    """Write the pairs, or the ``labeled`` set, as the plan in ``folder`` leaves them to the folder ``copy``.

    Pictures are PNG, resized and cropped for a model of ``image_size`` px unless they were poisoned at native size.
    Which pair of the copy is which of the plan stands in ``copy-ids.parquet`` in ``folder``; nothing in ``copy`` tells
    who is poisoned. The same call continues an interrupted one. Raises ``ValueError`` when ``copy`` holds other files.
    """
    from bezoar.attacks.applied import Applied
    from bezoar.attacks.labels import PoisonedLabels
    from bezoar.attacks.materialize import materialize as write
    from bezoar.attacks.materialize import materialize_labels
    from bezoar.attacks.plan_files import load_plan

    plan, ids = load_plan(Path(folder)), Path(folder) / "copy-ids.parquet"
    if labeled is None:
        applied = Applied(pairs.open(), plan)
        applied.check_copy()
        write(
            applied, Path(copy), ids=ids, form=form, frame=Frame(image_size), plan=plan.digest,
            seed=plan.seed, listen=listen,
        )  # fmt: skip
        return
    if form != "csv":
        raise ValueError(f"materialize: a labeled set is written as csv (labels.csv), not as {form}")
    materialize_labels(
        PoisonedLabels(labeled.open(), plan), Path(copy), ids=ids, frame=Frame(image_size), plan=plan.digest,
        seed=plan.seed, listen=listen,
    )  # fmt: skip


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
    against: Attack | None = None,
    val: LabeledSource | None = None,
    held_out: PairsSource | None = None,
    evaluators: Sequence[Evaluator] | None = None,
    allow_dead_trigger: bool = False,
    oracle: bool = False,
    teacher: str | Path | None = None,
    seed: int = 0,
    threads: int | None = None,
    workers: int = 0,
    device: Device = "auto",
    compile: bool = False,
    deterministic: bool = False,
    evaluate_every: int = 1,
    evaluate_steps: int | None = None,
    keep: Literal["none", "last", "best"] = "last",
    keep_every: int | None = None,
    best_by: str = "accuracy_top1",
    listen: Listener = silent,
) -> Path:
    """Train ``model`` with ``method`` on ``pairs``; returns the folder of the trained model.

    ``attack`` poisons the pairs; it is measured too, unless ``against`` names another that is. After each epoch
    accuracy and attack success are measured on ``val``, and retrieval on ``held_out``. ``oracle`` tells the method
    which pairs are poisoned: for one that needs it, and no other; ``teacher`` is the model that teaches one that has a
    teacher.
    ``out`` becomes a run folder; the same call continues an interrupted one. ``threads``: all cores by default;
    ``workers``: loader processes, on which nothing depends. ``keep`` and what follows: as the fields of a ``Stage``;
    where ``none`` is kept, the folder that is returned does not exist. Started by ``torchrun``, the processes train
    together.
    """
    from bezoar.experiment.run import run

    stage = Stage(
        name=type(method).kind or "method", method=method, pairs="pairs", poison=attack is not None,
        teacher=str(teacher) if teacher is not None else None,
        threat="against" if against is not None else None, oracle=oracle,
        evaluate_every=evaluate_every, evaluate_steps=evaluate_steps, keep=keep, keep_every=keep_every, best_by=best_by,
    )  # fmt: skip
    experiment = Experiment(
        name=stage.name, model=str(model), pairs={"pairs": pairs}, labeled={"validation": val} if val else {},
        held_out={"validation": held_out} if held_out else {},
        attack=attack, attacks={"against": against} if against else {}, allow_dead_trigger=allow_dead_trigger,
        stages=(stage,), seeds=(seed,),
        evaluators=_usual(val, held_out) if evaluators is None else tuple(evaluators),
        select_on="validation", report_on="validation",
        threads=cores() if threads is None else threads, workers=workers, device=device, compile=compile,
        deterministic=deterministic,
    ).pinned()  # fmt: skip
    run(experiment, Path(out), listen=listen)
    return Job(experiment, experiment.stages[0], seed, Path(out)).folder / "model"  # whose method is pinned too


def clean(
    method: Method,
    *,
    model: str | Path,
    pairs: PairsSource,
    out: str | Path,
    against: Attack | None = None,
    left: Attack | None = None,
    val: LabeledSource | None = None,
    held_out: PairsSource | None = None,
    evaluators: Sequence[Evaluator] | None = None,
    oracle: bool = False,
    teacher: str | Path | None = None,
    seed: int = 0,
    threads: int | None = None,
    workers: int = 0,
    device: Device = "auto",
    compile: bool = False,
    deterministic: bool = False,
    evaluate_every: int = 1,
    evaluate_steps: int | None = None,
    keep: Literal["none", "last", "best"] = "last",
    keep_every: int | None = None,
    best_by: str = "accuracy_top1",
    listen: Listener = silent,
) -> Path:
    """Clean ``model`` with ``method`` on clean ``pairs``; returns the folder of the cleaned model.

    ``against`` is only measured, on ``val``: it never touches the pairs. ``left`` poisons them: what a defender
    overlooked; it is measured where ``against`` is not given. ``oracle`` tells the method which pairs it poisoned: for
    one that needs it, as ``Unlearn``; ``teacher`` is the model that teaches one that has a teacher, as ``NAD``.
    """
    return train(
        method, pairs=pairs, model=model, out=out, attack=left, against=against, val=val, held_out=held_out,
        evaluators=evaluators, oracle=oracle, teacher=teacher, seed=seed, threads=threads, workers=workers,
        device=device, compile=compile, deterministic=deterministic, evaluate_every=evaluate_every,
        evaluate_steps=evaluate_steps, keep=keep, keep_every=keep_every, best_by=best_by, listen=listen,
    )  # fmt: skip


def _usual(labeled: LabeledSource | None, held_out: PairsSource | None) -> tuple[Evaluator, ...]:
    return (*(STANDARD if labeled else ()), *(HELD_OUT if held_out else ()))


def evaluate(
    *,
    model: str | Path,
    data: LabeledSource | None = None,
    held_out: PairsSource | None = None,
    evaluators: Sequence[Evaluator] | None = None,
    against: Attack | Aim | None = None,
    seed: int = 0,
    precision: Precision = "auto",
    device: Device = "auto",
    scores: str | Path | None = None,
) -> tuple[Measure, ...]:
    """Measure a model on a labeled set, on held-out pairs, or both; an attack's trigger, or an aim, where one is given.

    ``seed`` is the one that ``against`` was planned with, where it draws what it measures; a poison folder knows its
    own. ``precision`` is that of the methods by default, so that a model measures here as it did in its run.
    ``scores`` is a folder that takes the per-sample tables.
    """
    import pyarrow.parquet as pq

    from bezoar.core.files import atomic
    from bezoar.data.images import Exact
    from bezoar.data.prepared import Prepared
    from bezoar.evaluation import Context, HeldOut, LabeledImages, others_of
    from bezoar.models.clip import pick_device
    from bezoar.models.opening import load_model
    from bezoar.training.precision import autocast_for

    if data is None and held_out is None:
        raise ValueError("data: there is nothing to measure on: give a labeled set, held-out pairs, or both")
    evaluators = _usual(data, held_out) if evaluators is None else evaluators
    labeled = {kind_of(data): data.open()} if data else {}
    pairs = {kind_of(held_out): held_out.open()} if held_out else {}
    aim = against.pinned().aim(seed) if isinstance(against, Attack) else against or Aim()
    clip = load_model(str(model)).to(pick_device(device)).eval()
    for evaluator in evaluators:
        evaluator.check(labeled, pairs, aim, clip.frame)
        evaluator.remark(labeled)
    context = Context(
        sets={name: LabeledImages(found, Prepared(found, clip.frame)) for name, found in labeled.items()},
        held_out={name: HeldOut(found, Prepared(Exact(found), clip.frame)) for name, found in pairs.items()},
        others=others_of(evaluators, clip.frame),
        aim=aim,
        autocast=autocast_for(precision, clip.device),
        looks=looks_of(evaluators, aim, labeled),
    )
    measures: list[Measure] = []
    for evaluator, called in zip(evaluators, names_of(evaluators), strict=True):
        found = evaluator.evaluate(clip, context)
        measures += found.measures
        for table_name, rows in found.scores.items() if scores else ():
            assert scores is not None
            with atomic(Path(scores) / f"{called}.{table_name}.parquet") as stream:
                pq.write_table(rows, stream)
    return tuple(measures)
