"""Whatever ends a run, the same command continues it to the same bits: a dead worker, a dead run, Ctrl-C."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests import tiny
from tests.experiment.test_run import equal

from bezoar.core import yaml
from bezoar.core.progress import Event
from bezoar.experiment.experiment import parse
from bezoar.experiment.run import run

SOURCE = Path(__file__).parents[2] / "src"


def plain() -> dict[str, Any]:
    """Two stages that do not wait for each other, each of enough epochs to be broken off in the middle."""
    method = {"kind": "clip", **tiny.BRIEF, "epochs": 16}
    stages = [
        {"name": name, "pairs": "clean", "method": {**method, "lr": lr}, "evaluate_every": 5}
        for name, lr in (("slow", 1e-4), ("fast", 1e-3))
    ]
    return tiny.experiment(stages=stages, attack=None, evaluators=[{"kind": "zero_shot", "templates": ["a {c}"]}])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing broke off."""
    folder = tmp_path_factory.mktemp("whole")
    run(parse(plain()), folder)
    return folder


@contextmanager
def started(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """``bezoar run`` in a process group of its own, when both of its stages have finished an epoch."""
    path = folder.parent / "experiment.yaml"
    path.write_text(yaml.render(plain()))
    command = [sys.executable, "-m", "bezoar", "run", str(path), "--out", str(folder), "--jobs", "2"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            until(lambda: len(list(folder.glob("stages/*/training_state"))) == 2 or process.poll() is not None, 60)
            assert process.poll() is None, process.communicate()
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def until(true: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has buried yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_killed_worker_is_one_clear_line(whole: Path, tmp_path: Path) -> None:
    seen: set[str] = set()
    killed: list[int] = []

    def hear(event: Event) -> None:
        seen.add(event.task)
        if {"slow", "fast"} <= seen and not killed:
            killed.append(multiprocessing.active_children()[0].pid or 0)
            os.kill(killed[0], signal.SIGKILL)

    with pytest.raises(RuntimeError) as caught:
        run(parse(plain()), tmp_path, jobs=2, listen=hear)
    assert str(caught.value) == (
        "a process died (out of memory, or killed), at work: slow, fast; the same command continues"
    )
    assert not multiprocessing.active_children()
    run(parse(plain()), tmp_path)
    assert equal(tmp_path, whole)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads the processes of Linux")
def test_a_killed_run_leaves_no_orphans(whole: Path, tmp_path: Path) -> None:
    with started(tmp_path / "run") as process:
        workers = children(process.pid)
        assert len(workers) >= 2
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        until(lambda: all(map(gone, workers)), 10)
    run(parse(plain()), tmp_path / "run")
    assert equal(tmp_path / "run", whole)


def test_control_c_ends_with_130_and_one_line(whole: Path, tmp_path: Path) -> None:
    """As a terminal sends it: to the run and to its workers at once."""
    with started(tmp_path / "run") as process:
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1] == "bezoar: interrupted; the same command continues"
    assert "Traceback" not in err
    run(parse(plain()), tmp_path / "run")
    assert equal(tmp_path / "run", whole)
