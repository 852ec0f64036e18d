"""Run an experiment: plans first, pictures prepared once, then its stages, as many at a time as asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bezoar.core.files import exclusive, free_bytes, writable_folder, write_json, write_text
from bezoar.core.progress import Event, Listener, silent
from bezoar.core.records import Record, read_lines, write_records
from bezoar.core.settings import dump
from bezoar.core.yaml import render
from bezoar.data.pairs import check_caption
from bezoar.experiment.experiment import Experiment
from bezoar.experiment.layout import Layout, forget, random_view
from bezoar.experiment.stages import Job
from bezoar.experiment.workers import Workers

if TYPE_CHECKING:
    from bezoar.data.pairs import Images

_CHUNK = 1024
_CAPTIONS = 100_000
"""Captions of a set that are looked at before the work starts; the rest are when they are read."""
PREPARE_LIMIT = 8 << 30
"""Sets whose prepared pictures would take more bytes than this are read from their source each time."""


def check(experiment: Experiment) -> int:
    """Open everything and fail before the long work starts; returns the model's resolution in pixels.

    Raises ``ValueError`` for a missing source, a target that is no class, fewer pairs than a batch.
    """
    from bezoar.models.checkpoint import load
    from bezoar.models.clip import pick_device
    from bezoar.training.loop import check_size

    sets = {name: source.open() for name, source in experiment.labeled.items()}
    threat = experiment.attack.threat() if experiment.attack else None
    pairs = {name: source.open() for name, source in experiment.pairs.items()}
    for stage in experiment.expanded():
        check_size(stage.method, len(pairs[stage.pairs]), f"stages.{stage.name}.method")
    for name, found in pairs.items():
        for index in range(min(len(found), _CAPTIONS)):
            check_caption(found.caption(index), f"pairs.{name}", found.id(index))
    pick_device(experiment.device)
    size = load(experiment.model, experiment.seeds[0]).image_size
    for evaluator in experiment.evaluators:
        evaluator.check(sets, threat, size)
    return size


def run(experiment: Experiment, out: Path, *, jobs: int = 1, listen: Listener = silent) -> list[Record]:
    """Run every stage of every seed that is not done yet; returns all records of the experiment.

    After an interruption the same call continues. ``jobs`` stages run at a time, each in a process of its own with
    the experiment's number of threads; records do not depend on it.

    Raises ``ValueError`` for settings that cannot work, a folder in use, or too little space on the disk.
    """
    forget()
    size = check(experiment)
    layout = Layout(out)
    writable_folder(out)
    with exclusive(out):
        _check_disk(experiment, size, out)
        _describe(experiment, layout)
        with Workers(jobs, listen) as workers:
            _plan(experiment, layout, size, listen)
            _prepare(experiment, layout, size, workers, listen)
            every = (Job(experiment, stage, seed, out) for seed in experiment.seeds for stage in experiment.expanded())
            workers.run_stages([job for job in every if not job.done], lambda job: gather(experiment, out))
        return gather(experiment, out)


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
    write_json(layout.root / "environment.json", describe(experiment.threads))


def _check_disk(experiment: Experiment, size: int, out: Path) -> None:
    from bezoar.experiment.estimate import disk_bytes

    there = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())  # written before an interruption
    need, free = disk_bytes(experiment, size) - there, free_bytes(out)
    if need > free:
        raise ValueError(f"out: {out} needs about {need / 1e9:.1f} GB, {free / 1e9:.1f} GB are free")


def _plan(experiment: Experiment, layout: Layout, size: int, listen: Listener) -> None:
    """Make every plan that a stage needs, measure what of it reaches the model, keep a few pictures to show."""
    from bezoar.attacks.preview import write_preview
    from bezoar.attacks.survival import measure, refuse_dead

    if experiment.attack is None:
        return
    needed = dict.fromkeys(stage.pairs for stage in experiment.stages if stage.poison)
    for number, (seed, name) in enumerate((seed, name) for seed in experiment.seeds for name in needed):
        folder = layout.poison(experiment, name, seed)
        if not (folder / "poison.json").exists():
            pairs = experiment.pairs[name].open()
            plan = experiment.attack.plan(pairs, seed)
            survival = measure(plan, pairs, size, random_view(experiment, name))
            refuse_dead(survival, experiment.allow_dead_trigger)
            write_preview(plan, pairs, size, folder)
            plan.with_survival(survival).save(folder)
        listen(Event("poison", number + 1, len(experiment.seeds) * len(needed), unit="plans"))


def sets_of(experiment: Experiment) -> list[Images]:
    """Every set of pictures of the experiment, opened."""
    used = dict.fromkeys(stage.pairs for stage in experiment.stages)
    pairs: list[Images] = [experiment.pairs[name].open() for name in used]
    return pairs + [source.open() for source in experiment.labeled.values()]


def _prepare(experiment: Experiment, layout: Layout, size: int, workers: Workers, listen: Listener) -> None:
    from bezoar.data.prepared import begin, fill, finish, needed_bytes

    sets = [
        s for s in sets_of(experiment) if needed_bytes(s, size) <= PREPARE_LIMIT and begin(layout.prepared, s, size)
    ]
    total = sum(map(len, sets))
    tasks: list[tuple[Callable[..., int], Sequence[object]]] = [
        (fill, (layout.prepared, images, size, start, start + _CHUNK))
        for images in sets
        for start in range(0, len(images), _CHUNK)
    ]
    done = 0
    for count in workers.map(tasks):
        done += count
        listen(Event("pictures", done, total, unit="pictures"))
    for images in sets:
        finish(layout.prepared, images, size)
