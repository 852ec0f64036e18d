"""The room as a whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import bezoar.metrics


def test_importing_metrics_and_losses_does_not_import_torch() -> None:
    """``bezoar --help`` imports the settings of methods, and those import losses and metrics."""
    code = "import sys, bezoar.metrics, bezoar.losses; sys.exit('torch' in sys.modules)"
    source = str(Path(bezoar.metrics.__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": source}, check=False)
    assert done.returncode == 0


def test_all_that_is_exported_exists() -> None:
    assert all(hasattr(bezoar.metrics, name) for name in bezoar.metrics.__all__)
