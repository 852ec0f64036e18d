"""One stage, from its start to its records: load, train, measure after each epoch, save."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bezoar.core.files import exclusive, read_object, sweep, write_json
from bezoar.core.machine import cores
from bezoar.core.progress import Listener, silent
from bezoar.core.records import Measure, Record, now, read_records, write_records
from bezoar.core.settings import dump, kind_of
from bezoar.experiment.environment import revision
from bezoar.experiment.keeping import MODEL, Keeper
from bezoar.experiment.layout import Layout, computing, resources, stage_digest

if TYPE_CHECKING:
    from bezoar.core.frame import Frame
    from bezoar.evaluation import HeldOut, LabeledImages
    from bezoar.experiment.experiment import Experiment, Stage
    from bezoar.models.clip import Clip
    from bezoar.training.loader import TrainingPairs
    from bezoar.training.loop import Pause
    from bezoar.training.method import Diagnostics
    from bezoar.training.peers import Peers

DONE, STATE = "stage.json", "training_state"
SCHEMA = 1
"""Of ``stage.json``; one without it is of the first."""


@dataclass(frozen=True)
class Job:
    """One stage of one seed in one run folder."""

    experiment: Experiment
    stage: Stage
    seed: int
    root: Path

    @property
    def layout(self) -> Layout:
        return Layout(self.root)

    @property
    def folder(self) -> Path:
        return self.layout.stage(self.experiment, self.stage, self.seed)

    @property
    def label(self) -> str:
        """How the stage is called in progress and messages."""
        return self.stage.name if len(self.experiment.seeds) == 1 else f"{self.stage.name}, seed {self.seed}"

    @property
    def done(self) -> bool:
        """Whether the stage has finished before; raises ``ValueError`` where a newer version has finished it."""
        if not (self.folder / DONE).exists():
            return False
        read_object(self.folder / DONE, SCHEMA)
        return True

    @property
    def start(self) -> Job | None:
        """The stage this one starts from."""
        found = next((s for s in self.experiment.stages if s.name == self.stage.start), None)
        return Job(self.experiment, found, self.seed, self.root) if found else None

    @property
    def teacher(self) -> Job | None:
        """The stage whose model teaches this one."""
        found = next((s for s in self.experiment.stages if s.name == self.stage.teacher), None)
        return Job(self.experiment, found, self.seed, self.root) if found else None

    @property
    def needs(self) -> tuple[Job, ...]:
        """The stages without which this one cannot begin."""
        return tuple(job for job in (self.start, self.teacher) if job is not None)

    @property
    def origin(self) -> str:
        """The model that this stage starts from: that of another stage, or the one that the experiment names."""
        return str(self.start.folder / MODEL) if self.start else self.experiment.model

    @property
    def starts_trained(self) -> bool:
        """Whether it starts from weights that no stage here has measured: a file, a folder, a tag, the hub."""
        from bezoar.models.opening import place

        return self.start is None and place(self.experiment.model).trained

    def records(self) -> list[Record]:
        """What was measured, in the order of epochs and steps."""
        paths = sorted((self.folder / "records").glob("epoch-*.jsonl"))
        found = [record for path in paths for record in read_records(path)]
        return sorted(found, key=lambda record: (record.epoch, record.step))


def run_stage(job: Job, listen: Listener = silent, peers: Peers | None = None) -> None:
    """Run one stage, or continue it from where it was; a finished stage is left alone.

    With ``peers`` every process makes the same call, and the lead writes.
    """
    import torch

    from bezoar.training.peers import ALONE

    peers = peers or ALONE
    if peers.from_lead(job.done):
        return
    threads = job.experiment.threads
    if peers.world > 1:  # which share the cores of their node
        threads = min(threads, max(1, cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
    torch.set_num_threads(threads)
    with exclusive(job.folder, patience=5) if peers.lead else contextlib.nullcontext():
        if peers.from_lead(job.done):  # since: by a worker that outlived its run for a moment
            return
        if peers.lead:
            sweep(job.folder)
        _run(job, listen, peers)
        peers.wait()


def _run(job: Job, listen: Listener, peers: Peers) -> None:
    from bezoar.experiment.cautions import cautions
    from bezoar.training.loop import train

    began, stage = time.time(), job.stage
    model, data = _open(job)
    teacher = _teacher(job, model)
    shown = _shown(job, model.frame)
    keeper = Keeper(job, data) if peers.lead else None

    def on_pause(pause: Pause) -> None:
        measures = None
        if _is_measured(stage, pause):
            told = stage.method.diagnostics(pause.state)
            measures = _measure(job, pause.model, told, shown, data, pause, peers)
        if keeper is not None:
            keeper.after(pause, measures)

    given = job.starts_trained
    if given and not peers.from_lead((job.folder / STATE).exists()):
        _measure(job, model.eval(), {}, shown, data, None, peers)
    told = cautions(job, data) if peers.lead else []
    end = train(
        stage.method, model, data, seed=job.seed, folder=job.folder, workers=job.experiment.workers,
        on_pause=on_pause, pause_steps=stage.evaluate_steps, listen=listen, task=job.label, peers=peers,
        teacher=teacher,
    )  # fmt: skip
    if keeper is not None:
        facts = {"given": given, "known_poisoned": given and _known_poisoned(job), "cautions": told}
        _finish(job, data, keeper.finish(end), end, time.time() - began, peers, facts)


def _known_poisoned(job: Job) -> bool:
    """Whether the history of the model that the stage begins with says that it was poisoned."""
    from bezoar.models.opening import place

    return any(step.poison for step in place(job.origin).lineage())


def _is_measured(stage: Stage, pause: Pause) -> bool:
    """The end always is; before it, whatever number of steps or epochs is asked for."""
    if pause.last or not pause.whole:
        return True
    if stage.evaluate_steps is not None:
        return pause.step % stage.evaluate_steps == 0
    return pause.epoch % stage.evaluate_every == 0


def _finish(
    job: Job,
    data: TrainingPairs,
    weights: str | None,
    end: Pause,
    seconds: float,
    peers: Peers,
    facts: Mapping[str, object],
) -> None:
    """Write down that the stage is done, what it took, and the ``facts`` that were known before it."""
    import torch

    stage = job.stage
    write_json(
        job.folder / DONE,
        {
            "schema": SCHEMA, "stage": stage.name, "seed": job.seed,
            "digest": stage_digest(job.experiment, stage, job.seed),
            "method": dump(stage.method), "start": stage.start, "teacher": stage.teacher, "weights": weights,
            "pairs": stage.pairs,
            "count": len(data), "plan": data.plan.digest if data.plan else None,
            "oracle": stage.oracle, **facts,
            "frame": data.prepared.frame.plain,
            "threads": torch.get_num_threads(), "ranks": peers.world,
            "computing": computing(job.experiment, stage), "resources": resources(stage),
            "epochs": end.epoch, "steps": end.step, "training_seconds": round(end.seconds, 1),
            "training_processor_seconds": round(end.processor, 1),
            "seconds": round(seconds, 1), "git": revision(),
        },
    )  # fmt: skip
    (job.folder / STATE).unlink(missing_ok=True)


def _open(job: Job) -> tuple[Clip, TrainingPairs]:
    """The model the stage starts from, and its pairs as the attacker left them."""
    from bezoar.attacks.plan_files import load_plan
    from bezoar.data.prepared import Prepared
    from bezoar.models.clip import pick_device
    from bezoar.models.opening import load_model
    from bezoar.training.compiling import be_deterministic, compile_towers
    from bezoar.training.loader import TrainingPairs

    model = load_model(job.origin, job.seed)
    model.to(pick_device(job.experiment.device))
    if job.experiment.compile:
        compile_towers(model)
    if job.experiment.deterministic:
        be_deterministic()
    pairs = job.experiment.pairs[job.stage.pairs].open()
    plan = load_plan(job.layout.poison(job.experiment, job.stage, job.seed)) if job.stage.poison else None
    return model, TrainingPairs(pairs, Prepared(pairs, model.frame, job.layout.prepared), plan)


def _teacher(job: Job, model: Clip) -> Clip | None:
    """The model that teaches this stage, where its method has a teacher."""
    from bezoar.models.opening import load_model

    if job.stage.teacher is None:
        return None
    found = load_model(str(job.teacher.folder / MODEL) if job.teacher else job.stage.teacher)
    return found.to(model.device).eval()


class _Shown(NamedTuple):
    """What models are measured on, opened once for all epochs."""

    labeled: dict[str, LabeledImages]
    held_out: dict[str, HeldOut]
    others: dict[str, LabeledImages]
    """What evaluators read besides."""


def _shown(job: Job, frame: Frame) -> _Shown:
    from bezoar.data.images import Exact
    from bezoar.data.prepared import Prepared
    from bezoar.evaluation import HeldOut, LabeledImages, others_of

    folder, experiment = job.layout.prepared, job.experiment
    labeled = {name: source.open() for name, source in experiment.labeled.items()}
    held_out = {name: source.open() for name, source in experiment.held_out.items()}
    return _Shown(
        {name: LabeledImages(found, Prepared(found, frame, folder)) for name, found in labeled.items()},
        {name: HeldOut(found, Prepared(Exact(found), frame, folder)) for name, found in held_out.items()},
        others_of(experiment.evaluators, frame, folder),
    )


def _measure(
    job: Job,
    model: Clip,
    diagnostics: Diagnostics,
    shown: _Shown,
    data: TrainingPairs,
    pause: Pause | None,
    peers: Peers,
) -> list[Measure]:
    """Run every evaluator; records and per-sample tables are written by the lead; doing it again writes the same.

    Without a ``pause`` it is the model that the stage starts from.
    """
    import pyarrow.parquet as pq

    from bezoar.attacks import Aim
    from bezoar.core.files import atomic
    from bezoar.evaluation import Context, looks_of, names_of
    from bezoar.training.precision import autocast_for

    attack, method, evaluators = job.experiment.threatening(job.stage), job.stage.method, job.experiment.evaluators
    aim = attack.aim(job.seed) if attack else Aim()
    context = Context(
        sets=shown.labeled,
        aim=aim,
        autocast=autocast_for(method.precision, model.device),
        looks=looks_of(evaluators, aim, shown.labeled),
        held_out=shown.held_out,
        others=shown.others,
        diagnostics=diagnostics,
        pairs=data.pairs,
        plan=data.plan,
        peers=peers,
        last=pause is None or pause.last,
    )
    epoch, step, whole = _when(pause)
    called_so = f"epoch-{epoch:03d}" if whole else f"epoch-{epoch:03d}-step-{step:06d}"
    measures: list[Measure] = []
    records: list[Record] = []
    for evaluator, called in zip(evaluators, names_of(evaluators), strict=True):
        found = evaluator.evaluate(model, context)
        for name, rows in found.scores.items() if peers.lead else ():
            with atomic(job.folder / "scores" / f"{called_so}.{called}.{name}.parquet") as stream:
                pq.write_table(rows, stream)
        measures += found.measures
        records += [_record(job, pause, called, measure) for measure in found.measures]
    if peers.lead:
        write_records(job.folder / "records" / f"{called_so}.jsonl", records)
    return measures


def _record(job: Job, pause: Pause | None, evaluator: str, measure: Measure) -> Record:
    epoch, step, whole = _when(pause)
    method = kind_of(job.stage.method)
    return Record(
        run=job.experiment.name,
        stage=job.stage.name,
        after=f"{method} (oracle)" if job.stage.oracle else method,
        epoch=epoch,
        step=step,
        whole=whole,
        evaluator=evaluator,
        data=measure.data,
        metric=measure.metric,
        value=measure.value,
        low=measure.low,
        high=measure.high,
        n=measure.n,
        seed=job.seed,
        git=revision(),
        at=now(),
    )


def _when(pause: Pause | None) -> tuple[int, int, bool]:
    """Epochs, steps, and whether an epoch was whole; all nought for the model that a stage starts from."""
    return (pause.epoch, pause.step, pause.whole) if pause is not None else (0, 0, True)
