"""Run a sweep: every distinct training once, in one folder that all its points, and several processes, share."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bezoar.core import yaml
from bezoar.core.files import (
    clean_if_refused,
    exclusive,
    read_object,
    refuse_held,
    writable_folder,
    write_json,
    write_text,
)
from bezoar.core.files import sweep as tidy
from bezoar.core.machine import rank_and_world
from bezoar.core.progress import Event, Listener, silent
from bezoar.core.records import Record, read_records, write_records
from bezoar.core.settings import digest, kind_of
from bezoar.experiment.environment import describe
from bezoar.experiment.layout import Layout, forget
from bezoar.experiment.run import check, make_plans, prepare, sets_of, sources_of
from bezoar.experiment.stages import STATE
from bezoar.experiment.sweep import Sweep
from bezoar.experiment.sweep_check import merged
from bezoar.experiment.sweep_claims import CLAIMS, Hands, work_off, work_off_together
from bezoar.experiment.sweep_cost import check_disk
from bezoar.experiment.sweep_index import INDEX, SCHEMA, index, with_failures
from bezoar.experiment.sweep_works import Share, Work, works
from bezoar.experiment.workers import Workers, stopping

if TYPE_CHECKING:
    from bezoar.training.peers import Peers

SETTINGS, RECORDS = "sweep.yaml", "records.jsonl"
_SHARE = 20
"""Gathering takes at most one part in so many of the time."""


def run_sweep(
    sweep: Sweep, out: str | Path, *, jobs: int = 1, listen: Listener = silent, hands: Hands | None = None
) -> list[Record]:
    """Train whatever of a sweep is not done yet and gather its records; after an interruption the same call continues.

    ``jobs`` trainings at a time, each in a process of its own, or as many as ``hands`` can. The same call in another
    process, of this machine or of another that sees ``out``, shares the work. A training that diverges is written down
    and left out; the others go on. Started by ``torchrun``, the processes train each stage together.

    Raises ``ValueError`` for settings that cannot work, and where another sweep is at work in ``out``; ``OSError`` for
    a full disk, and ``KeyboardInterrupt`` at SIGTERM and SIGHUP, as at Ctrl-C.
    """
    from bezoar.models.clip import pick_device
    from bezoar.training.peers import joined

    out, world = Path(out), rank_and_world()[1]
    if jobs > 1 and world > 1:
        raise ValueError(f"jobs: {jobs} stages cannot run side by side on {world} ranks, which train one together")
    with joined(pick_device(sweep.base.device)) as peers, stopping():
        if peers.world > 1:
            return _together(sweep, out, listen if peers.lead else silent, peers)
        with Workers(1 if hands is not None else jobs, listen) as workers:
            told = Told(listen)
            workers.listen = told
            gathering, todo = _begin(sweep, out, workers, told)
            left = work_off(todo, hands or workers, lambda job: gathering.after(job, told))
            _say(left, out)
            return gathering.write()


def _together(sweep: Sweep, out: Path, listen: Listener, peers: Peers) -> list[Record]:
    """One rank of several, which all train every stage; the lead alone does what comes before, and writes."""
    told = Told(listen)

    def begin() -> tuple[Gathering, list[Share]]:
        with Workers(1, told) as workers:
            return _begin(sweep, out, workers, told)

    gathering, todo = peers.led(begin)
    left = work_off_together(todo, peers, told, lambda job: gathering.after(job, told))
    if peers.lead:
        _say(left, out)
    peers.led(lambda: len(gathering.write()))
    return read_records(out / RECORDS)


def _say(left: Sequence[Share], out: Path) -> None:
    if left:
        logging.getLogger(__name__).warning(
            "out: %s: %d trainings are left to the processes that have them; the last one gathers all", out, len(left)
        )


def every_work(sweep: Sweep, out: Path, listen: Listener = silent) -> tuple[Work, ...]:
    """All that the points of a sweep train; reads sources that were never read.

    Raises ``ValueError`` for settings that cannot be.
    """
    points = [replace(point, experiment=point.experiment.pinned()) for point in sweep.points()]
    sources = {digest(kind_of(s), s): s for point in points for s in sources_of(point.experiment)}
    for source in sources.values():
        source.ingest(listen)
    return works(sweep, points, out)


@dataclass
class Gathering:
    """The records of what is done, in one file of the folder; a stage that is done is read once."""

    sweep: Sweep
    works: Sequence[Work]
    out: Path
    index: dict[str, Any]
    known: dict[Path, list[Record]] = field(default_factory=dict)
    wait: float = 0.0
    """When the next is due."""

    @property
    def settings(self) -> str:
        """The sweep as a file that runs it again."""
        return yaml.render(self.sweep.plain)

    def after(self, job: Share, told: Told) -> None:
        """Tell that a job is over, and gather now and then."""
        told.over(job)
        if time.monotonic() >= self.wait:
            self.write()

    def write(self) -> list[Record]:
        """Gather all; raises ``ValueError`` where another sweep has taken the folder over."""
        began = time.monotonic()
        if (self.out / SETTINGS).read_text("utf-8") != self.settings:
            raise ValueError(
                f"out: {self.out} has become the folder of another sweep; run this one in a folder of its own"
            )
        records = list(self._all())
        write_records(self.out / RECORDS, records)
        write_json(self.out / INDEX, with_failures(self.index, self.works))
        now = time.monotonic()
        self.wait = now + _SHARE * (now - began)
        return records

    def _all(self) -> Iterator[Record]:
        for seed in range(len(self.sweep.base.seeds)):
            for work in self.works:
                job = work.jobs[seed]
                if job.folder not in self.known and job.done:
                    found = job.records()
                    self.known[job.folder] = [replace(r, run=self.sweep.name, axes=dict(work.axes)) for r in found]
                yield from self.known.get(job.folder, ())


class Told:
    """Passes events on, and adds up those of all trainings: pairs seen of all that there are to see."""

    def __init__(self, listen: Listener) -> None:
        self.listen = listen
        self.sizes: dict[str, int] = {}
        self.seen: dict[str, int] = {}
        self.left = 0

    def expect(self, jobs: Sequence[Share]) -> None:
        """What there is to do."""
        for job in jobs:
            count = len(job.experiment.pairs[job.stage.pairs].open())
            self.sizes[job.label] = job.stage.method.total_steps(count) * job.stage.method.batch_size
        self.seen = dict.fromkeys(self.sizes, 0)
        self.left = len(self.sizes)

    def over(self, job: Share) -> None:
        """A training is over, here or elsewhere."""
        self.seen[job.label] = self.sizes.get(job.label, 0)
        self.left -= 1
        self._sum()

    def __call__(self, event: Event) -> None:
        self.listen(event)
        if event.task in self.sizes:
            self.seen[event.task] = min(event.done * event.size, self.sizes[event.task])
            self._sum()

    def _sum(self) -> None:
        total = sum(self.sizes.values())
        facts = {"stages left": float(self.left)}
        self.listen(Event("sweep", sum(self.seen.values()), total, unit="pairs", facts=facts))


def _begin(sweep: Sweep, out: Path, workers: Workers, told: Told) -> tuple[Gathering, list[Share]]:
    """All that comes before the first stage, by one process at a time; returns what is to be trained."""
    forget()
    new = not out.exists()
    found = every_work(sweep, out, told)
    frames = {experiment.model: check(experiment, told) for experiment in merged(found)}
    writable_folder(out)
    with clean_if_refused(out, new), _in_turn(out):
        gathering = Gathering(sweep, found, out, index(sweep, found))
        _take_over(out, gathering.settings)
        tidy(out)
        every = [work.jobs[number] for number in range(len(sweep.base.seeds)) for work in found]
        for job in every:
            if job.done:
                (job.folder / STATE).unlink(missing_ok=True)
        todo = [job for job in every if not job.over]
        if todo:
            check_disk(found, frames, out)
        make_plans(list({_plan_of(job): job for job in todo if job.stage.poison}.values()), told)
        write_text(out / SETTINGS, gathering.settings)
        write_json(out / "environment.json", {"schema": SCHEMA, **describe(sweep.base.threads)})
        for model, frame in frames.items() if todo else ():
            sets = [s for work in found if work.experiment.model == model for s in sets_of(work.experiment)]
            prepare(list({s.fingerprint: s for s in sets}.values()), Layout(out), frame, workers, told)
        told.expect(todo)
        gathering.write()
    return gathering, todo


def _plan_of(job: Share) -> Path:
    return job.layout.poison(job.experiment, job.stage, job.seed)


@contextlib.contextmanager
def _in_turn(out: Path) -> Iterator[None]:
    """Hold the folder, when whoever prepares it is done."""
    try:
        refuse_held(out)
    except ValueError:
        logging.getLogger(__name__).warning("out: %s is being prepared by another process; this one waits for it", out)
    with exclusive(out, patience=math.inf):
        yield


def _take_over(out: Path, settings: str) -> None:
    """Raise ``ValueError`` where the folder is a run's, or another sweep is at work in it; say that one was."""
    if (out / "experiment.yaml").exists():
        raise ValueError(f"out: {out} is the folder of a run; name another for a sweep")
    if (out / INDEX).exists():
        read_object(out / INDEX, SCHEMA)
    path = out / SETTINGS
    if not path.exists() or path.read_text("utf-8") == settings:
        return
    for lock in (out / CLAIMS).glob("*"):
        try:
            refuse_held(lock)
        except ValueError:
            raise ValueError(f"out: a sweep with other settings is at work in {out}; name another folder") from None
    logging.getLogger(__name__).warning(
        "out: %s: its last sweep had other settings; what both train is not trained again, the rest of it stays in the "
        "folder, out of its records", out,
    )  # fmt: skip
