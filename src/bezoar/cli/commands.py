"""The verbs of the command line. Each is a value whose fields are its flags; calling it does the work."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import Positional, arg

from bezoar.attacks import ATTACKS, Attack
from bezoar.attacks.caption_trigger import CaptionTrigger
from bezoar.attacks.families import CAPTION_TRIGGERS, TRIGGERS
from bezoar.attacks.trigger import Trigger
from bezoar.cli.data import Data, Keys, NamedKeys
from bezoar.cli.families import one_word, subcommands
from bezoar.data import LABELED_SOURCES, PAIRS_SOURCES, LabeledSource, PairsSource
from bezoar.experiment.experiment import METHODS, Device
from bezoar.training.method import Method

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bezoar.evaluation import AttackSuccess
    from bezoar.experiment.experiment import Experiment

Source = Annotated[
    PairsSource, arg(help="A .csv, .tsv, .parquet or .jsonl file, a folder, scenes:train, or YAML in braces.")
]
Labeled = Annotated[LabeledSource | None, one_word(LABELED_SOURCES)]
HeldOut = Annotated[PairsSource | None, one_word(PAIRS_SOURCES)]


def say(text: str = "") -> None:
    """Print to stdout."""
    print(text, flush=True)


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
    """List the recipes, or show one."""

    name: Positional[str | None] = None
    """The recipe to show."""

    def __call__(self) -> None:
        from bezoar import recipes

        if self.name is not None:
            say(recipes.text(self.name).rstrip())
            return
        for name in recipes.names():
            say(f"{name:<24} {recipes.read(name).get('about', '')}")


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

    def __call__(self) -> None:
        experiment = self._experiment()
        if self.dry_run:
            show_cost(experiment, self.jobs)
        else:
            execute(experiment, self.out or Path("runs") / experiment.name, self.jobs)

    def _experiment(self) -> Experiment:
        from bezoar import recipes
        from bezoar.core import yaml
        from bezoar.experiment.experiment import override, parse

        is_file = self.experiment.endswith((".yaml", ".yml")) or "/" in self.experiment
        data = yaml.read(Path(self.experiment)) if is_file else recipes.read(self.experiment)
        for change in self.changes:
            path, equals, value = change.partition("=")
            if not equals:
                raise ValueError(f"'{change}': a change reads path.to.key=value")
            override(data, path, yaml.parse(value, change))
        experiment = parse(data, self.experiment)
        return experiment if self.seeds is None else dataclasses.replace(experiment, seeds=self.seeds)


@dataclass(frozen=True, kw_only=True)
class Poison:
    """Plan an attack on pairs, or on a labeled set: who gets which trigger and which caption."""

    attack: Annotated[Attack, tyro.conf.arg(constructor=subcommands(ATTACKS))]
    pairs: Annotated[PairsSource | None, one_word(PAIRS_SOURCES)] = None
    """A .csv, .tsv, .parquet or .jsonl file, a folder, scenes:train, or YAML in braces."""
    labeled: Labeled = None
    """A labeled set instead of pairs, for poison in labels."""
    keys: NamedKeys = Keys()
    out: Path | None = None
    """Poison folder; a dry run needs none."""
    image_size: int = 224
    """Resolution of the model that will see the pairs: survival of the trigger is measured there."""
    seed: int = 0
    allow_dead_trigger: bool = False
    """Write a plan none of whose triggers reaches the model."""
    dry_run: bool = False
    """Count, measure survival, and write nothing."""
    preview: bool = False
    """Write preview.png too: clean, triggered, ten times the difference, old and new caption."""
    materialize: Literal["none", "csv", "parquet", "webdataset"] = "none"
    """Write a poisoned copy with lossless pictures too, in this form."""
    copy: Path | None = None
    """Folder of the copy; OUT/copy by default."""
    json: bool = False
    """Print one JSON object."""

    def __call__(self) -> None:
        from bezoar.attacks.applied import refuse_uncopied
        from bezoar.cli.poisoning import Facts
        from bezoar.experiment import verbs

        facts = Facts(self.attack, self._source(), self.image_size)
        if self.out is None and not self.dry_run:
            raise ValueError("out: name the poison folder, or look first with --dry-run")
        if self.copy is not None and self.materialize == "none":
            raise ValueError("copy: names the folder of a copy: choose its form with --materialize")
        if self.dry_run and (self.preview or self.materialize != "none"):
            raise ValueError(f"{'preview' if self.preview else 'materialize'}: writes files, and a dry run writes none")
        if self.labeled is not None and self.materialize not in ("none", "csv"):
            raise ValueError(f"materialize: a labeled set is written as csv (labels.csv), not as {self.materialize}")
        if self.materialize != "none":
            refuse_uncopied({threat.stage for threat in self.attack.aim(self.seed).threats if threat.trigger})
        out, copy = None if self.dry_run else self.out, None
        if out is None:
            plan = verbs.draft(
                self.attack, pairs=facts.source, image_size=self.image_size, seed=self.seed,
                allow_dead_trigger=self.allow_dead_trigger,
            )  # fmt: skip
        else:
            plan = verbs.poison(
                self.attack, pairs=facts.source, out=out, image_size=self.image_size, seed=self.seed,
                allow_dead_trigger=self.allow_dead_trigger, sheet=self.preview,
            )  # fmt: skip
        if out is not None and self.materialize != "none":
            copy = self.copy or out / "copy"
            with listening() as listen:
                verbs.materialize(
                    out, pairs=facts.source, labeled=self.labeled and self.keys.of(self.labeled), copy=copy,
                    form=self.materialize, image_size=self.image_size, listen=listen,
                )  # fmt: skip
        say(json.dumps(facts.plain(plan, out, copy)) if self.json else "\n".join(facts.lines(plan, out, copy)))

    def _source(self) -> PairsSource:
        from bezoar.attacks.labels import Labels, as_pairs

        if self.image_size < 1:
            raise ValueError(f"image-size: must be at least 1, got {self.image_size}")
        if (self.pairs is None) == (self.labeled is None):
            raise ValueError("pairs: give pairs to poison, or a labeled set with --labeled, one of them")
        self.keys.refuse_idle(self.pairs, self.labeled)
        if self.labeled is not None:
            if not isinstance(self.attack, Labels):
                raise ValueError(f"labeled: attack '{self.attack.kind}' poisons pairs; labels are poisoned by 'labels'")
            return as_pairs(self.keys.of(self.labeled))
        assert self.pairs is not None
        return self.keys.of(self.pairs)


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
    val: Labeled = None
    """Labeled set to measure after each epoch, as scenes:validation."""
    held_out: HeldOut = None
    """Pairs to measure retrieval on after each epoch."""
    seed: int = 0
    threads: int | None = None
    """Computing threads; all cores by default."""
    workers: int = 0
    """Loader processes beside the training; results do not depend on them."""
    device: Device = "auto"
    """auto is a GPU where there is one."""

    def __call__(self) -> None:
        from bezoar.experiment.verbs import planned, train

        self.keys.refuse_idle(self.pairs, self.val, self.held_out)
        attack = planned(self.poison) if self.poison else None
        with listening() as listen:
            folder = train(
                self.method, pairs=self.keys.of(self.pairs), model=self.model, out=self.out, attack=attack,
                val=self.val and self.keys.of(self.val), held_out=self.held_out and self.keys.of(self.held_out),
                seed=self.seed, threads=self.threads, workers=self.workers, device=self.device, listen=listen,
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
    val: Labeled = None
    """Labeled set to measure after each epoch, as scenes:validation."""
    held_out: HeldOut = None
    """Pairs to measure retrieval on after each epoch."""
    seed: int = 0
    threads: int | None = None
    """Computing threads; all cores by default."""
    workers: int = 0
    """Loader processes beside the training; results do not depend on them."""
    device: Device = "auto"
    """auto is a GPU where there is one."""

    def __call__(self) -> None:
        from bezoar.experiment.verbs import clean, planned

        self.keys.refuse_idle(self.pairs, self.val, self.held_out)
        against = planned(self.against) if self.against else None
        left = planned(self.poison) if self.poison else None
        with listening() as listen:
            folder = clean(
                self.method, model=self.model, pairs=self.keys.of(self.pairs), out=self.out, against=against, left=left,
                val=self.val and self.keys.of(self.val), held_out=self.held_out and self.keys.of(self.held_out),
                seed=self.seed, threads=self.threads, workers=self.workers, device=self.device, listen=listen,
            )  # fmt: skip
        finish(self.out, folder)


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measure a model: clean accuracy, and the success of an attack where one is named."""

    model: str
    """A model folder, or a name as for train."""
    data: Labeled = None
    """Labeled set: a table, a folder with one folder a class or a labels.csv, scenes:test, or YAML in braces."""
    held_out: HeldOut = None
    """Pairs to measure retrieval on."""
    keys: NamedKeys = Keys()
    poison: Path | None = None
    """Poison folder whose trigger and target are measured."""
    trigger: Annotated[Trigger | None, one_word(TRIGGERS)] = None
    """A trigger to measure without a plan: patch, patch:solid, or YAML in braces."""
    target: str | None = None
    """The class that the trigger is to call up."""
    words: Annotated[CaptionTrigger | None, one_word(CAPTION_TRIGGERS)] = None
    """Words in every prompt beside the trigger, for a dual key: phrase:SUDO."""
    stage: Literal["model", "file"] | None = None
    """Where the trigger is put on: after resize and crop (model), or on the file; by default as the plan says."""
    by_class: bool = False
    """Tell the attack's success for each class too."""
    templates: str = "auto"
    """Prompt templates: the labeled set's own or else CLIP's 80 (auto), openai (80), simple, plain, own."""
    scores: Path | None = None
    """Folder for the per-sample tables."""
    device: Device = "auto"
    """auto is a GPU where there is one."""
    json: bool = False
    """Print one JSON object."""

    def __call__(self) -> None:
        from bezoar.evaluation import Evaluator, Retrieval, ZeroShot
        from bezoar.experiment.verbs import ATTACKED, evaluate, planned

        self._check()
        self.keys.refuse_idle(self.data, self.held_out)
        measured: tuple[Evaluator, ...] = ()
        if self.data:
            measured = (ZeroShot(templates=self.templates), *self._success(), *(
                dataclasses.replace(one, templates=self.templates) for one in ATTACKED if not self.trigger
            ))  # fmt: skip
        measures = evaluate(
            model=self.model, data=self.data and self.keys.of(self.data),
            held_out=self.held_out and self.keys.of(self.held_out),
            evaluators=(*measured, *((Retrieval(),) if self.held_out else ())),
            against=planned(self.poison) if self.poison else None, scores=self.scores, device=self.device,
        )  # fmt: skip
        if self.json:
            say(json.dumps({"model": self.model, "measures": [dataclasses.asdict(m) for m in measures]}))
            return
        for m in measures:
            say(f"{m.metric:<19} {m.value:7.2%}   95 % interval {m.low:.2%} to {m.high:.2%}   n {m.n}   {m.data}")

    def _check(self) -> None:
        if self.poison and self.trigger:
            raise ValueError("trigger: give a poison folder or a trigger, not both")
        if self.trigger and not self.target:
            raise ValueError("target: a trigger needs the class it is to call up")
        if self.target and not (self.trigger or self.poison):
            raise ValueError("trigger: a target needs the trigger that is to call it up")
        for name in ("words", "stage"):
            if getattr(self, name) and not (self.trigger or self.poison):
                raise ValueError(f"{name}: belongs to a trigger: name one with --trigger, or a poison folder")
        if self.by_class and not (self.trigger or self.poison):
            raise ValueError("by-class: tells an attack's success, and none is named")
        if (self.poison or self.trigger) and not self.data:
            raise ValueError("data: an attack is measured on a labeled set, and none is given")

    def _success(self) -> tuple[AttackSuccess, ...]:
        from bezoar.evaluation import AttackSuccess, AttackSuccessByClass

        kinds = (AttackSuccess, AttackSuccessByClass) if self.by_class else (AttackSuccess,)
        return tuple(
            kind(templates=self.templates, trigger=self.trigger, target=self.target, words=self.words, stage=self.stage)
            for kind in kinds
        )


@dataclass(frozen=True, kw_only=True)
class Report:
    """Write the page and the tables of a run folder, or of several beside each other."""

    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN")]
    """Run folders; those that hold other seeds of one experiment are pooled."""
    out: Path | None = None
    """HTML file; report.html in the run folder by default, for several runs in the current folder."""
    by: tuple[str, ...] = ()
    """Settings to split the plane by: seed, run, method, lr, or any path of experiment.yaml."""
    export: Path | None = None
    """Folder for every table and plot as files of their own."""
    formats: tuple[Literal["md", "csv", "tex", "svg", "png"], ...] = ("md", "csv", "tex", "svg", "png")
    """Which files to export."""

    def __call__(self) -> None:
        from bezoar.report import export, write

        if self.export is None and self.formats != Report.formats:
            raise ValueError("formats: are those of an export: name its folder with --export")
        say(f"wrote {write(*self.runs, out=self.out, by=self.by)}")
        if self.export is not None:
            files = export(*self.runs, to=self.export, formats=self.formats, by=self.by)
            say(f"wrote {len(files)} files to {self.export}")


def listening() -> Any:
    """A listener that shows progress on stderr while it is open."""
    from rich.console import Console

    from bezoar.cli.progress import Display

    return Display(Console(stderr=True))


def side_by_side(experiment: Experiment, jobs: int | None) -> int:
    """How many stages to run at a time: as many as the cores take, one on a GPU."""
    from bezoar.core.machine import cores
    from bezoar.models.clip import pick_device

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


def finish(out: Path, model: Path | None = None) -> None:
    """Write the page of a run and say where everything is."""
    from bezoar.report import summary, write

    page = write(out)
    say(summary(out))
    if model is not None:
        say(f"model   {model}")
    say(f"report  {page}")


def show_cost(experiment: Experiment, jobs: int | None) -> None:
    """Print what a run would take."""
    from bezoar.experiment.estimate import disk_bytes, estimate
    from bezoar.experiment.run import check

    size = check(experiment)
    at_once = side_by_side(experiment, jobs)
    costs = estimate(experiment)
    for cost in costs:
        say(f"{cost.stage:<40} {cost.steps:>8} steps   about {cost.seconds / 60:6.1f} minutes")
    seconds = sum(cost.seconds for cost in costs) / min(at_once, len(costs))
    say(f"in all about {seconds / 60:.1f} minutes ({at_once} at a time, evaluation not counted), "
        f"{disk_bytes(experiment, size) / 1e6:.0f} MB of disk")  # fmt: skip


def commands() -> Iterator[tuple[str, type]]:
    """Every verb by name."""
    for command in (Quickstart, Recipes, Run, Data, Poison, Train, Clean, Evaluate, Report):
        yield command.__name__.lower(), command
