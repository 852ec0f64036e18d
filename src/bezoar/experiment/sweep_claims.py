"""Who trains what in a sweep: processes that share a folder each take what is ready and nobody else has."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bezoar.core.files import exclusive, write_json
from bezoar.core.progress import Listener
from bezoar.experiment.stages import run_stage
from bezoar.experiment.sweep_works import FAILED, SCHEMA, Share
from bezoar.experiment.workers import died

if TYPE_CHECKING:
    from bezoar.training.peers import Peers

LOOK = 2.0
"""Seconds between two looks at what other processes have done."""
CLAIMS = "claims"


class Hands(Protocol):
    """What trains: processes of this machine, or of a cluster."""

    @property
    def jobs(self) -> int:
        """How many trainings at a time."""

    def start(self, work: Callable[[Share, Listener], None], job: Share) -> Future[None]:
        """Have one done."""


def attempt(job: Share, listen: Listener, peers: Peers | None = None) -> None:
    """Run a stage; one that diverges is written down, and does not end the sweep: others of its points may do well."""
    try:
        run_stage(job, listen, peers)
    except FloatingPointError as error:
        if peers is None or peers.lead:
            told = {"schema": SCHEMA, "stage": job.stage.name, "seed": job.seed, "error": str(error)}
            write_json(job.folder / FAILED, told)


def work_off(todo: Sequence[Share], hands: Hands, after: Callable[[Share], None]) -> list[Share]:
    """Have every job done, by ``hands`` or by other processes in the same folder; ``after`` hears of each, here.

    A job is claimed by a lock, which the system frees when this process dies: nothing is trained twice at a time, and
    what somebody leaves half done is taken up by the others. Where others have all that is left, it is left to them,
    and returned: a cluster has better things to do than to wait.
    """
    waiting = list(todo)
    running: dict[Future[None], tuple[Share, contextlib.ExitStack]] = {}
    with contextlib.ExitStack() as claims:
        try:
            while waiting or running:
                waiting = _left(waiting, after)
                for job in list(waiting):
                    held = claim(job) if len(running) < hands.jobs else None
                    if held is not None:
                        waiting.remove(job)
                        claims.callback(held.close)
                        running[hands.start(attempt, job)] = (job, held)
                if running:
                    finished, _ = wait(running, LOOK if waiting else None, FIRST_COMPLETED)
                    for future in finished:
                        future.result()
                        job, held = running.pop(future)
                        held.close()
                        after(job)
                elif _had(waiting):
                    break
                elif waiting:
                    time.sleep(LOOK)
        except BrokenProcessPool:
            raise died(f"at work: {', '.join(job.label for job, _ in running.values())}") from None
    return waiting


def work_off_together(
    todo: Sequence[Share], peers: Peers, listen: Listener, after: Callable[[Share], None]
) -> list[Share]:
    """The same by ranks that train one stage together; the lead claims."""
    waiting = list(todo)
    while waiting:
        with contextlib.ExitStack() as claims:
            left, ours = peers.led(functools.partial(_take, waiting, claims, after))
            waiting = [job for job in waiting if job.folder in left]
            for job in waiting:
                if job.folder == ours:
                    attempt(job, listen, peers)
        if ours is None and peers.led(functools.partial(_had, waiting)):
            break
        if waiting and ours is None:
            time.sleep(LOOK)
    return waiting


def _take(
    waiting: Sequence[Share], claims: contextlib.ExitStack, after: Callable[[Share], None]
) -> tuple[list[Path], Path | None]:
    """Folders of what is left, and of what is ours to train now."""
    left = _left(waiting, after)
    for job in left:
        held = claim(job)
        if held is not None:
            claims.enter_context(held)
            return [job.folder for job in left], job.folder
    return [job.folder for job in left], None


def _had(waiting: Sequence[Share]) -> bool:
    """Of jobs of which none could be claimed: whether somebody has them all, so that none comes free by and by."""
    return all(other.done for job in waiting for other in job.needs)


def _left(waiting: Sequence[Share], after: Callable[[Share], None]) -> list[Share]:
    """What is not over; what somebody else has finished, or what cannot be had, is told."""
    left = []
    for job in waiting:
        if job.over:
            after(job)
        else:
            left.append(job)
    return left


def claim(job: Share) -> contextlib.ExitStack | None:
    """The lock of a job, held; ``None`` where what it needs is not done, or somebody has it or has done it."""
    if not all(other.done for other in job.needs):
        return None
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(exclusive(place(job)))
        except ValueError:
            return None
        return held.pop_all() if not job.over else None
    return None


def place(job: Share) -> Path:
    """Where the lock of a job lies."""
    return job.root / CLAIMS / job.folder.name
