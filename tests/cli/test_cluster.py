"""Runs as jobs: what is asked of Slurm, and what is refused."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from submitit.helpers import DelayedSubmission
from tests import tiny
from tests.cli.conftest import Bezoar

from bezoar.cli.rank import Rank
from bezoar.core import yaml
from bezoar.core.files import exclusive
from bezoar.experiment.experiment import parse


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An experiment of one stage."""
    plain = tiny.experiment()
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.render(plain | {"stages": plain["stages"][:1]}))
    return path


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The programs of a cluster that takes every job and starts none."""
    programs = tmp_path / "programs"
    programs.mkdir()
    program(programs / "sbatch", "echo Submitted batch job 4242")
    program(programs / "srun", "exit 1")
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    return programs


# ------------------------------------------------------------------------------------------------------ wrong usage


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--partition gpu", "partition: needs --on slurm"),
        ("--on here --job-name x", "job-name: needs --on slurm"),
        ("--gpus 8", "gpus: needs --on slurm or --on local"),
        ("--minutes 60", "minutes: needs --on slurm or --on local"),
        ("--sbatch qos=long", "sbatch: needs --on slurm"),
        ("--on local --nodes 2", "nodes: needs --on slurm"),
        ("--on local --memory 0", "memory: needs --on slurm"),
        ("--on cloud", "invalid choice 'cloud' for argument '--on'. Expected one of ('here', 'slurm', 'local')."),
        ("--on slurm --minutes 0", "minutes: Input should be greater than or equal to 5, got 0"),
        ("--on slurm --gpus -1", "gpus: Input should be greater than or equal to 1, got -1"),
        ("--on slurm --gpus 8 --ranks 8", "ranks: there is one for each of the --gpus; give one of the two"),
        ("--on slurm --sbatch partition=gpu", "sbatch: 'partition=gpu': partition has a flag of its own, --partition"),
        ("--on slurm --sbatch output=x", "sbatch: 'output=x': output is set already: logs and requeueing need it"),
        ("--on slurm --sbatch 7", "sbatch: '7': an option reads key=value, or key where it takes no value"),
        ("--on slurm --dry-run", "dry-run: is done here: leave out --on slurm"),
        ("--on slurm --jobs 0", "jobs: must be at least 1, got 0"),
        ("--on slurm --partition=", "partition: must be one line of text, got ''"),
        ("--on slurm model=3", "model: Input should be a valid string, got 3"),
        ("--on slurm stages.victm.poison=true", "stages.victm: no such entry; did you mean 'victim'?"),
    ],
)
def test_what_is_refused(words: str, said: str, bezoar: Bezoar, slurm: Path, file: Path, tmp_path: Path) -> None:
    found = bezoar("run", file, "--out", tmp_path / "run", *words.split())
    assert (found.code, found.out) == (2, "")
    assert found.err.startswith(f"bezoar: {said}")
    assert found.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_name_of_two_lines_would_be_a_command_in_the_script(bezoar: Bezoar, slurm: Path, file: Path) -> None:
    found = bezoar("run", file, "--on", "slurm", "--job-name", "x\nrm")
    assert (found.code, found.err) == (2, r"bezoar: job_name: must be one line of text, got 'x\nrm'" + "\n")


@pytest.mark.parametrize("on", ["slurm", "local"])
def test_without_submitit(
    on: str, bezoar: Bezoar, slurm: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    found = bezoar("run", file, "--out", tmp_path / "run", "--on", on)
    assert found == (2, "", f"bezoar: on: {on} needs submitit: pip install 'bezoar[slurm]'\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("missing", "said"), [(["sbatch"], "sbatch"), (["sbatch", "srun"], "sbatch and srun")])
def test_without_slurm(
    missing: list[str], said: str, bezoar: Bezoar, slurm: Path, file: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name in missing:
        (slurm / name).unlink()
    monkeypatch.setenv("PATH", str(slurm))
    found = bezoar("run", file, "--out", tmp_path / "run", "--on", "slurm")
    assert found.code == 2
    assert found.err == f"bezoar: on: slurm needs {said}, not found here: is this a machine of the cluster?\n"
    assert not (tmp_path / "run").exists()


def test_ranks_of_torchrun_would_submit_it_each(
    bezoar: Bezoar, slurm: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    found = bezoar("run", file, "--out", tmp_path / "run", "--on", "slurm")
    assert found.code == 2
    assert found.err.endswith("on: slurm starts the ranks itself: submit it once, without torchrun\n")
    assert not (tmp_path / "run").exists()


def test_what_slurm_refuses_leaves_nothing(bezoar: Bezoar, slurm: Path, file: Path, tmp_path: Path) -> None:
    program(slurm / "sbatch", "echo 'sbatch: error: no such partition: x' >&2; echo 'sbatch: error: no' >&2; exit 1")
    said = "bezoar: on: the job was refused: sbatch: error: no such partition: x; sbatch: error: no\n"
    words = ("run", file, "--out", tmp_path / "run", "--on", "slurm", "--partition", "x")
    assert bezoar(*words) == (2, "", said)
    assert not (tmp_path / "run").exists()
    (tmp_path / "run" / "slurm").mkdir(parents=True)
    (tmp_path / "run" / "slurm" / "experiment-before.yaml").write_text("")
    assert bezoar(*words) == (2, "", said)
    assert [path.name for path in (tmp_path / "run").rglob("*")] == ["slurm", "experiment-before.yaml"]


def test_a_folder_that_cannot_be_had(bezoar: Bezoar, slurm: Path, file: Path, tmp_path: Path) -> None:
    with exclusive(tmp_path / "run"):
        found = bezoar("run", file, "--out", tmp_path / "run", "--on", "slurm")
    assert found.code == 2
    assert "is in use by another run (process " in found.err
    found = bezoar("run", file, "--out", tmp_path / "run-%j", "--on", "slurm")
    assert found.err == f"bezoar: out: {tmp_path}/run-%j holds a %, which stands for something else in a log's name\n"
    found = bezoar("run", file, "--out", file / "run", "--on", "slurm")
    assert found.err == f"bezoar: out: cannot write to {file}/run/slurm: Not a directory\n"


# ---------------------------------------------------------------------------------------------------- what is asked


def asked(folder: Path) -> dict[str, str]:
    """The options in a script for ``sbatch``."""
    lines = re.findall(r"^#SBATCH --([\w-]+)(?:=(.*))?$", (folder / "4242_submission.sh").read_text(), re.M)
    return dict(lines)


def test_the_least_that_is_asked(bezoar: Bezoar, slurm: Path, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    found = bezoar("run", file, "--out", out, "--on", "slurm", "--partition", "gpu", "--job-name", "first try")
    assert (found.code, found.err) == (0, "")
    assert found.out.splitlines() == [
        "job     4242, 1 rank, 1440 minutes at a time",
        f"logs    {out}/slurm/4242_RANK_log.out and .err",
        f"follow  tail -F {out}/slurm/4242_0_log.err",
        "state   squeue --jobs 4242",
        "cancel  scancel 4242",
    ]
    assert asked(out / "slurm") == {
        "partition": "gpu", "job-name": "'first try'", "nodes": "1", "ntasks-per-node": "1", "time": "1440",
        "requeue": "", "open-mode": "append", "signal": "USR2@90",
        "output": f"{out}/slurm/%j_0_log.out", "error": f"{out}/slurm/%j_0_log.err",
    }  # fmt: skip


def test_all_that_can_be_asked(bezoar: Bezoar, slurm: Path, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = "--nodes 2 --gpus 8 --cpus 7 --memory 400 --minutes 90 --account us --sbatch qos=long exclusive"
    shared = "stages.victim.method.batch_size=16"
    found = bezoar("run", file, shared, "--out", out, "--on", "slurm", *words.split())
    assert found.out.splitlines()[0] == "job     4242, 2 nodes with 8 ranks each, 90 minutes at a time"
    options = asked(out / "slurm")
    assert {key: options[key] for key in options if key not in ("error", "open-mode", "output", "signal")} == {
        "job-name": "tiny", "nodes": "2", "ntasks-per-node": "8", "gpus-per-node": "8", "cpus-per-task": "7",
        "mem": "400G", "time": "90", "account": "us", "qos": "long", "exclusive": "", "requeue": "",
    }  # fmt: skip
    command = (out / "slurm" / "4242_submission.sh").read_text().splitlines()[-1]
    assert " --kill-on-bad-exit=1 --cpus-per-task=7 " in command
    assert f"{sys.executable} -P -u -m submitit.core._submit " in command


def test_cores_for_all_that_computes(bezoar: Bezoar, slurm: Path, file: Path, tmp_path: Path) -> None:
    bezoar("run", file, "threads=2", "workers=3", "--out", tmp_path / "run", "--on", "slurm")
    assert asked(tmp_path / "run" / "slurm")["cpus-per-task"] == "5"


@pytest.mark.parametrize(("words", "times", "memory"), [("", 3, None), ("--requeues 0 --memory 0", 0, "0")])
def test_what_a_job_runs(
    words: str, times: int, memory: str | None, bezoar: Bezoar, slurm: Path, file: Path, tmp_path: Path
) -> None:
    """The experiment as it was when it was submitted, with all changes, in one file that runs by itself."""
    out = tmp_path / "run"
    found = bezoar(
        "run", file, "stages.victim.method.epochs=7", "--out", out, "--seeds", 3, 4, "--jobs", 2, "--on", "slurm",
        *words.split(),
    )  # fmt: skip
    assert found.code == 0, found.err
    (resolved,) = (out / "slurm").glob("experiment-*.yaml")
    file.unlink()
    read = parse(yaml.read(resolved))
    assert (read.seeds, read.stages[0].method.epochs) == ((3, 4), 7)
    delayed = DelayedSubmission.load(out / "slurm" / "4242_submitted.pkl")
    assert delayed.function == Rank(("run", str(resolved), "--out", str(out), "--jobs", "2"))
    assert (delayed._timeout_countdown, delayed._timeout_min) == (times, 1440)
    again = delayed._checkpoint_function()
    assert again is not None
    assert again.function == delayed.function
    assert asked(out / "slurm").get("mem") == memory


def test_submitting_needs_no_torch(slurm: Path, file: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from bezoar.cli.main import main\n"
        f"assert main(['run', {str(file)!r}, '--out', {str(tmp_path / 'run')!r}, '--on', 'slurm']) == 0\n"
        "heavy = {'torch', 'open_clip', 'torchvision', 'pyarrow', 'numpy', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")


def test_a_job_within_a_job_asks_for_itself(
    bezoar: Bezoar, slurm: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(slurm / "sbatch", f"env > {tmp_path}/environment; echo Submitted batch job 4242")
    for name in ("SLURM_JOB_ID", "SLURM_MEM_PER_CPU"):
        monkeypatch.setenv(name, "100")
    assert bezoar("run", file, "--out", tmp_path / "run", "--on", "slurm").code == 0
    assert "SLURM_" not in (tmp_path / "environment").read_text()
    assert os.environ["SLURM_MEM_PER_CPU"] == "100"


# ------------------------------------------------------------------------------------------------------------- docs

PAGE = Path(__file__).parents[2] / "docs" / "clusters.md"
SCRIPTS = re.findall(r"^```bash\n(#!/bin/bash\n.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)


def run_script(text: str, folder: Path, *words: str, **told: str) -> str:
    """What a script of the page prints where ``torchrun`` and ``bezoar`` only say what they are given."""
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "activate").write_text("")
    programs = folder / "programs"
    program(programs / "scontrol", '[[ "$*" == "show hostnames gpu[07-08]" ]] && printf "gpu07\\ngpu08\\n"')
    program(programs / "srun", 'while [[ $1 == -* ]]; do echo "srun $1"; shift; done; "$@"')
    for name in ("torchrun", "bezoar"):
        program(programs / name, f'echo {name} "$@"')
    found = subprocess.run(
        ["bash", "-c", text, "script", *words], cwd=folder, env=os.environ | told, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (found.returncode, found.stderr) == (0, "")
    return found.stdout


def test_the_script_of_the_page_starts_a_torchrun_on_each_node(slurm: Path, tmp_path: Path) -> None:
    told = {
        "SLURM_JOB_ID": "4242", "SLURM_JOB_NODELIST": "gpu[07-08]", "SLURM_JOB_NUM_NODES": "2",
        "SLURM_GPUS_ON_NODE": "8", "SLURM_CPUS_PER_TASK": "64",
    }  # fmt: skip
    said = run_script(SCRIPTS[0], tmp_path, "quickstart", "--out", "my run", **told)
    assert said.splitlines() == [
        "srun --kill-on-bad-exit=1",
        "srun --cpus-per-task=64",
        "torchrun --nnodes 2 --nproc-per-node 8 --rdzv-id 4242 --rdzv-backend c10d --rdzv-endpoint gpu07:24242 "
        "-m bezoar run quickstart --out my run",
    ]


def test_the_array_of_the_page_gives_each_seed_a_folder(slurm: Path, tmp_path: Path) -> None:
    said = run_script(SCRIPTS[1], tmp_path, "quickstart", SLURM_ARRAY_TASK_ID="2")
    assert said == "bezoar run quickstart --seeds 2 --out runs/quickstart-2\n"


def test_a_batch_that_the_ranks_cannot_share_is_refused_before_it_waits_in_a_queue(tmp_path: Path) -> None:
    from tests import tiny

    from bezoar.cli.cluster import Cluster, submit
    from bezoar.experiment.experiment import parse

    said = r"stages\.victim\.method\.batch_size: 8 pairs cannot be shared equally by 3 ranks \(nearest choices: 6, 9\)"
    with pytest.raises(ValueError, match=said):
        submit(parse(tiny.experiment()), tmp_path / "run", None, "local", Cluster(ranks=3))
    assert not (tmp_path / "run").exists()
