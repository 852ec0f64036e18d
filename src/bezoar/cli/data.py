"""``bezoar data``: look at what a source holds, have it labeled, and look at what is kept of sources."""

from __future__ import annotations

import dataclasses
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import tyro
from tyro.conf import Positional

from bezoar.core.settings import Family, Settings
from bezoar.data import LABELED_SOURCES, PAIRS_SOURCES, LabeledSource, PairsSource
from bezoar.experiment.experiment import Device
from bezoar.training.distilled import AnyObjective
from bezoar.training.method import Precision
from bezoar.training.objective import ClipLoss

if TYPE_CHECKING:
    from bezoar.core.progress import Listener
    from bezoar.data.inspection import Inspection, Spread
    from bezoar.data.pairs import Source

S = TypeVar("S", bound=Settings)


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Columns of a table, where they are not called as usual."""

    image_key: str = ""
    """Column of image paths, or of encoded images."""
    caption_key: str = ""
    """Column of captions."""
    label_key: str = ""
    """Column of labels."""

    def of(self, source: S) -> S:
        """``source`` with the columns named, also where it is made of another; what it names itself stays."""
        named = {key: value for key, value in vars(self).items() if value and getattr(source, key, None) == ""}
        if hasattr(source, "of"):
            named["of"] = self.of(source.of)
        return dataclasses.replace(source, **named) if named else source

    def pairs(self, word: str, listen: Listener) -> PairsSource:
        """The pairs that ``word`` means, with the columns named, read where they never were."""
        given = PAIRS_SOURCES.parse_text(word)
        self.refuse_idle(given)
        source = self.of(given)
        source.ingest(listen)
        return source

    def refuse_idle(self, *sources: Settings | None) -> None:
        """Raise ``ValueError`` for a column that none of a command's sources has."""
        given = [source for source in sources if source is not None]
        for key, value in vars(self).items():
            if value and not any(hasattr(_innermost(source), key) for source in given):
                takers = dict.fromkeys(_taken(_innermost(source)) for source in given)
                raise ValueError(f"{key.replace('_', '-')}: no source here takes it: {'; '.join(takers)}")


def _taken(source: Settings) -> str:
    """What flags of columns a kind of source takes, in words."""
    keys = [field.name.replace("_", "-") for field in dataclasses.fields(Keys) if hasattr(source, field.name)]
    return f"{type(source).__name__} takes {' and '.join(keys) or 'none'}"


def _innermost(source: Any) -> Settings:
    while hasattr(source, "of"):
        source = source.of
    assert isinstance(source, Settings)
    return source


NamedKeys = Annotated[Keys, tyro.conf.arg(name="", help="Columns of a table.")]


@dataclass(frozen=True, kw_only=True)
class Inspect:
    """Say what a source holds: counts, sizes, captions or classes, and what was passed over and why."""

    source: Annotated[Positional[str], tyro.conf.arg(metavar="SOURCE")]
    """A .csv, .tsv, .parquet or .jsonl file, a folder, scenes:train, or YAML in braces."""
    labeled: bool = False
    """Read it as a labeled set, not as pairs."""
    keys: NamedKeys = Keys()
    sheet: Path | None = None
    """PNG file for a contact sheet of its pictures."""
    json: bool = False
    """Print one JSON object."""

    def __call__(self) -> None:
        from bezoar.cli.common import listening, say
        from bezoar.data.inspection import inspect, write_sheet

        if self.sheet is not None and self.sheet.suffix.lower() != ".png":
            raise ValueError(f"sheet: must be a .png file, got {self.sheet}")
        family: Family[Any] = LABELED_SOURCES if self.labeled else PAIRS_SOURCES
        given = family.parse_text(self.source)
        self.keys.refuse_idle(given)
        source: Source = self.keys.of(given)
        with listening() as listen:
            found = inspect(source, listen)
        if self.sheet is not None:
            write_sheet(source, self.sheet)
        if self.json:
            say(json.dumps(dataclasses.asdict(found)))
            return
        say("\n".join(_told(found)))
        if self.sheet is not None:
            say(f"sheet       {self.sheet}")


@dataclass(frozen=True, kw_only=True)
class Label:
    """Write down what a model takes each image for, of a list of classes: pseudo-labels, by id."""

    source: Annotated[Positional[str], tyro.conf.arg(metavar="SOURCE")]
    """Pairs: a .csv, .tsv, .parquet or .jsonl file, a folder, scenes:train, or YAML in braces."""
    model: str
    """The model that labels: a folder, a file, NAME:TAG, hf-hub:OWNER/NAME."""
    classes: str
    """A text or JSON file of names, imagenet or another list by name, or a labeled set that has them."""
    out: Path
    """Parquet file for the labels."""
    templates: str = "auto"
    """Prompt templates: the labeled set's own or else CLIP's 80 (auto), openai (80), simple, plain, own, a file."""
    keys: NamedKeys = Keys()
    workers: Annotated[int, tyro.conf.arg(metavar="INT")] = 0
    """Processes that read pictures."""
    device: Device = "auto"
    """auto is a GPU where there is one."""
    json: bool = False
    """Print one JSON object."""

    def __call__(self) -> None:
        from bezoar.cli.common import listening, say
        from bezoar.experiment.labeling import label

        with listening() as listen:
            found = label(
                self.keys.pairs(self.source, listen), model=self.model, classes=_classes(self.classes), out=self.out,
                templates=self.templates, device=self.device, workers=self.workers, listen=listen,
            )  # fmt: skip
        if self.json:
            say(json.dumps({**dataclasses.asdict(found), "out": str(found.out)}))
            return
        shown = ", ".join(f"{name} {count:,}" for name, count in list(found.counts.items())[:10])
        say(f"labeled     {found.images:,} images, as {len(found.counts):,} of {found.classes:,} classes")
        say(f"most often  {shown}{', …' if len(found.counts) > 10 else ''}")
        say(f"probability {found.probability:.1%} of the class that was taken, in the mean")
        say(f"written to  {found.out}")


def _classes(word: str) -> str | LabeledSource:
    """What a word says of classes: a labeled set, else a list by name or a file of names."""
    family = LABELED_SOURCES
    is_file = Path(word).suffix in (".json", ".txt", ".py")
    is_set = word.startswith("{") or word.partition(":")[0] in family.members or family.guess(word)
    return family.parse_text(word) if is_set and not is_file else word


@dataclass(frozen=True, kw_only=True)
class Adversarial:
    """Write pairs again with their pictures changed a little against a model: what adp takes as --pictures."""

    source: Annotated[Positional[str], tyro.conf.arg(metavar="SOURCE")]
    """Pairs: a .csv, .tsv, .parquet or .jsonl file, a folder, scenes:train, or YAML in braces."""
    model: str
    """The model that shall do worse on them: a folder, a file, NAME:TAG, hf-hub:OWNER/NAME."""
    out: Path
    """Folder for pairs.csv and the pictures; the same command continues an interrupted one."""
    objective: AnyObjective = ClipLoss()
    """The loss that is raised."""
    steps: int = 5
    """Steps of the momentum iterative attack."""
    decay: float = 0.9
    """Of its momentum."""
    step: float = 0.05
    """Length of a step, as a share of the span of values of a channel."""
    bound: float = 0.0125
    """How far a value may move, as such a share."""
    batch_size: int = 128
    """Pairs that are compared with each other."""
    seed: int = 0
    keys: NamedKeys = Keys()
    device: Device = "auto"
    """auto is a GPU where there is one."""
    precision: Precision = "auto"
    """Autocast of the towers: auto is bf16 where the device has the units for it."""

    def __call__(self) -> None:
        from bezoar.cli.common import listening, say
        from bezoar.experiment.adversarial import adversarial

        with listening() as listen:
            found = adversarial(
                self.keys.pairs(self.source, listen), model=self.model, out=self.out, objective=self.objective,
                steps=self.steps, decay=self.decay, step=self.step, bound=self.bound, batch_size=self.batch_size,
                seed=self.seed, device=self.device, precision=self.precision, listen=listen,
            )  # fmt: skip
        say(f"changed     {found.pairs:,} pictures")
        say(f"loss        rises from {found.before:.4g} to {found.after:.4g}")
        say(f"written to  {found.out / 'pairs.csv'}")


@dataclass(frozen=True, kw_only=True)
class Cache:
    """Show what is kept of sources so that they are read fast, and how much room it takes."""

    clear: bool = False
    """Delete it all; it is made again when it is needed. Nothing may be running."""

    def __call__(self) -> None:
        from bezoar.cli.common import say
        from bezoar.core.machine import cache_folder

        root = cache_folder() / "sources"
        total = 0
        for folder in sorted(root.glob("*")) if root.is_dir() else ():
            size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            total += size
            unfinished = "" if (folder / "facts.json").exists() else "   not read to the end"
            say(f"{size / 1e6:10.1f} MB   {folder.name}{unfinished}")
        say(f"{total / 1e6:10.1f} MB   in {root}")
        if self.clear and root.is_dir():
            shutil.rmtree(root)
            say("deleted")


@dataclass(frozen=True, kw_only=True)
class Data:
    """Look at data: inspect a source, have a model label it, change it against a model, see what is kept of sources."""

    verb: (
        Annotated[Inspect, tyro.conf.subcommand("inspect", prefix_name=False)]
        | Annotated[Label, tyro.conf.subcommand("label", prefix_name=False)]
        | Annotated[Adversarial, tyro.conf.subcommand("adversarial", prefix_name=False)]
        | Annotated[Cache, tyro.conf.subcommand("cache", prefix_name=False)]
    )

    def __call__(self) -> None:
        self.verb()


def _told(found: Inspection) -> list[str]:
    from bezoar.data.class_names import twins
    from bezoar.data.inspection import spread

    kind = "labeled images" if found.classes is not None else "pairs"
    shown = f" of {found.pictures:,} pictures" if found.pictures != found.count else ""
    lines = [f"holds       {found.count:,} {kind}{shown}, fingerprint {found.fingerprint}"]
    if found.skips.count:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in found.skips.reasons.items())
        lines.append(f"passed over {found.skips.count:,} of {found.skips.rows:,} rows: {reasons}")
        lines.append(f"            listed in {found.skips.listed}")
    else:
        lines.append(f"passed over none of {found.skips.rows:,} rows")
    lines.append(
        f"pictures    {_of(found.widths)} px wide, {_of(found.heights)} px high ({found.looked_at:,} looked at)"
    )
    if found.words:
        lines.append(f"captions    {_of(found.words)} words")
    if found.classes is not None:
        counts = [count for _, count in found.classes]
        lines.append(f"classes     {len(counts):,}, of {_of(spread(counts))} images each")
        empty = [name for name, count in found.classes if not count]
        if empty:
            lines.append(f"            without an image: {', '.join(empty[:10])}{' …' if len(empty) > 10 else ''}")
        double = twins([name for name, _ in found.classes])
        if double:
            lines.append(f"            one name for two, which zero-shot cannot tell apart: {', '.join(double)}")
        lines.append(f"templates   {len(found.templates) or 'none of its own'}")
    lines += [f"            {name}: {text!r}" for name, text in found.examples]
    return lines + [f"note        {note}" for note in found.notes]


def _of(spread: Spread) -> str:
    least, middle, greatest = (f"{value:,.0f}" for value in spread)
    return least if least == greatest else f"{least} to {greatest} (median {middle})"
