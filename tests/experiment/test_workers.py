"""Processes for stages: an error comes through as it is, and only one's own processes are ended."""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests import tiny

from bezoar.core.progress import Event
from bezoar.experiment.experiment import parse
from bezoar.experiment.run import run
from bezoar.experiment.workers import Workers, stopping

OWN = """
import time
from typing import ClassVar

from bezoar.core.settings import settings
from bezoar.training.method import Method


@settings
class Broken(Method):
    kind: ClassVar[str] = "broken"
    sleeps: float = 0.0

    def passes(self, state, epoch):
        time.sleep(self.sleeps)
        raise ValueError("pull: must not push")
"""


def test_an_error_in_a_process_ends_the_run_and_no_stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its message is that of the run; the stage beside it does not go on for hours; other processes are left alone."""
    (tmp_path / "their_method.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    stages = [
        {"name": name, "pairs": "clean", "method": {"kind": "their_method:Broken", "sleeps": sleeps, **tiny.BRIEF}}
        for name, sleeps in (("long", 600.0), ("broken", 0.0))
    ]
    bystander = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    bystander.start()
    try:
        with pytest.raises(ValueError, match=r"^pull: must not push$"):
            run(parse(tiny.experiment(stages=stages, attack=None, labeled={})), tmp_path / "run", jobs=2)
        assert multiprocessing.active_children() == [bystander], "a process was left, or another one's was ended"
        assert bystander.is_alive()
    finally:
        bystander.kill()
        bystander.join()


def test_a_listener_that_fails_does_not_hold_the_work(tmp_path: Path) -> None:
    """As when the terminal has gone: every stage is finished, and then the failure is said."""
    heard = 0

    def listen(event: Event) -> None:
        nonlocal heard
        heard += 1
        raise BrokenPipeError("nobody listens")

    def work() -> None:
        with Workers(2, listen) as workers:
            for _ in range(3000):  # more than a pipe holds
                workers.events.put(Event("task", 1, 2, facts={"x" * 50: 1.0}))

    with pytest.raises(BrokenPipeError, match="nobody listens"):
        work()
    assert heard == 1


def test_signals_stop_as_control_c_and_only_while_the_work_lasts() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with pytest.raises(KeyboardInterrupt), stopping():
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        for kept in (signal.SIG_IGN, print):
            signal.signal(signal.SIGTERM, kept)
            with stopping():
                assert signal.getsignal(signal.SIGTERM) is kept
    finally:
        signal.signal(signal.SIGTERM, before)


def test_another_thread_leaves_signals_alone() -> None:
    found: list[object] = []

    def look() -> None:
        with stopping():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGTERM)]


def test_one_job_needs_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: pytest.fail("asked for processes"))
    tasks: list[tuple[Callable[..., int], Sequence[object]]] = [(int.__add__, (1, 2)), (int.__mul__, (3, 4))]
    with Workers(1, lambda _: None) as workers:
        assert list(workers.map(tasks)) == [3, 12]
