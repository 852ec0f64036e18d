"""Run an experiment: plans first, pictures prepared once, then its stages, as many at a time as asked for."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bezoar.attacks import Aim
from bezoar.core.files import (
    bytes_in,
    clean_if_refused,
    exclusive,
    free_bytes,
    read_object,
    refuse_held,
    sweep,
    writable_folder,
    write_json,
    write_text,
)
from bezoar.core.machine import cores, rank_and_world
from bezoar.core.progress import Event, Listener, silent
from bezoar.core.records import Record, read_lines, read_records, write_records
from bezoar.core.settings import digest, dump, kind_of
from bezoar.core.yaml import render
from bezoar.data.pairs import Checked, check_caption
from bezoar.experiment.changes import warn_of_others
from bezoar.experiment.experiment import Experiment, Stage
from bezoar.experiment.layout import Layout, forget, random_view, read_by
from bezoar.experiment.stages import STATE, Job
from bezoar.experiment.workers import Workers, stopping
from bezoar.training.continued import Continued

if TYPE_CHECKING:
    from bezoar.core.frame import Frame
    from bezoar.data.pairs import Images, Source
    from bezoar.models.clip import Clip
    from bezoar.training.peers import Peers

SCHEMA = 1
"""Of ``environment.json``, and by it of the run folder."""
_CHUNK = 1024
_CAPTIONS = 100_000
"""Captions of a set that are looked at before the work starts; the rest are when they are read."""
_PER_CORE = 16
"""Threads or loader processes that a core may have: others would be a slip, and stop the machine."""
PREPARE_LIMIT = 8 << 30
"""Sets whose prepared pictures would take more bytes than this are read from their source each time."""


def check(experiment: Experiment, listen: Listener = silent) -> Frame:
    """Open everything and fail before the long work starts; returns how the model wants its pictures.

    Sources are read here if they never were, which may take a while.

    Raises ``ValueError`` for a missing source, a target that is no class, fewer pairs than a batch.
    """
    from bezoar.evaluation.choosing import check_metric
    from bezoar.models.clip import pick_device
    from bezoar.models.opening import load_model
    from bezoar.training.compiling import compile_towers
    from bezoar.training.loop import check as check_training
    from bezoar.training.loop import check_pairs

    for name, count in (("threads", experiment.threads), ("workers", experiment.workers)):
        if count > _PER_CORE * cores():
            raise ValueError(f"{name}: {count} are more than {_PER_CORE} for each of the {cores()} cores here")
    for source in sources_of(experiment):
        source.ingest(listen)
    sets = {name: source.open() for name, source in experiment.labeled.items()}
    held_out = {name: source.open() for name, source in experiment.held_out.items()}
    pairs = {name: experiment.pairs[name].open() for name in dict.fromkeys(s.pairs for s in experiment.stages)}
    model = load_model(experiment.model, experiment.seeds[0]).to(pick_device(experiment.device))
    for stage in experiment.expanded():
        where = f"stages.{stage.name}.method"
        check_training(
            stage.method, model, len(pairs[stage.pairs]), workers=experiment.workers, world=rank_and_world()[1],
            where=where,
        )  # fmt: skip
        check_pairs(stage.method, pairs[stage.pairs], where)
        _check_teacher(experiment, stage, model)
        _say_warmup(stage, len(pairs[stage.pairs]))
        if stage.keep == "best":
            check_metric(
                stage.best_by, experiment.select_on, experiment.evaluators, sets, held_out, _aim(experiment, stage),
                f"stages.{stage.name}.best_by",
            )  # fmt: skip
    if experiment.compile:
        compile_towers(model)
    for name, found in pairs.items():
        for index in range(min(len(found), _CAPTIONS)):
            check_caption(found.caption(index), f"pairs.{name}", found.id(index))
    for aim in _aims(experiment):
        for evaluator in experiment.evaluators:
            evaluator.check(sets, held_out, aim, model.frame)
    for evaluator in experiment.evaluators:
        evaluator.remark(sets)
    return model.frame


def _check_teacher(experiment: Experiment, stage: Stage, model: Clip) -> None:
    """Raise ``ValueError`` for a model that cannot teach; those of other stages can."""
    from bezoar.models.opening import load_model
    from bezoar.training.taught import check_alike

    if stage.teacher is None or any(other.name == stage.teacher for other in experiment.stages):
        return
    try:
        check_alike(model, load_model(stage.teacher))
    except ValueError as error:
        raise ValueError(f"stages.{stage.name}.{str(error).replace('model:', 'teacher:', 1)}") from None


def _aims(experiment: Experiment) -> list[Aim]:
    """What is measured after any stage of the first seed, each once."""
    by_attack = {digest(experiment.threatening(stage)): stage for stage in experiment.stages}
    return [_aim(experiment, stage) for stage in by_attack.values()]


def _aim(experiment: Experiment, stage: Stage) -> Aim:
    attack = experiment.threatening(stage)
    return attack.aim(experiment.seeds[0]) if attack else Aim()


def _say_warmup(stage: Stage, pairs: int) -> None:
    """Warn of a stage that is over before its learning rate is reached: its model has hardly learned."""
    method = stage.method
    if method.warms_passes:
        return
    steps = method.total_steps(pairs)
    first, begun = (method.warmup_from, method.schedule_at) if isinstance(method, Continued) else (0.0, 0)
    if method.warmup_steps > begun + steps:
        reached = first + (1 - first) * (begun + steps) / method.warmup_steps
        logging.getLogger(__name__).warning(
            "stages.%s.method.warmup_steps: the warm-up of %d steps does not end within the %d steps of the stage: its "
            "learning rate ends at %.2g instead of %g",
            stage.name, method.warmup_steps, steps, method.lr * reached, method.lr,
        )  # fmt: skip


def run(experiment: Experiment, out: Path, *, jobs: int = 1, listen: Listener = silent) -> list[Record]:
    """Run every stage of every seed that is not done yet; returns all records of the experiment.

    After an interruption the same call continues. ``jobs`` stages run at a time, each in a process of its own with
    the experiment's number of threads; records do not depend on it. Started by ``torchrun``, the processes train each
    stage together.

    Raises ``ValueError`` for settings that cannot work, a folder in use, or one that a newer version has written;
    ``OSError`` that names the file for a full disk, and ``KeyboardInterrupt`` at SIGTERM and SIGHUP, as at Ctrl-C.
    """
    from bezoar.models.clip import pick_device
    from bezoar.training.peers import joined

    world = rank_and_world()[1]
    if jobs > 1 and world > 1:  # before they meet: a rank that leaves then is one that the others lose
        raise ValueError(f"jobs: {jobs} stages cannot run side by side on {world} ranks, which train one together")
    # In this order: while a rank waits for the others to come, it could not heed a signal that has a handler.
    with joined(pick_device(experiment.device)) as peers, stopping():
        if peers.world == 1:
            refuse_held(out)
            return _run(experiment.pinned(), out, jobs, listen)
        return _run_together(experiment, out, listen if peers.lead else silent, peers)


def _run(experiment: Experiment, out: Path, jobs: int, listen: Listener) -> list[Record]:
    forget()
    frame, new = check(experiment, listen), not out.exists()
    writable_folder(out)
    with exclusive(out), Workers(jobs, listen) as workers:
        todo = _begin(experiment, out, new, frame, workers, listen)
        workers.run_stages(todo, lambda job: gather(experiment, out))
        return read_records(out / "records.jsonl")


def _run_together(experiment: Experiment, out: Path, listen: Listener, peers: Peers) -> list[Record]:
    """One rank of several, which all train every stage; the lead alone does what comes before, and writes."""
    from bezoar.experiment.stages import run_stage

    with contextlib.ExitStack() as held:

        def begin() -> tuple[Experiment, list[Job]]:
            refuse_held(out)
            forget()
            pinned = experiment.pinned()
            frame, new = check(pinned, listen), not out.exists()
            writable_folder(out)
            held.enter_context(exclusive(out))
            with Workers(1, listen) as workers:
                return pinned, _begin(pinned, out, new, frame, workers, listen)

        pinned, todo = peers.led(begin)
        for job in todo:
            run_stage(job, listen, peers)
            peers.led(lambda: gather(pinned, out))
        return read_records(out / "records.jsonl")


def _begin(experiment: Experiment, out: Path, new: bool, frame: Frame, workers: Workers, listen: Listener) -> list[Job]:
    """All that comes before the first stage; returns the stages that are to be run."""
    layout = Layout(out)
    every = [Job(experiment, stage, seed, out) for seed in experiment.seeds for stage in experiment.expanded()]
    _refuse_newer(layout)
    _tidy(layout, every)
    todo = [job for job in every if not job.done]
    if todo:
        _check_disk(experiment, frame.size, layout, every)
    with clean_if_refused(layout.root, new):
        _plan(experiment, layout, listen)
    # Before the settings: records of others must never stand beside them.
    gather(experiment, out)
    warn_of_others(experiment, layout, every)
    _describe(experiment, layout)
    if todo:
        prepare(sets_of(experiment), layout, frame, workers, listen)
    return todo


def gather(experiment: Experiment, out: Path) -> list[Record]:
    """Collect the records and step logs of finished stages into the run folder."""
    layout = Layout(out)
    records: list[Record] = []
    lines: list[str] = []
    for seed in experiment.seeds:
        for stage in experiment.expanded():
            job = Job(experiment, stage, seed, out)
            if job.done:
                records += [replace(record, run=experiment.name) for record in job.records()]
                log = read_lines(job.folder / "steps.jsonl")
                lines += [json.dumps({"stage": stage.name, "seed": seed, **line}) + "\n" for line in log]
    write_records(layout.root / "records.jsonl", records)
    write_text(layout.root / "steps.jsonl", "".join(lines))
    return records


def _describe(experiment: Experiment, layout: Layout) -> None:
    from bezoar.experiment.environment import describe

    write_text(layout.root / "experiment.yaml", render(dump(experiment)))
    write_json(layout.root / "environment.json", {"schema": SCHEMA, **describe(experiment.threads)})
    _describe_data(experiment, layout)


def _refuse_newer(layout: Layout) -> None:
    environment = layout.root / "environment.json"
    if environment.exists():
        read_object(environment, SCHEMA)


def _tidy(layout: Layout, every: Sequence[Job]) -> None:
    """Delete what a killed run has left behind and nobody needs."""
    sweep(layout.root)
    for job in every:
        if job.done:
            (job.folder / STATE).unlink(missing_ok=True)


def _check_disk(experiment: Experiment, size: int, layout: Layout, every: Sequence[Job]) -> None:
    """Raise ``OSError`` when less is free than what is still to be written, by what an interrupted run has written."""
    from bezoar.experiment.estimate import disk_bytes

    there = sum(bytes_in(folder) for folder in (layout.prepared, *(job.folder for job in every)))
    need, free = disk_bytes(experiment, size) - there, free_bytes(layout.root)
    if need > free:
        raise OSError(f"out: {layout.root} needs about {need / 1e9:.1f} GB, {free / 1e9:.1f} GB are free")


def _plan(experiment: Experiment, layout: Layout, listen: Listener) -> None:
    """Make every plan that a stage needs."""
    needed = list({(stage.pairs, stage.poison): stage for stage in experiment.stages if stage.poison}.values())
    make_plans([Job(experiment, stage, seed, layout.root) for seed in experiment.seeds for stage in needed], listen)


def make_plans(jobs: Sequence[Job], listen: Listener) -> None:
    """Make the plan of each stage that is poisoned, measure what of it reaches the model, keep a few pictures to show.

    Raises ``ValueError`` where nothing of a trigger reaches the model.
    """
    from bezoar.attacks.applied import Applied
    from bezoar.attacks.preview import preview, write_preview
    from bezoar.attacks.survival import measure, refuse_dead
    from bezoar.models.opening import load_model

    models: dict[str, Clip] = {}
    for number, job in enumerate(jobs, 1):
        experiment, stage = job.experiment, job.stage
        folder = job.layout.poison(experiment, stage, job.seed)
        if not (folder / "poison.json").exists():
            attack = experiment.poisoning(stage)
            assert attack is not None
            if experiment.model not in models:
                models[experiment.model] = load_model(experiment.model, experiment.seeds[0])
            clip = models[experiment.model]
            pairs = experiment.pairs[stage.pairs].open()
            plan = attack.plan(pairs, job.seed)
            applied = Applied(pairs, plan)
            survival = measure(applied, clip.frame, random_view(experiment, stage), clip.tokenize)
            refuse_dead(survival, experiment.allow_dead_trigger)
            write_preview(preview(applied, clip.frame), folder)
            plan.with_survival(survival).save(folder)
        listen(Event("poison", number, len(jobs), unit="plans"))


def sets_of(experiment: Experiment) -> list[Images]:
    """Every set of pictures of the experiment, opened."""
    from bezoar.data.images import Exact

    used = dict.fromkeys(stage.pairs for stage in experiment.stages)
    pairs: list[Images] = [experiment.pairs[name].open() for name in used]
    # Several evaluators may read one set.
    read = {digest(source): source for evaluator in experiment.evaluators for source in evaluator.sources().values()}
    labeled = [source.open() for source in (*experiment.labeled.values(), *read.values())]
    return [*pairs, *labeled, *(Exact(source.open()) for source in experiment.held_out.values())]


def sources_of(experiment: Experiment) -> list[Source]:
    """Every source that a run reads."""
    return list(_sources(experiment).values())


def _sources(experiment: Experiment) -> dict[tuple[str, str], Source]:
    """Every source by its place in the experiment and its name; pairs that no stage uses are none."""
    from bezoar.evaluation import names_of

    used = dict.fromkeys(stage.pairs for stage in experiment.stages)
    groups: dict[str, dict[str, Source]] = {
        "pairs": {name: experiment.pairs[name] for name in used},
        "labeled": dict(experiment.labeled),
        "held_out": dict(experiment.held_out),
        "evaluators": {
            f"{called}.{field}": source
            for evaluator, called in zip(experiment.evaluators, names_of(experiment.evaluators), strict=True)
            for field, source in {**evaluator.sources(), **read_by(evaluator)}.items()
        },
        "attacks": _shown(experiment),
    }
    return {(place, name): source for place, group in groups.items() for name, source in group.items()}


def _shown(experiment: Experiment) -> dict[str, Source]:
    """Where attacks take pictures from besides the pairs: by the name of the attack, numbered where it has several."""
    used = [experiment.threatening(stage) for stage in experiment.stages]
    named = {"attack": experiment.attack, **experiment.attacks}
    return {
        f"{name}.images" + (f".{number}" if number else ""): source
        for name, attack in named.items()
        if attack is not None and attack in used
        for number, source in enumerate(attack.sources())
    }


def _describe_data(experiment: Experiment, layout: Layout) -> None:
    """Write ``data.json``: what every source held, what was passed over, what must be said of it."""
    found: dict[str, dict[str, object]] = {}
    for (place, name), source in _sources(experiment).items():
        opened = source.open()
        skips = opened.skips if isinstance(opened, Checked) else None
        if skips is not None and skips.count:
            logging.getLogger(__name__).warning(
                "%s.%s: %d of %d rows passed over, listed in %s", place, name, skips.count, skips.rows, skips.listed
            )
        found.setdefault(place, {})[name] = {
            "kind": kind_of(source),
            "fingerprint": opened.fingerprint,
            "count": len(opened),
            "rows": skips.rows if skips else len(opened),
            "skipped": skips.count if skips else 0,
            "reasons": dict(skips.reasons) if skips else {},
            "notes": list(source.notes()),
        }
    write_json(layout.root / "data.json", {"schema": SCHEMA, **found})


def prepare(sets: Sequence[Images], layout: Layout, frame: Frame, workers: Workers, listen: Listener) -> None:
    """Draw the pictures of each set once, as a model of ``frame`` wants them; those that are there are left alone."""
    from bezoar.data.prepared import begin, count, fill, finish, needed_bytes

    sets = [s for s in sets if needed_bytes(s, frame.size) <= PREPARE_LIMIT and begin(layout.prepared, s, frame)]
    total = sum(map(count, sets))
    tasks: list[tuple[Callable[..., int], Sequence[object]]] = [
        (fill, (layout.prepared, images, frame, start, start + _CHUNK))
        for images in sets
        for start in range(0, count(images), _CHUNK)
    ]
    done = 0
    for filled in workers.map(tasks):
        done += filled
        listen(Event("pictures", done, total, unit="pictures"))
    for images in sets:
        finish(layout.prepared, images, frame)
