"""What a run ran on: versions, processor, revision of the code."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("bezoar", "torch", "torchvision", "open_clip_torch", "timm", "numpy", "pillow", "safetensors")


@functools.cache
def revision() -> str:
    """Git revision of the code, with ``+`` where the tree differs; the version where there is no repository."""
    here = Path(__file__).parent
    try:
        if git_of(here, "rev-parse", "--show-toplevel") != str(here.parents[2]):
            raise OSError  # installed inside somebody else's repository
        head = git_of(here, "rev-parse", "--short=12", "HEAD")
        return head + ("+" if git_of(here, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return f"v{_version('bezoar')}"


def git_of(folder: Path, *words: str) -> str:
    """The output of a git command; raises ``OSError`` or ``SubprocessError`` when there is none."""
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def describe(threads: int) -> dict[str, Any]:
    """The environment as plain values."""
    import torch

    return {
        "git": revision(),
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": threads,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "packages": {package: _version(package) for package in PACKAGES},
    }
