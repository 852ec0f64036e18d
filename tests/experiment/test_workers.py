"""Processes for stages: an error comes through as it is, and only one's own processes are ended."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests import tiny

from bezoar.experiment.experiment import parse
from bezoar.experiment.run import run
from bezoar.experiment.workers import Workers

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


def test_one_job_needs_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: pytest.fail("asked for processes"))
    tasks: list[tuple[Callable[..., int], Sequence[object]]] = [(int.__add__, (1, 2)), (int.__mul__, (3, 4))]
    with Workers(1, lambda _: None) as workers:
        assert list(workers.map(tasks)) == [3, 12]
