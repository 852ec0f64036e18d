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
from bezoar.core.settings import dump
from bezoar.experiment.experiment import Experiment, parse
from bezoar.experiment.run import run

SOURCE = Path(__file__).parents[2] / "src"


def plain(own: str) -> dict[str, Any]:
    """Two stages that do not wait for each other, each of enough epochs to be broken off in the middle."""
    stages = [
        {"name": name, "pairs": "clean", "method": {**tiny.BRIEF, "kind": kind, "epochs": 12}, "evaluate_every": 5}
        for name, kind in (("theirs", own), ("ours", "clip"))
    ]
    return tiny.experiment(stages=stages, attack=None, evaluators=[{"kind": "zero_shot", "templates": ["a {c}"]}])


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Experiment]:
    """An experiment with a method from outside the package, whose module every process must find."""
    folder = tmp_path_factory.mktemp("theirs")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield parse(plain(tiny.their_method(folder)))


@pytest.fixture(scope="module")
def whole(theirs: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing broke off, one stage after the other."""
    folder = tmp_path_factory.mktemp("whole")
    run(theirs, folder)
    return folder


@contextmanager
def started(experiment: Experiment, folder: Path, jobs: int) -> Iterator[subprocess.Popen[str]]:
    """``bezoar run`` in a process group of its own, when a stage has finished an epoch; others may just begin."""
    path = folder.parent / "experiment.yaml"
    path.write_text(yaml.render(dump(experiment)))
    command = [sys.executable, "-m", "bezoar", "run", str(path), "--out", str(folder), "--jobs", str(jobs)]
    places = [str(SOURCE), str(Path(sys.modules["my_method"].__file__ or "").parent)]
    with subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": os.pathsep.join(places)}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            until(lambda: any(folder.glob("stages/*/training_state")) or process.poll() is not None, 120)
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


@pytest.mark.slow
def test_a_killed_worker_is_one_clear_line(theirs: Experiment, whole: Path, tmp_path: Path) -> None:
    """And two stages side by side end as one after the other."""
    seen: set[str] = set()
    killed: list[int] = []

    def hear(event: Event) -> None:
        seen.add(event.task)
        if {"ours", "theirs"} <= seen and not killed:
            killed.append(multiprocessing.active_children()[0].pid or 0)
            os.kill(killed[0], signal.SIGKILL)

    with pytest.raises(RuntimeError) as caught:
        run(theirs, tmp_path, jobs=2, listen=hear)
    said = "a process died (out of memory, or killed), at work: theirs, ours; the same command continues"
    assert str(caught.value) == said
    assert not multiprocessing.active_children()
    run(theirs, tmp_path, jobs=2)
    assert equal(tmp_path, whole)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads the processes of Linux")
def test_a_killed_run_leaves_no_orphans(theirs: Experiment, whole: Path, tmp_path: Path) -> None:
    with started(theirs, tmp_path / "run", jobs=2) as process:
        workers = children(process.pid)
        assert len(workers) >= 2
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        until(lambda: all(map(gone, workers)), 10)
    run(theirs, tmp_path / "run")
    assert equal(tmp_path / "run", whole)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads the processes of Linux")
@pytest.mark.parametrize(
    ("number", "send"), [(signal.SIGINT, os.killpg), (signal.SIGTERM, os.kill)], ids=["Ctrl-C to all", "SIGTERM to one"]
)
def test_a_signal_ends_it_with_130_and_one_line(
    number: signal.Signals, send: Callable[[int, int], None], theirs: Experiment, whole: Path, tmp_path: Path
) -> None:
    """Side by side, whether a terminal tells every process or a scheduler only the first; no process stays behind."""
    with started(theirs, tmp_path / "run", jobs=2) as process:
        workers = children(process.pid)
        send(process.pid, number)
        out, err = process.communicate(timeout=60)
        until(lambda: all(map(gone, workers)), 10)
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1] == "bezoar: interrupted; the same command continues"
    assert "Traceback" not in err
    run(theirs, tmp_path / "run")
    assert equal(tmp_path / "run", whole)
