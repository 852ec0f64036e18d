"""``bezoar run --on slurm``: the same command as a job of a cluster, or in the background of this machine."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from pydantic import AfterValidator, Field, model_validator

from bezoar.cli.rank import Rank
from bezoar.core.files import clean_if_refused, refuse_held, writable_folder, write_text
from bezoar.core.machine import rank_and_world
from bezoar.core.settings import Settings, digest, dump, settings

if TYPE_CHECKING:
    from submitit import Executor, Job

    from bezoar.experiment.experiment import Experiment

Place = Literal["here", "slurm", "local"]
Elsewhere = Literal["slurm", "local"]


def _one_line(text: str) -> str:
    """What may stand in a line of the script that Slurm reads."""
    if not text or not text.isprintable():
        raise ValueError(f"must be one line of text, got {text!r}")
    return text


Word = Annotated[str, AfterValidator(_one_line)]
Count = Annotated[int, Field(ge=1)]

DAY, REQUEUES = 1440, 3
_LOCAL = ("gpus", "ranks", "minutes", "requeues")
_FLAGS = {
    "account": "account", "cpus-per-task": "cpus", "gpus-per-node": "gpus", "job-name": "job-name", "mem": "memory",
    "nodes": "nodes", "ntasks-per-node": "ranks", "partition": "partition", "time": "minutes",
}  # fmt: skip
_SET = ("array", "error", "open-mode", "output", "signal")
"""Options of sbatch on which logs and requeueing rest."""


@settings
class Cluster(Settings):
    """What a job asks for."""

    partition: Word | None = None
    """The nodes to run on; the cluster's default partition otherwise."""
    job_name: Word | None = None
    """What the queue shows; the experiment's name by default."""
    account: Word | None = None
    """The account that is charged."""
    nodes: Count | None = None
    """Nodes; 1 by default."""
    gpus: Count | None = None
    """GPUs of each node, with a rank for each; none by default."""
    ranks: Count | None = None
    """Ranks on each node without --gpus; 1 by default."""
    cpus: Count | None = None
    """Cores of each rank; by default what the experiment's threads and workers take."""
    memory: Annotated[int, Field(ge=0)] | None = None
    """GB of memory of each node; 0 is all of it."""
    minutes: Annotated[int, Field(ge=5)] | None = None
    """When they are over the job goes back into the queue, to continue; a day by default."""
    requeues: Annotated[int, Field(ge=0)] | None = None
    """How often it may do so; 3 by default. Preemption does not count."""
    sbatch: tuple[Word, ...] = ()
    """More options of sbatch: qos=long exclusive."""

    @model_validator(mode="after")
    def _agree(self) -> Cluster:
        if self.gpus is not None and self.ranks is not None:
            raise ValueError("ranks: there is one for each of the --gpus; give one of the two")
        for word in self.sbatch:
            key = word.partition("=")[0]
            if not re.fullmatch(r"[a-z][a-z-]*", key):
                raise ValueError(f"sbatch: '{word}': an option reads key=value, or key where it takes no value")
            if key in _FLAGS:
                raise ValueError(f"sbatch: '{word}': {key} has a flag of its own, --{_FLAGS[key]}")
            if key in _SET:
                raise ValueError(f"sbatch: '{word}': {key} is set already: logs and requeueing need it")
        return self

    @property
    def ranks_per_node(self) -> int:
        """Training processes on each node."""
        return self.gpus or self.ranks or 1

    def refuse_idle(self, on: Place) -> None:
        """Raise ``ValueError`` for a setting that says nothing about a run that is done ``on``."""
        for name, value in vars(self).items():
            local = name in _LOCAL
            if value not in (None, ()) and (on == "here" or (on == "local" and not local)):
                raise ValueError(f"{name.replace('_', '-')}: needs --on slurm{' or --on local' if local else ''}")


NamedCluster = Annotated[Cluster, tyro.conf.arg(name="", help="What a job asks for, with --on slurm or --on local.")]


def submit(experiment: Experiment, out: Path, jobs: int | None, on: Elsewhere, ask: Cluster) -> Job[Any]:
    """Hand a run over; what was resolved here is what will run, whatever becomes of the recipe or file meanwhile.

    The experiment is read by now; data and model are first opened by the job, not on a login node. Raises
    ``ValueError`` where submitit or Slurm is missing, where ``out`` cannot be written or is in use, or where ``sbatch``
    refuses.
    """
    refuse_held(out)
    (job,) = hand_over("run", _rendered(experiment), [experiment], out, jobs, on, ask)
    return job


def hand_over(
    verb: str, text: str, experiments: Sequence[Experiment], out: Path, jobs: int | None, on: Elsewhere, ask: Cluster,
    copies: int = 1,
) -> list[Job[Any]]:  # fmt: skip
    """Submit ``bezoar VERB`` of a file with this ``text``, as several jobs where ``copies`` of it share the work.

    ``experiments`` are all that it runs; the first says how many cores a job asks for. Raises ``ValueError`` as
    ``submit`` does; then no job is left.
    """
    executors = {"slurm": _slurm, "local": _local}
    _refuse_missing(on)
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs: must be at least 1, got {jobs}")
    if "%" in str(out.absolute()):
        raise ValueError(f"out: {out} holds a %, which stands for something else in a log's name")
    if rank_and_world()[1] > 1:
        raise ValueError(f"on: {on} starts the ranks itself: submit it once, without torchrun")
    for stage in (stage for experiment in experiments for stage in experiment.expanded()):
        stage.method.check_ranks((ask.nodes or 1) * ask.ranks_per_node, f"stages.{stage.name}.method")
    out, new = out.absolute(), not out.exists()
    with clean_if_refused(out, new), _tidy(writable_folder(out / on)) as folder:
        resolved = folder / f"experiment-{digest(text)}.yaml"
        write_text(resolved, text)
        words = (verb, str(resolved), "--out", str(out), *(("--jobs", str(jobs)) if jobs is not None else ()))
        executor, submitted = executors[on](folder, experiments[0], ask), list["Job[Any]"]()
        try:
            for _ in range(copies):
                submitted.append(executor.submit(Rank(words)))
        except BaseException:
            for job in submitted:
                job.cancel(check=False)
            raise
    return submitted


def told(job: Job[Any], on: Elsewhere, ask: Cluster) -> str:
    """Which job it is, where its logs lie, how to follow it and how to end it."""
    logs = job.paths.folder
    first = shlex.quote(str(job.paths.stderr))
    state, cancel = {"slurm": ("squeue --jobs", "scancel"), "local": ("ps -p", "kill -INT")}[on]
    nodes = ask.nodes or 1
    size = f"{nodes} nodes with {ask.ranks_per_node}" if nodes > 1 else f"{ask.ranks_per_node}"
    return "\n".join([
        f"job     {job.job_id}, {size} rank{'s' if ask.ranks_per_node > 1 else ''}"
        f"{' each' if nodes > 1 else ''}, {ask.minutes or DAY} minutes at a time",
        f"logs    {logs / job.job_id}_RANK_log.out and .err",
        f"follow  tail -F {first}",
        f"state   {state} {job.job_id}",
        f"cancel  {cancel} {job.job_id}",
    ])  # fmt: skip


def _rendered(experiment: Experiment) -> str:
    from bezoar.core.yaml import render

    return render(dump(experiment))


def _refuse_missing(on: Elsewhere) -> None:
    try:
        import submitit  # noqa: F401
    except ImportError:
        raise ValueError(f"on: {on} needs submitit: pip install 'bezoar[slurm]'") from None
    missing = [name for name in ("sbatch", "srun") if on == "slurm" and shutil.which(name) is None]
    if missing:
        raise ValueError(f"on: slurm needs {' and '.join(missing)}, not found here: is this a machine of the cluster?")


@contextlib.contextmanager
def _tidy(folder: Path) -> Iterator[Path]:
    """Leave nothing new in ``folder`` when the submission fails, and make a ``ValueError`` of what ``sbatch`` says."""
    from submitit.core.utils import FailedJobError, FailedSubmissionError
    from submitit.helpers import clean_env

    before = set(folder.iterdir())
    # Inside a job, what Slurm has set for that job would be taken for options of the new one.
    outside = clean_env() if "SLURM_JOB_ID" in os.environ else contextlib.nullcontext()
    try:
        with outside, contextlib.redirect_stderr(io.StringIO()):  # submitit prints what it then raises
            yield folder
    except BaseException as error:
        for path in set(folder.iterdir()) - before:
            if not re.match(r"\d+_", path.name):  # a log of an earlier job that starts just now
                path.unlink()
        if isinstance(error, (FailedJobError, FailedSubmissionError)):
            raise ValueError(f"on: the job was refused: {'; '.join(str(error).splitlines())}") from None
        raise


def _python() -> str:
    """The command for this interpreter; files of the current folder must not hide modules."""
    return f"{shlex.quote(sys.executable)} -P"


def _slurm(folder: Path, experiment: Experiment, ask: Cluster) -> Executor:
    from submitit import SlurmExecutor

    executor = SlurmExecutor(folder, max_num_timeout=_or(ask.requeues, REQUEUES), python=_python())
    busy = experiment.threads + experiment.workers
    cpus = ask.cpus or (busy if busy > 1 else None)  # for one core the cluster may have a better default
    more = {key: value if equals else True for key, equals, value in (word.partition("=") for word in ask.sbatch)}
    executor.update_parameters(
        job_name=ask.job_name or experiment.name,
        partition=ask.partition,
        account=ask.account,
        nodes=ask.nodes or 1,
        ntasks_per_node=ask.ranks_per_node,
        gpus_per_node=ask.gpus,
        cpus_per_task=cpus,
        mem=None if ask.memory is None else f"{ask.memory}G" if ask.memory else "0",
        time=ask.minutes or DAY,
        wckey=None,
        # Ranks that have lost one would wait for it; and since Slurm 22.05 srun does not take over cpus-per-task.
        srun_args=["--kill-on-bad-exit=1", *([f"--cpus-per-task={cpus}"] if cpus else [])],
        additional_parameters={"requeue": True, **more},
    )
    return executor


def _local(folder: Path, experiment: Experiment, ask: Cluster) -> Executor:
    from submitit import LocalExecutor

    executor = LocalExecutor(folder, max_num_timeout=_or(ask.requeues, REQUEUES), python=_python())
    executor.update_parameters(
        tasks_per_node=ask.ranks_per_node, gpus_per_node=ask.gpus or 0, timeout_min=ask.minutes or DAY
    )
    return executor


def _or(value: int | None, usual: int) -> int:
    return usual if value is None else value
