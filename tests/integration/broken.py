"""A run in a process of its own that can be broken off at any point, and what a run left, compared byte by byte."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests import tiny

from bezoar.core import yaml
from bezoar.core.records import read_lines

ROOT = Path(__file__).parents[2]
Told = dict[str, Any]
Whole = tuple[Path, Told]
TIMES = {"at", "git", "pairs_per_second", "seconds", "training_seconds", "training_processor_seconds"}


def experiment() -> dict[str, Any]:
    """A poisoned victim of two epochs and a cleaning of it: every kind of file that a run writes."""
    plain = tiny.experiment()
    victim, _, cleanclip = plain["stages"]
    return plain | {
        "stages": [victim, cleanclip],
        "pairs": {"train": {"kind": "scenes", "count": 24}, "clean": plain["pairs"]["clean"]},
        "labeled": {"validation": {"kind": "scenes", "count": 8}},
    }


class Driver:
    """Runs an experiment in children of a process that has everything imported."""

    def __init__(self, scratch: Path) -> None:
        self.path = scratch / "experiment.yaml"
        self.path.write_text(yaml.render(experiment()))
        places = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("driver.py")), str(scratch)],
            env={**os.environ, "PYTHONPATH": places, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(
        self, folder: Path, words: Sequence[str] = (), path: Path | None = None, verb: str = "run", **fate: Any
    ) -> Told:
        """One child: its status, what it said, the atomic writes it began, and how long it took."""
        (told,) = self.together(folder, fate, words=words, path=path, verb=verb)
        return told

    def together(
        self, folder: Path, *fates: Mapping[str, Any], words: Sequence[str] = (), path: Path | None = None,
        verb: str = "run",
    ) -> list[Told]:  # fmt: skip
        """As many ranks as there are fates, as ``torchrun`` starts them, and how each ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        asked = {
            "folder": str(folder), "experiment": str(path or self.path), "words": list(words), "fates": list(fates),
            "verb": verb,
        }  # fmt: skip
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        told: list[Told] = json.loads(self.process.stdout.readline())
        return told

    def kill(self, folder: Path, path: Path | None = None, **fate: Any) -> None:
        told = self.run(folder, path=path, **fate)
        assert told["status"] == -9, told["said"]

    def finish(self, folder: Path, path: Path | None = None) -> Told:
        told = self.run(folder, path=path)
        assert told["status"] == 0, told["said"]
        return told


def contents(folder: Path) -> dict[str, Any]:
    """Every file of a run by name: lines and facts without their times, of all else the bytes."""
    return {
        str(path.relative_to(folder)): content_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (".lock", "report.html")
    }


def content_of(path: Path) -> Any:
    if path.suffix == ".jsonl":
        return [timeless(line) for line in read_lines(path)]
    if path.name in ("stage.json", "environment.json"):
        return timeless(json.loads(path.read_text()))
    return path.read_bytes()


def timeless(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name not in TIMES}


def equal(folder: Path, whole: Whole) -> bool:
    """Whether two runs left the same files with the same in them, but for times and revisions."""
    left, right = contents(folder), contents(whole[0])
    assert left.keys() == right.keys()
    assert not [name for name in left if left[name] != right[name]]
    assert (folder / "report.html").exists()
    return True
