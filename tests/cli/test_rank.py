"""What runs in a job: told who it is, one line where it fails, and real jobs in the background of this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import submitit
from submitit.helpers import DelayedSubmission
from tests import tiny

import bezoar.cli.main
from bezoar.cli.cluster import Cluster, submit, told
from bezoar.cli.rank import Rank
from bezoar.core.records import read_lines, read_records
from bezoar.experiment.experiment import Experiment, parse

TASK = {
    "SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_ID": "4242", "SLURM_NTASKS": "4", "SLURM_JOB_NUM_NODES": "2",
    "SLURM_JOB_NODELIST": "gpu[07-08]", "SLURM_PROCID": "3", "SLURM_NODEID": "1", "SLURM_LOCALID": "1",
}  # fmt: skip
"""What Slurm tells the last of two ranks on the second of two nodes."""


def experiment(**method: Any) -> Experiment:
    """One stage of one epoch, without an attack."""
    plain = tiny.experiment(attack=None)
    victim = plain["stages"][0] | {"poison": False, "evaluate_every": 100}
    victim["method"] |= {"epochs": 1} | method
    return parse(plain | {"stages": [victim], "evaluators": plain["evaluators"][:1]})


@pytest.fixture
def listening() -> Iterator[list[int]]:
    """submitit's ear for the signal that ends the time, and what it heard."""
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: heard.append(number))
    yield heard
    signal.signal(signal.SIGUSR2, before)


def test_a_rank_is_told_what_torchrun_tells(listening: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("MASTER_ADDR", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    found: dict[str, str] = {}

    def main(words: list[str]) -> int:
        found.update({name: os.environ[name] for name in names}, words=" ".join(words))
        return 0

    for name in (*names, "MASTER_PORT"):
        monkeypatch.setenv(name, "7")
    for name, value in TASK.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr(bezoar.cli.main, "main", main)
    Rank(("run", "x"))()
    assert found == {
        "MASTER_ADDR": "gpu07", "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2",
        "words": "run x",
    }  # fmt: skip
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
    # A rank that is not the first is not the one that requeues: it goes on.
    os.kill(os.getpid(), signal.SIGUSR2)
    assert listening == [signal.SIGUSR2]


def test_an_error_is_one_line_and_its_exit_code(tmp_path: Path) -> None:
    DelayedSubmission(Rank(("run", "quickstart", "model=3"))).dump(tmp_path / "4242_submitted.pkl")
    found = subprocess.run(
        [sys.executable, "-m", "submitit.core._submit", str(tmp_path)],
        env=os.environ | TASK | {"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 2, found.stderr
    assert found.stderr == "bezoar: model: Input should be a valid string, got 3\n"


@pytest.mark.slow
def test_ranks_in_the_background(tmp_path: Path) -> None:
    """Submitted and left alone they train together; the first one measures, writes and speaks."""
    asked = Cluster(ranks=2, minutes=60)
    job = submit(experiment(), tmp_path / "run", None, "local", asked)
    try:
        lines = told(job, "local", asked).splitlines()
        assert lines[0] == f"job     {job.job_id}, 2 ranks, 60 minutes at a time"
        wait(job)
        logs = tmp_path / "run" / "local"
        assert f"{logs}/{job.job_id}_0_log.err" in lines[2]
        said = [(logs / f"{job.job_id}_{rank}_log.out").read_text() for rank in (0, 1)]
        assert [text.count("Job completed successfully") for text in said] == [1, 1]
        assert ["report  " in text for text in said] == [True, False]
        assert "Traceback" not in (logs / f"{job.job_id}_0_log.err").read_text()
        assert (logs / f"{job.job_id}_1_log.err").read_text() == ""
        assert {record.epoch for record in read_records(tmp_path / "run" / "records.jsonl")} == {1}
        (stage,) = (tmp_path / "run").glob("stages/*/stage.json")
        assert json.loads(stage.read_text())["ranks"] == 2
    finally:
        job.cancel()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks at processes as Linux shows them")
def test_a_job_that_runs_out_of_time_continues(tmp_path: Path) -> None:
    """The signal of a cluster, as soon as there is a state: the job starts again and goes on where it was."""
    out = tmp_path / "run"
    job = submit(experiment(epochs=20), out, 1, "local", Cluster())
    try:
        while not list(out.glob("stages/*/training_state")):
            assert not job.done(), job.stderr()
            time.sleep(0.02)
        (child,) = Path(f"/proc/{job.job_id}/task/{job.job_id}/children").read_text().split()
        os.kill(int(child), signal.SIGUSR2)
        wait(job)
        said = job.stdout()
        assert said is not None
        assert said.count("Starting with") == 2
        assert said.count("Requeued job") == said.count("Job completed successfully") == 1
        assert [line["step"] for line in read_lines(out / "steps.jsonl")] == sorted(
            {line["step"] for line in read_lines(out / "steps.jsonl")}
        )
        assert {record.epoch for record in read_records(out / "records.jsonl")} == {20}
    finally:
        job.cancel()


def wait(job: submitit.Job[Any]) -> None:
    while not job.done():
        time.sleep(0.1)
