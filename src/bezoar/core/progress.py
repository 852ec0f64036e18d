"""How long work tells what it has done: a plain event to whoever listens. The library itself prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Event:
    """``task`` has done ``done`` of ``total`` units; ``facts`` are its current numbers (loss terms, learning rate)."""

    task: str
    done: int
    total: int
    unit: str = "steps"
    size: int = 1
    """What one unit counts for in the rate that is shown, as the pairs of a step."""
    facts: Mapping[str, float] = field(default_factory=dict)


Listener = Callable[[Event], None]


def silent(_: Event) -> None:
    """The listener that does nothing."""
