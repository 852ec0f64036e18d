"""The room as a whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import bezoar.report


def test_importing_it_is_light() -> None:
    heavy = "{'torch', 'matplotlib', 'jinja2', 'pyarrow', 'PIL'}"
    code = f"import sys, bezoar.report; sys.exit(bool({heavy} & set(sys.modules)))"
    source = str(Path(bezoar.report.__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": source}, check=False)
    assert done.returncode == 0


def test_a_report_needs_no_torch(tmp_path: Path) -> None:
    """Reading a run must not load what ran it: a report is made in a second."""
    from tests.report.handmade import WHOLE, add_plan, add_stage, make_run

    folder = make_run(tmp_path, WHOLE)
    add_plan(folder)
    add_stage(folder, "victim")
    code = (
        "import sys, pathlib, bezoar.report as r\n"
        "r.write(pathlib.Path(sys.argv[1]))\n"
        "sys.exit(bool({'torch', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    source = str(Path(bezoar.report.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": source}
    done = subprocess.run([sys.executable, "-c", code, str(folder)], env=environment, check=False)
    assert done.returncode == 0


def test_all_that_is_exported_exists() -> None:
    assert all(hasattr(bezoar.report, name) for name in bezoar.report.__all__)
