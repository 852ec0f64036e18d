"""Processes that run stages side by side: one event stream back, and no orphans when the parent dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.queues import Queue
from types import TracebackType
from typing import Any

from bezoar.core.progress import Event, Listener
from bezoar.experiment.stages import Job, run_stage

_events: Queue[Event | None]


def _begin(events: Queue[Event | None], parent: int) -> None:
    """In a worker: where its events go, and to die with its parent or at once on Ctrl-C."""
    global _events
    _events = events
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


def _work(job: Job) -> None:
    run_stage(job, _events.put)


class Workers:
    """``jobs`` processes, or this one where ``jobs`` is 1."""

    def __init__(self, jobs: int, listen: Listener) -> None:
        self.listen = listen
        self.pool: ProcessPoolExecutor | None = None
        if jobs > 1:
            context = multiprocessing.get_context("spawn")
            self.events: Queue[Event | None] = context.Queue()
            self.ear = threading.Thread(target=self._hear, daemon=True)
            self.ear.start()
            self.pool = ProcessPoolExecutor(jobs, context, _begin, (self.events, os.getpid()))

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.pool is None:
            return
        if kind is not None:
            self.pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
        self.pool.shutdown()
        self.events.put(None)
        self.ear.join()

    def _hear(self) -> None:
        while (event := self.events.get()) is not None:
            self.listen(event)

    def map(self, tasks: Sequence[tuple[Callable[..., int], Sequence[object]]]) -> Iterator[int]:
        """Run plain tasks; their results as they come."""
        if self.pool is None:
            yield from (function(*arguments) for function, arguments in tasks)
        else:
            futures = [self.pool.submit(function, *arguments) for function, arguments in tasks]
            yield from (future.result() for future in as_completed(futures))

    def run_stages(self, todo: Sequence[Job], after: Callable[[Job], Any]) -> None:
        """Run each job when the stage it starts from is done; ``after`` is called in this process for each one."""
        if self.pool is None:
            for job in todo:
                run_stage(job, self.listen)
                after(job)
            return
        waiting, running = list(todo), dict[Future[None], Job]()
        while waiting or running:
            ready = [job for job in waiting if job.start is None or job.start.done]
            for job in ready:
                waiting.remove(job)
                running[self.pool.submit(_work, job)] = job
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                job = running.pop(future)
                try:
                    future.result()
                except BrokenProcessPool:
                    raise RuntimeError(
                        f"stage '{job.label}': its process died (out of memory, or killed); the same command continues"
                    ) from None
                after(job)
