"""The verbs of the command line. Each is a value whose fields are its flags; calling it does the work."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import Positional, arg

from bezoar.cli.cluster import Cluster, NamedCluster, Place, submit, told
from bezoar.cli.common import HeldOut, Labeled, Source, leads, listening, say
from bezoar.cli.course import Course, NamedCourse
from bezoar.cli.data import Data, Keys, NamedKeys
from bezoar.cli.evaluating import Evaluate
from bezoar.cli.families import subcommands
from bezoar.cli.model import Model
from bezoar.cli.poisoning import Poison
from bezoar.cli.sweep import Sweep
from bezoar.cli.zoo import Zoo
from bezoar.experiment.experiment import METHODS
from bezoar.training.method import Method

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bezoar.experiment.experiment import Experiment


@dataclass(frozen=True, kw_only=True)
class Quickstart:
    """The whole story on the built-in scenes: poison, train, measure, clean, measure again, report."""

    out: Path = Path("runs/quickstart")
    """Run folder."""
    jobs: int | None = None
    """Stages that run side by side; all cores by default."""

    def __call__(self) -> None:
        from bezoar import recipes
        from bezoar.experiment.experiment import parse

        execute(parse(recipes.read("quickstart")), self.out, self.jobs)


@dataclass(frozen=True, kw_only=True)
class Recipes:
    """List the recipes and the sweeps over them, or show one."""

    name: Positional[str | None] = None
    """The recipe or the sweep to show."""

    def __call__(self) -> None:
        from bezoar import recipes

        if self.name in recipes.sweeps():
            say(recipes.sweep_text(self.name).rstrip())
        elif self.name is not None:
            say(recipes.text(self.name).rstrip())
        else:
            for name in recipes.names():
                say(f"{name:<28} {recipes.read(name).get('about', '')}")
            say("\nsweeps (bezoar sweep NAME)")
            for name in recipes.sweeps():
                say(f"{name:<28} {recipes.read_sweep(name).get('about', '')}")


@dataclass(frozen=True, kw_only=True)
class Run:
    """Run an experiment: a recipe or a YAML file, with any setting changed by its path."""

    experiment: Annotated[Positional[str], arg(metavar="RECIPE|FILE")]
    """Name of a recipe, or a YAML file."""
    changes: Positional[tuple[str, ...]] = ()
    """path.to.key=value; an entry of a list goes by its name or number: stages.finetune.method.lr=1e-4."""
    out: Path | None = None
    """Run folder; runs/NAME by default."""
    seeds: tuple[int, ...] | None = None
    """Instead of the experiment's own."""
    jobs: int | None = None
    """Stages that run side by side; cores / threads by default."""
    dry_run: bool = False
    """Print steps, estimated time and disk, and stop."""
    on: Place = "here"
    """slurm: as a job of the cluster; local: in the background. The flags below say what the job asks for."""
    cluster: NamedCluster = Cluster()

    def __call__(self) -> None:
        self.cluster.refuse_idle(self.on)
        if self.dry_run and self.on != "here":
            raise ValueError(f"dry-run: is done here: leave out --on {self.on}")
        experiment = changed(self.experiment, self.changes, self.seeds)
        out = self.out or Path("runs") / experiment.name
        if self.dry_run:
            show_cost(experiment, self.jobs)
        elif self.on == "here":
            execute(experiment, out, self.jobs)
        else:
            say(told(submit(experiment, out, self.jobs, self.on, self.cluster), self.on, self.cluster))


@dataclass(frozen=True, kw_only=True)
class Train:
    """Pre-train a model on pairs, poisoned or not."""

    method: Annotated[Method, tyro.conf.arg(constructor=subcommands(METHODS))]
    pairs: Source
    keys: NamedKeys = Keys()
    model: str
    """Architecture (micro-cnn-32, RN50, ViT-B-32 …), name:tag, hf-hub:owner/name, or a model folder."""
    out: Path
    """Run folder; the same command continues an interrupted run."""
    poison: Path | None = None
    """Poison folder to lay over the pairs."""
    oracle: bool = False
    """Tell the method which pairs are poisoned: for one that needs it, as unlearn."""
    teacher: str | None = None
    """The model that teaches a method that has a teacher, as nad: a model folder, or a name as for --model."""
    val: Labeled = None
    """Labeled set to measure after each epoch, as scenes:validation."""
    held_out: HeldOut = None
    """Pairs to measure retrieval and the contrastive loss on after each epoch."""
    course: NamedCourse = Course()

    def __call__(self) -> None:
        from bezoar.experiment.verbs import planned, train

        self.keys.refuse_idle(self.pairs, self.val, self.held_out)
        self.course.refuse_idle()
        attack, how = planned(self.poison) if self.poison else None, self.course
        with listening() as listen:
            folder = train(
                self.method, pairs=self.keys.of(self.pairs), model=self.model, out=self.out, attack=attack,
                val=self.val and self.keys.of(self.val), held_out=self.held_out and self.keys.of(self.held_out),
                oracle=self.oracle, teacher=self.teacher, seed=how.seed, threads=how.threads, workers=how.workers,
                device=how.device, compile=how.compile, deterministic=how.deterministic, keep=how.kept,
                keep_every=how.kept_every, best_by=how.best_by, evaluate_every=how.evaluate_every,
                evaluate_steps=how.evaluate_steps, listen=listen,
            )  # fmt: skip
        finish(self.out, folder)


@dataclass(frozen=True, kw_only=True)
class Clean:
    """Clean a model on pairs that can be trusted."""

    method: Annotated[Method, tyro.conf.arg(constructor=subcommands(METHODS))]
    model: str
    """The model to clean: a model folder, or a name as for train."""
    pairs: Source
    keys: NamedKeys = Keys()
    out: Path
    """Run folder; the same command continues an interrupted run."""
    against: Path | None = None
    """Poison folder whose attack is measured after each epoch; it never touches the pairs."""
    poison: Path | None = None
    """Poison folder to lay over the pairs: clean ones in which some poison was left."""
    oracle: bool = False
    """Tell the method which pairs are poisoned: for one that needs it, as unlearn."""
    teacher: str | None = None
    """The model that teaches a method that has a teacher, as nad: a model folder, or a name as for --model."""
    val: Labeled = None
    """Labeled set to measure after each epoch, as scenes:validation."""
    held_out: HeldOut = None
    """Pairs to measure retrieval and the contrastive loss on after each epoch."""
    course: NamedCourse = Course()
    json: bool = False
    """Print one JSON object: every model with its numbers, what has changed, what is said of it."""

    def __call__(self) -> None:
        from bezoar.experiment.verbs import clean, planned

        self.keys.refuse_idle(self.pairs, self.val, self.held_out)
        self.course.refuse_idle()
        against = planned(self.against) if self.against else None
        left, how = planned(self.poison) if self.poison else None, self.course
        with listening() as listen:
            folder = clean(
                self.method, model=self.model, pairs=self.keys.of(self.pairs), out=self.out, against=against, left=left,
                val=self.val and self.keys.of(self.val), held_out=self.held_out and self.keys.of(self.held_out),
                oracle=self.oracle, teacher=self.teacher, seed=how.seed, threads=how.threads, workers=how.workers,
                device=how.device, compile=how.compile, deterministic=how.deterministic, keep=how.kept,
                keep_every=how.kept_every, best_by=how.best_by, evaluate_every=how.evaluate_every,
                evaluate_steps=how.evaluate_steps, listen=listen,
            )  # fmt: skip
        finish(self.out, folder, self.json)


@dataclass(frozen=True, kw_only=True)
class Report:
    """Write the page and the tables of a run folder, of several beside each other, or of a sweep."""

    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN")]
    """Run folders; those that hold other seeds of one experiment are pooled. Or the folder of one sweep."""
    out: Path | None = None
    """HTML file; report.html in the folder by default, for several runs in the current folder."""
    by: tuple[str, ...] = ()
    """Settings to split the plane by: seed, run, method, lr, or any path of experiment.yaml; axes of a sweep."""
    export: Path | None = None
    """Folder for every table and plot as files of their own."""
    formats: tuple[Literal["md", "csv", "tex", "svg", "png"], ...] = ("md", "csv", "tex", "svg", "png")
    """Which files to export."""
    each_seed: bool = False
    """Of a sweep: choose settings for each seed by itself, instead of by the mean over seeds."""

    def __call__(self) -> None:
        from bezoar.report import export, write
        from bezoar.report.sweep_export import export_sweep
        from bezoar.report.sweep_page import only_sweep, write_page

        if self.export is None and self.formats != Report.formats:
            raise ValueError("formats: are those of an export: name its folder with --export")
        sweep = only_sweep(self.runs)
        if self.each_seed and sweep is None:
            raise ValueError("each-seed: is for the folder of a sweep")
        if sweep is not None:
            say(f"wrote {write_page(sweep, self.out, self.by, self.each_seed)}")
        else:
            say(f"wrote {write(*self.runs, out=self.out, by=self.by)}")
        if self.export is None:
            return
        if sweep is not None:
            files = export_sweep(sweep, self.export, self.formats, self.by, self.each_seed)
        else:
            files = export(*self.runs, to=self.export, formats=self.formats, by=self.by)
        say(f"wrote {len(files)} files to {self.export}")


def changed(name: str, changes: Sequence[str], seeds: tuple[int, ...] | None) -> Experiment:
    """The recipe or the YAML file ``name``, with settings changed by their path, and other seeds where given."""
    from bezoar.experiment.experiment import parse

    data = named(name)
    change(data, changes)
    experiment = parse(data, name)
    return experiment if seeds is None else dataclasses.replace(experiment, seeds=seeds)


def named(name: str) -> Any:
    """The plain settings of a recipe or a YAML file."""
    from bezoar import recipes
    from bezoar.core import yaml

    return yaml.read(Path(name)) if is_file(name) else recipes.read(name)


def is_file(name: str) -> bool:
    """Whether ``name`` is that of a YAML file, not of what comes with Bezoar."""
    return name.endswith((".yaml", ".yml")) or "/" in name


def change(data: Any, changes: Sequence[str]) -> None:
    """Set ``path.to.key=value`` in plain settings."""
    from bezoar.core import yaml
    from bezoar.experiment.experiment import override

    for each in changes:
        path, equals, value = each.partition("=")
        if not equals:
            raise ValueError(f"'{each}': a change reads path.to.key=value")
        override(data, path, yaml.parse(value, each))


def side_by_side(experiment: Experiment, jobs: int | None) -> int:
    """How many stages to run at a time: as many as the cores take, one on a GPU or where ranks train it together."""
    from bezoar.core.machine import cores, rank_and_world
    from bezoar.models.clip import pick_device

    if jobs is None and rank_and_world()[1] > 1:
        return 1
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs: must be at least 1, got {jobs}")
    if jobs is None and pick_device(experiment.device).type == "cuda":
        return 1
    return jobs or max(1, cores() // experiment.threads)


def execute(experiment: Experiment, out: Path, jobs: int | None) -> None:
    """Run an experiment, print its table, write its page."""
    from bezoar.experiment.run import run

    with listening() as listen:
        run(experiment, out, jobs=side_by_side(experiment, jobs), listen=listen)
    finish(out)


def finish(out: Path, model: Path | None = None, as_json: bool = False) -> None:
    """Write the page of a run and say where everything is."""
    from bezoar.report import result, summary, write

    if not leads():
        return
    page = write(out)
    kept = model if model is not None and model.exists() else None
    if as_json:
        say(json.dumps({"model": str(kept) if kept else None, "report": str(page), **result(out)}))
        return
    say(summary(out))
    if kept:
        say(f"model   {kept}")
    say(f"report  {page}")


def show_cost(experiment: Experiment, jobs: int | None) -> None:
    """Print what a run would take."""
    from bezoar.experiment.estimate import disk_bytes, estimate
    from bezoar.experiment.run import check

    size = check(experiment).size
    at_once = side_by_side(experiment, jobs)
    costs = estimate(experiment)
    for cost in costs:
        say(f"{cost.stage:<40} {cost.steps:>8} steps   about {cost.seconds / 60:6.1f} minutes")
    seconds = sum(cost.seconds for cost in costs) / min(at_once, len(costs))
    say(f"in all about {seconds / 60:.1f} minutes ({at_once} at a time, evaluation not counted), "
        f"{disk_bytes(experiment, size) / 1e6:.0f} MB of disk")  # fmt: skip


def commands() -> Iterator[tuple[str, type]]:
    """Every verb by name."""
    for command in (Quickstart, Recipes, Run, Data, Poison, Train, Clean, Evaluate, Sweep, Report, Model, Zoo):
        yield command.__name__.lower(), command


SHARED = (Quickstart, Run, Train, Clean, Sweep)
"""What several processes do together, when ``torchrun`` starts it."""
