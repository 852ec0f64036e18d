"""What several verbs of the command line share: how sources are typed, how results and progress are shown."""

from __future__ import annotations

from typing import Annotated, Any

from tyro.conf import arg

from bezoar.cli.families import one_word
from bezoar.core.machine import rank_and_world
from bezoar.data import LABELED_SOURCES, PAIRS_SOURCES, LabeledSource, PairsSource

Source = Annotated[
    PairsSource, arg(help="A .csv, .tsv, .parquet or .jsonl file, a folder, scenes:train, or YAML in braces.")
]
Labeled = Annotated[LabeledSource | None, one_word(LABELED_SOURCES)]
HeldOut = Annotated[PairsSource | None, one_word(PAIRS_SOURCES)]


def leads() -> bool:
    """Whether this is the process that speaks: of several that ``torchrun`` has started, the first."""
    return rank_and_world()[0] == 0


def say(text: str = "") -> None:
    """Print to stdout, unless another process does."""
    if leads():
        print(text, flush=True)


def listening() -> Any:
    """A listener that shows progress on stderr while it is open."""
    from rich.console import Console

    from bezoar.cli.progress import Display

    return Display(Console(stderr=True, quiet=not leads()))
