"""A process that imports everything once and forks a child for each run it is asked for: one that dies where it is told.

It reads a JSON object a line and answers with one: ``folder`` and ``experiment`` (a YAML file) say what is run, ``fate``
what befalls it. All hooks are here; the package knows nothing of them.
"""

from __future__ import annotations

import fnmatch
import importlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bezoar.training.loop
from bezoar.cli.main import main

EARLY = (
    "jinja2", "matplotlib.figure", "open_clip", "pyarrow.parquet", "rich.progress", "ruamel.yaml", "torchvision", "tyro",
    "bezoar.attacks.preview", "bezoar.cli.commands", "bezoar.cli.families", "bezoar.data.prepared", "bezoar.evaluation",
    "bezoar.experiment.estimate", "bezoar.experiment.run", "bezoar.models.checkpoint", "bezoar.report.plots",
)  # fmt: skip
"""What the package imports where it is used."""


class Fate:
    """What befalls a child, and the atomic writes that it has begun."""

    def __init__(self, folder: Path, fate: dict[str, Any]) -> None:
        self.folder, self.fate, self.left = folder.resolve(), fate, fate.get("nth", 1)
        self.writes: list[str] = []

    def strike(self) -> None:
        """At the n-th time, the end."""
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self.fate.get("signal", signal.SIGKILL))

    def lay(self) -> None:
        """Put the hooks where they belong."""
        self._watch_writes()
        if "call" in self.fate:
            module, _, path = self.fate["call"].partition(":")
            owner = importlib.import_module(module)
            *outer, name = path.split(".")
            for step in outer:
                owner = getattr(owner, step)
            setattr(owner, name, self._before(getattr(owner, name)))
        if self.fate.get("append"):
            bezoar.training.loop.append_line = self._torn

    def _before(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            self.strike()
            return inner(*given, **named)

        return call

    def _torn(self, path: Path, value: dict[str, Any], inner: Any = bezoar.training.loop.append_line) -> None:
        """Half a line at the n-th append."""
        if self.left == 1:
            with path.open("ab") as stream:
                stream.write(json.dumps(value).encode()[:40])
        self.strike()
        inner(path, value)

    def _watch_writes(self) -> None:
        fsync, replace = os.fsync, os.replace
        wanted, moment = self.fate.get("write"), self.fate.get("moment")

        def relative(path: str | Path) -> str:
            try:
                return str(Path(path).resolve().relative_to(self.folder))
            except ValueError:
                return ""

        def hit(name: str, when: str) -> bool:
            return wanted is not None and moment == when and fnmatch.fnmatch(name, wanted)

        def watched_fsync(handle: int) -> None:
            temporary = Path(os.readlink(f"/proc/self/fd/{handle}"))
            name = relative(temporary.parent / temporary.name[1:].rpartition(".part")[0].rpartition(".")[0])
            if temporary.suffix == ".part" and name:
                self.writes.append(name)
                if self.fate.get("fail") == len(self.writes):
                    raise OSError(self.fate["errno"], os.strerror(self.fate["errno"]))
                if hit(name, "half"):
                    if self.left == 1:
                        os.ftruncate(handle, os.fstat(handle).st_size // 2)
                    self.strike()
            fsync(handle)
            if temporary.suffix == ".part" and hit(name, "synced"):
                self.strike()

        def watched_replace(source: str | Path, target: str | Path) -> None:
            replace(source, target)
            if hit(relative(target), "placed"):
                self.strike()

        os.fsync, os.replace = watched_fsync, watched_replace


def child(asked: dict[str, Any], said: Path) -> int:
    """One run of the command line, with all that it says in ``said``; the exit code."""
    handle = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(handle, stream)
    bezoar.training.loop.LOG_EVERY = 1
    folder = Path(asked["folder"])
    fate = Fate(folder, asked.get("fate", {}))
    fate.lay()
    code = main(["run", asked["experiment"], "--out", str(folder), "--jobs", "1"])
    said.with_suffix(".writes").write_text(json.dumps(fate.writes))
    return code


def serve(asked: dict[str, Any], scratch: Path) -> dict[str, Any]:
    """Fork, wait, and tell how it ended: ``status`` is an exit code, or the negative number of a signal."""
    said = scratch / "said"
    said.with_suffix(".writes").unlink(missing_ok=True)
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(child(asked, said))
        except BaseException:
            traceback.print_exc()
            os._exit(99)
    if "after" in asked.get("fate", {}):
        time.sleep(asked["fate"]["after"])
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    writes = said.with_suffix(".writes")
    return {
        "status": os.waitstatus_to_exitcode(status),
        "said": said.read_text(),
        "writes": json.loads(writes.read_text()) if writes.exists() else [],
        "seconds": time.monotonic() - began,
        "pid": pid,
    }


if __name__ == "__main__":
    for name in EARLY:
        importlib.import_module(name)
    for line in sys.stdin:
        print(json.dumps(serve(json.loads(line), Path(sys.argv[1]))), flush=True)
