"""Processes that run stages side by side: one event stream back, and no orphans when the parent dies."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from multiprocessing.queues import Queue
from types import TracebackType
from typing import Any, TypeVar

from bezoar.core.progress import Event, Listener
from bezoar.experiment.stages import Job, run_stage

J = TypeVar("J", bound=Job)

_events: Queue[Event | None]


def _begin(events: Queue[Event | None], leash: Connection, parent: int) -> None:
    """In a worker: where its events go, and to die when told, with its parent, or at once on Ctrl-C."""
    global _events
    _events = events
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # see `_quiet`
    threading.Thread(target=_watch, args=(leash, parent), daemon=True).start()


def _watch(leash: Connection, parent: int) -> None:
    while os.getppid() == parent and not leash.poll(0.2):  # true when the other end is closed
        pass
    os._exit(1)


def _work(work: Callable[[J, Listener], None], job: J) -> None:
    work(job, _events.put)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Have processes that are started here hold Ctrl-C back until `_begin`: before, they would print a traceback."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def stopping() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the work as Ctrl-C does; what somebody has set before, as ``nohup`` does, is kept."""
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        names = []
    kept = [s for name in names if signal.getsignal(s := getattr(signal, name)) is signal.SIG_DFL]
    for number in kept:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number in kept:
            signal.signal(number, signal.SIG_DFL)


def _stop(number: int, frame: object) -> None:
    raise KeyboardInterrupt


class Workers:
    """``jobs`` processes, or this one where ``jobs`` is 1."""

    def __init__(self, jobs: int, listen: Listener) -> None:
        self.jobs, self.listen = jobs, listen
        self.deaf: Exception | None = None
        self.pool: ProcessPoolExecutor | None = None
        if jobs > 1:
            context = multiprocessing.get_context("spawn")
            self.events: Queue[Event | None] = context.Queue()
            self.ear = threading.Thread(target=self._hear, daemon=True)
            self.ear.start()
            leash, self.leash = context.Pipe(duplex=False)
            self.pool = ProcessPoolExecutor(jobs, context, _begin, (self.events, leash, os.getpid()))

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.pool is None:
            return
        if kind is not None:
            self.leash.close()
            self.events.cancel_join_thread()
        self.pool.shutdown(cancel_futures=True)
        self.events.put(None)
        # A process that died while it spoke may keep the line for ever; what it had to say is lost then.
        self.ear.join(None if kind is None else 1)
        if kind is None and self.deaf is not None:
            raise self.deaf

    def _hear(self) -> None:
        """Pass events on, and when the listener fails take them off the line yet: full, it would hold the workers."""
        while (event := self.events.get()) is not None:
            try:
                if self.deaf is None:
                    self.listen(event)
            except Exception as error:
                self.deaf = error

    def _submit(self, function: Callable[..., Any], *arguments: object) -> Future[Any]:
        assert self.pool is not None
        with _quiet():
            return self.pool.submit(function, *arguments)

    def map(self, tasks: Sequence[tuple[Callable[..., int], Sequence[object]]]) -> Iterator[int]:
        """Run plain tasks; their results as they come."""
        if self.pool is None:
            yield from (function(*arguments) for function, arguments in tasks)
        else:
            try:
                futures = [self._submit(function, *arguments) for function, arguments in tasks]
                yield from (future.result() for future in as_completed(futures))
            except BrokenProcessPool:
                raise died("while pictures were prepared") from None

    def start(self, work: Callable[[J, Listener], None], job: J) -> Future[None]:
        """Have ``work`` do a job in one of the processes; where there is none, here and now."""
        if self.pool is not None:
            return self._submit(_work, work, job)
        done = Future[None]()
        work(job, self.listen)
        done.set_result(None)
        return done

    def run_stages(self, todo: Sequence[Job], after: Callable[[Job], Any]) -> None:
        """Run each job when the stages that it needs are done; ``after`` is called in this process for each one."""
        if self.pool is None:
            for job in todo:
                run_stage(job, self.listen)
                after(job)
            return
        waiting, running = list(todo), dict[Future[None], Job]()
        try:
            while waiting or running:
                ready = [job for job in waiting if all(other.done for other in job.needs)]
                for job in ready[: self.jobs - len(running)]:
                    waiting.remove(job)
                    running[self.start(run_stage, job)] = job
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    future.result()
                    after(running.pop(future))
        except BrokenProcessPool:
            # The pool does not tell which of its processes it was.
            raise died(f"at work: {', '.join(job.label for job in running.values())}") from None


def died(when: str) -> RuntimeError:
    """What to raise where the pool lost a process."""
    return RuntimeError(f"a process died (out of memory, or killed), {when}; the same command continues")
