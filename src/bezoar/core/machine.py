"""What this machine offers: processors, paths, and a place for things that can be made again."""

from __future__ import annotations

import os
import re
from pathlib import Path


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
