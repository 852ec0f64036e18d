"""The stages of an experiment as values, and the models that the records know them by."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class Point(NamedTuple):
    """One measured model: a stage as the records name it, its seed, and how far it was trained."""

    stage: str
    seed: int
    epoch: int
    """Epochs finished."""
    step: int = 0
    """Steps taken; 0 where the records do not say."""
    whole: bool = True
    """Whether an epoch had just ended."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """A stage as ``experiment.yaml`` has it: one stage of the records, or one for each point of its grid."""

    name: str
    method: Mapping[str, Any]
    pairs: str
    start: str | None
    attack: str | None
    """The attack that its pairs are poisoned by: a name of ``attacks``, empty for the experiment's own."""
    threat: str | None
    """The attack that is measured after it, where the stage names one."""
    points: Mapping[str, Mapping[str, Any]]
    """Names in the records, and the fields of the grid that each stands for."""
    best_by: str | None
    """The metric whose best model is what the stage leaves; ``None`` where that is its last."""

    @property
    def kind(self) -> str:
        """The method's kind; of one from outside, its class."""
        return str(self.method.get("kind", "?")).rpartition(":")[2]

    @property
    def poison(self) -> bool:
        """Whether its pairs are poisoned."""
        return self.attack is not None


def group_of(stage: Mapping[str, Any]) -> Group:
    """A stage with its grid spelt out: ``NAME field=value …``, the names that the records carry."""
    grid, poison = stage.get("grid") or {}, stage.get("poison")
    points = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    return Group(
        name=stage["name"],
        method=stage["method"],
        pairs=str(stage.get("pairs", "")),
        start=stage.get("start"),
        attack=poison if isinstance(poison, str) else "" if poison else None,
        threat=stage.get("threat"),
        points={" ".join([stage["name"], *(f"{key}={value}" for key, value in at.items())]): at for at in points},
        best_by=str(stage.get("best_by", "accuracy_top1")) if stage.get("keep") == "best" else None,
    )
