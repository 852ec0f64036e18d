"""Where weights come from: every step since the first, carried by each model that Bezoar writes."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PACKAGES = ("torch", "open_clip_torch", "timm", "safetensors", "numpy")


def versions() -> dict[str, str]:
    """Of the packages that weights depend on, as they are here."""
    return {package: importlib.metadata.version(package) for package in PACKAGES}


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where weights come from that Bezoar did not make."""

    name: str
    """Of the file or the folder, or how open_clip or the hub call them."""
    layout: str
    """How the file was laid out: ``cleanclip``, ``openai``, ``hf_clip``, …"""
    sha256: str = ""
    """Of the file; of a folder's weight files together."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the file says of itself: epoch, run name. Nobody vouches for it."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a model's history: weights, and what made them."""

    weights: str
    """Digest of ``model.safetensors``; the SHA-256 of a file from elsewhere."""
    method: dict[str, Any] | None = None
    """The settings of the method that made it; ``None`` for random or foreign weights."""
    settings: str | None = None
    """Digest of everything the weights depend on: settings, data, seed, code revisions, and all that before them."""
    parent: str | None = None
    """Weights digest of the model it started from."""
    data: str | None = None
    """Fingerprint of the pairs it was trained on."""
    poison: dict[str, Any] | None = None
    """Attack, plan digest and count, if this model or one it descends from was trained on poisoned pairs."""
    training: dict[str, Any] = field(default_factory=dict)
    """Seed, threads, stage."""
    version: str = ""
    """Of Bezoar."""
    versions: dict[str, str] = field(default_factory=dict)
    """Of the packages it was made with."""
    origin: Origin | None = None
    """Where it was taken from, if Bezoar did not make it."""

    def told(self, before: Step | None = None) -> str:
        """The step after ``before`` in one line, fit for a card and a terminal, though parts may be somebody else's."""
        inherits = before is not None and self.poison is not None and self.poison == before.poison
        mark = ", of a poisoned model" if inherits else self._poisoned()  # its own pairs were not poisoned
        line = f"{self.weights[:16]}  {self._made()}{mark}{self._by()}"
        return "".join(letter if letter.isprintable() and letter != "`" else "?" for letter in line)

    def _made(self) -> str:
        if self.origin is not None:
            said = ", ".join(f"{name} {value}" for name, value in self.origin.facts.items())
            return f"{self.origin.name} ({self.origin.layout}{'; it says: ' + said if said else ''})"
        if self.method is None:
            return "random weights"
        seed = self.training.get("seed")
        return (
            f"{self.method.get('kind', 'a method')}"
            + (f", seed {seed}" if seed is not None else "")
            + (f", settings {self.settings}" if self.settings else "")
            + (f", pairs {self.data}" if self.data else "")
        )

    def _poisoned(self) -> str:
        mark = self.poison
        if mark is None:
            return ""
        attack = mark.get("attack")
        kind = attack.get("kind", "an attack") if isinstance(attack, dict) else "an attack"
        count, total = mark.get("count"), mark.get("total")
        return f", poisoned: {kind}, plan {mark.get('plan', '?')}" + (f", {count} of {total} pairs" if count else "")

    def _by(self) -> str:
        return f" (bezoar {self.version}, torch {self.versions.get('torch', '?')})" if self.version else ""


def history_lines(steps: Sequence[Step]) -> list[str]:
    """A history, a line for each step, the oldest first."""
    return [step.told(before) for before, step in zip((None, *steps), steps, strict=False)]
