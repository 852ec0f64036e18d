"""The verb ``bezoar sweep``: its fields are its flags; calling it does the work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from bezoar.cli.cluster import Cluster, NamedCluster
from bezoar.cli.common import leads, listening, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bezoar.experiment.sweep import Sweep as Grids
    from bezoar.experiment.sweep_works import Work

Where = Literal["here", "slurm", "local", "ray"]


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Run an experiment at many settings, each training once, and show what of them a defender would choose."""

    file: Annotated[Positional[str], arg(metavar="SWEEP|FILE")]
    """Name of a sweep that comes with Bezoar (bezoar recipes), or a YAML file with an experiment and axes."""
    changes: Positional[tuple[str, ...]] = ()
    """path.to.key=value of the experiment, as for run."""
    out: Path | None = None
    """Folder of the sweep; runs/NAME by default. The same command continues, and a second one shares the work."""
    seeds: tuple[int, ...] | None = None
    """Instead of those of the file."""
    jobs: int | None = None
    """Trainings that run side by side; cores / threads by default, on Ray as many as the cluster takes."""
    dry_run: bool = False
    """Print points, distinct trainings, steps, estimated time and disk, and stop."""
    each_seed: bool = False
    """Choose settings for each seed by itself, instead of by the mean over seeds."""
    on: Where = "here"
    """slurm: as jobs of the cluster; local: in the background; ray: by the workers of a Ray cluster."""
    spread: int | None = None
    """With --on slurm or local: how many jobs share the trainings, each taking what is ready; 1 by default."""
    cluster: NamedCluster = Cluster()

    def __call__(self) -> None:
        self._refuse_idle()
        sweep = read_sweep(self.file, self.changes, self.seeds)
        points = sweep.points()  # their faults are the user's, and come before any work
        out = self.out or Path("runs") / sweep.name
        if self.dry_run:
            show_cost(sweep, out, self.jobs)
        elif self.on in ("slurm", "local"):
            self._submit(sweep, [point.experiment for point in points], out)
        else:
            execute(sweep, out, self.jobs, self.on == "ray")
            finish(out, self.each_seed)

    def _refuse_idle(self) -> None:
        self.cluster.refuse_idle("here" if self.on == "ray" else self.on)
        if self.dry_run and self.on != "here":
            raise ValueError(f"dry-run: is done here: leave out --on {self.on}")
        if self.spread is not None and self.on not in ("slurm", "local"):
            raise ValueError("spread: needs --on slurm or --on local")
        if self.spread is not None and self.spread < 1:
            raise ValueError(f"spread: must be at least 1, got {self.spread}")

    def _submit(self, sweep: Grids, experiments: Sequence[Any], out: Path) -> None:
        from bezoar.cli.cluster import hand_over, told
        from bezoar.core.yaml import render

        assert self.on in ("slurm", "local")
        jobs = hand_over(
            "sweep", render(sweep.plain), experiments, out, self.jobs, self.on, self.cluster, self.spread or 1
        )
        for job in jobs:
            say(told(job, self.on, self.cluster))


def read_sweep(file: str, changes: Sequence[str], seeds: tuple[int, ...] | None) -> Grids:
    """A named sweep or a file, with settings of its experiment changed by their path, and other seeds where given."""
    from bezoar import recipes
    from bezoar.cli.commands import change, is_file, named
    from bezoar.core import yaml
    from bezoar.experiment.sweep import parse_sweep, with_seeds

    def load(given: Any) -> Any:
        if isinstance(given, str):
            beside = Path(file).parent / given
            given = named(str(beside) if beside.is_file() else given)
        change(given, changes)
        return given

    plain = yaml.read(Path(file)) if is_file(file) else recipes.read_sweep(file)
    sweep = parse_sweep(plain, load, file)
    return with_seeds(sweep, seeds) if seeds is not None else sweep


def execute(sweep: Grids, out: Path, jobs: int | None, on_ray: bool) -> None:
    """Train all that is not done yet."""
    from bezoar.cli.commands import side_by_side
    from bezoar.experiment.sweep_run import run_sweep

    with listening() as listen:
        if on_ray:
            from bezoar.experiment.on_ray import Ray

            with Ray(sweep.base, jobs) as ray:
                run_sweep(sweep, out, listen=listen, hands=ray)
        else:
            run_sweep(sweep, out, jobs=side_by_side(sweep.base, jobs), listen=listen)


def finish(out: Path, each_seed: bool) -> None:
    """Print the table, write it and the page, and say where everything is."""
    from bezoar.report.sweep_choice import across, within
    from bezoar.report.sweep_page import write_page
    from bezoar.report.sweep_tables import TABLES, shown
    from bezoar.report.sweeps import read_sweep as read_swept

    if not leads():
        return
    page = write_page(out, each_seed=each_seed)
    say(shown(read_swept(out), within if each_seed else across))
    say(f"sweep   {out}")
    say(f"tables  {', '.join(str(out / name) for name in TABLES)}")
    say(f"report  {page}")


def show_cost(sweep: Grids, out: Path, jobs: int | None) -> None:
    """Print what a sweep would take, of which what is done already is no part."""
    from bezoar.cli.commands import side_by_side
    from bezoar.experiment.run import check
    from bezoar.experiment.sweep_check import merged
    from bezoar.experiment.sweep_cost import sweep_costs, sweep_disk
    from bezoar.experiment.sweep_run import every_work

    found = every_work(sweep, out)
    frames = {experiment.model: check(experiment) for experiment in merged(found)}
    costs, at_once = sweep_costs(found), side_by_side(sweep.base, jobs)
    for cost in costs:
        say(f"{cost.stage:<60} {cost.steps:>8} steps   about {cost.seconds / 60:6.1f} minutes")
    trainings = sum(len(work.jobs) for work in found)
    done = [job.over for work in found for job in work.jobs]
    seconds = sum(cost.seconds for cost in costs)
    seeds = "1 seed" if len(sweep.base.seeds) == 1 else f"{len(sweep.base.seeds)} seeds"
    say(f"{len(sweep.points())} points, {len(found)} distinct stages, with {seeds} {trainings} "
        f"trainings, of which {sum(done)} are done; {_apart(sweep, found)} without sharing")  # fmt: skip
    say(f"in all {sum(cost.steps for cost in costs)} steps, about {seconds / min(at_once, trainings) / 60:.1f} minutes "
        f"({at_once} at a time, evaluation not counted), {sweep_disk(found, frames) / 1e6:.0f} MB of disk")  # fmt: skip


def _apart(sweep: Grids, found: Sequence[Work]) -> int:
    """How many trainings it would be with a run for each point."""
    return sum(len(point.experiment.expanded()) for point in sweep.points()) * len(sweep.base.seeds)
