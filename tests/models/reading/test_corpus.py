"""Every hostile or broken file is refused in one clear line or read harmlessly, and nothing in it ever runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.models.reading.corpus import CASES, Case

WATCHED = Path(__file__).with_name("watched.py")
GROWTH_MB = 400


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("canary") / "sang"


@pytest.fixture(scope="module")
def seen(canary: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What a watched process made of every file, by name."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "files").mkdir()
    (folder / "warm").mkdir()
    for case in CASES:
        case.write(folder / "files" / case.name, canary)
    warm(folder / "warm")
    ran = subprocess.run(
        [sys.executable, str(WATCHED), str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=canary.parent,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    found: dict[str, dict[str, Any]] = json.loads(ran.stdout)
    return found


def warm(folder: Path) -> None:
    """One good file of each form."""
    tensors = {"w": torch.ones(3)}
    torch.save(tensors, folder / "a.pt")
    torch.save(tensors, folder / "b.pt", _use_new_zipfile_serialization=False)
    save_file(tensors, folder / "c.safetensors")
    next(case for case in CASES if case.name == "script_good.pt").write(folder / "d.pt", folder)


def test_there_are_many_and_no_two_of_one_name() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 200


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_nothing_runs_and_the_refusal_says_why(case: Case, seen: dict[str, dict[str, Any]], canary: Path) -> None:
    found = seen[case.name]
    assert found["events"] == []
    assert not list(canary.parent.iterdir()), "the canary sang"
    assert found["grown_mb"] < GROWTH_MB
    assert "skim_error" not in found
    if case.words is None:
        assert not found["faults"]
        assert "read" in found, found
        return
    assert found["faults"]
    assert found["error"] == "ValueError"
    assert case.name in found["said"]
    assert "\n" not in found["said"]
    assert re.search(case.words, found["said"]), found["said"]


def test_the_watch_would_see_it(canary: Path, tmp_path: Path) -> None:
    """The hook reports an unpickler that obeys, so that its silence means something."""
    code = WATCHED.read_text().replace("seen = skim(path)", "import pickle; pickle.loads(path.read_bytes())")
    (tmp_path / "watched.py").write_text(code)
    for name in ("files", "warm"):
        (tmp_path / name).mkdir()
    next(case for case in CASES if case.name == "pickle_2.pkl").write(tmp_path / "files" / "x.pkl", tmp_path / "sang")
    ran = subprocess.run(
        [sys.executable, str(tmp_path / "watched.py"), str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert (tmp_path / "sang").exists()
    assert any("os.system" in event for event in json.loads(ran.stdout)["x.pkl"]["events"])
