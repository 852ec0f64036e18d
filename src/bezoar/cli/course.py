"""How a training is run, measured and kept: the flags that ``bezoar train`` and ``bezoar clean`` share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from bezoar.experiment.experiment import Device


@dataclass(frozen=True, kw_only=True)
class Course:
    """How a training is run, measured and kept."""

    seed: int = 0
    threads: int | None = None
    """Computing threads of each process; all cores by default."""
    workers: int = 0
    """Loader processes beside the training; results do not depend on them."""
    device: Device = "auto"
    """auto is a GPU where there is one."""
    compile: bool = False
    """Have torch.compile work on the towers."""
    deterministic: bool = False
    """Have a GPU compute the same bits every time, which is slower."""
    evaluate_every: int = 1
    """Epochs between two measurements; the end is always measured."""
    evaluate_steps: int | None = None
    """Steps between two measurements, instead of epochs."""
    keep: str = "last"
    """Which models to keep: none, last, best (of those measured, on --val or --held-out), or every:N epochs."""
    best_by: str = "accuracy_top1"
    """The metric by which best is chosen, as contrastive_loss on --held-out."""

    def refuse_idle(self) -> None:
        """Raise ``ValueError`` for a flag that says nothing beside the others."""
        if self.best_by != Course.best_by and self.keep != "best":
            raise ValueError("best-by: says what --keep best goes by; give both, or neither")
        if self.evaluate_steps is not None and self.evaluate_every != Course.evaluate_every:
            raise ValueError("evaluate-every: counts epochs where evaluate-steps counts steps; give one of them")

    @property
    def kept(self) -> Literal["none", "last", "best"]:
        """Which model the run ends with."""
        word = self.keep
        if word in ("none", "last", "best"):
            return word  # type: ignore[return-value]
        if not re.fullmatch("every:[1-9][0-9]*", word):
            raise ValueError(f"keep: '{word}' is none of none, last, best, every:N (as every:8)")
        return "last"

    @property
    def kept_every(self) -> int | None:
        """Epochs between models that are kept beside it."""
        return int(self.keep.removeprefix("every:")) if self.keep.startswith("every:") else None


NamedCourse = Annotated[Course, tyro.conf.arg(name="", help="How it is run, measured and kept.")]
