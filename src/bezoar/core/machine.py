"""What this machine offers: processors, paths, and a place for things that can be made again."""

from __future__ import annotations

import os
import re
from pathlib import Path


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LostError(RuntimeError):
    """Another process of the job has ended, and this one with it; the reason is what that one has to say."""


def rank_and_world() -> tuple[int, int]:
    """This process's number and how many train together, as ``torchrun`` says in the environment; else 0 and 1.

    Raises ``ValueError`` for numbers that do not fit.
    """
    words = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
    if words == (None, None):
        return 0, 1
    numbers = [int(word) for word in words if word is not None and word.isdecimal()]
    if len(numbers) < 2 or not numbers[0] < numbers[1]:
        raise ValueError(f"RANK and WORLD_SIZE: must be set together, with 0 <= RANK < WORLD_SIZE, got {words}")
    return numbers[0], numbers[1]


def cache_folder() -> Path:
    """``$BEZOAR_CACHE``, or ``bezoar`` in the user's cache folder; it may be deleted whenever nothing runs."""
    given = os.environ.get("BEZOAR_CACHE")
    if given:
        return Path(given).expanduser()
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "bezoar"


def expand(path: str) -> Path:
    """``path`` with ``~`` and ``$VARIABLES`` put in; raises ``ValueError`` for one that is not set."""
    found = os.path.expanduser(os.path.expandvars(path))
    if "$" in found:
        unset = ", ".join(re.findall(r"\$\{?\w+\}?", found)) or "what stands after its $"
        raise ValueError(f"path: {path}: {unset} is not set in the environment; set it, or write the path out")
    return Path(found)
