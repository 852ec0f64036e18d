"""A process that imports everything once and forks the processes of each run asked for, which die where told.

It reads a JSON object a line and answers with a list: ``folder``, ``verb``, ``experiment`` (a YAML file) and ``words``
say what is run, and ``fates`` by how many ranks and what befalls each. All hooks are here; the package knows nothing of
them.
"""

from __future__ import annotations

import fnmatch
import functools
import importlib
import json
import logging
import os
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bezoar.models.clip
import bezoar.training.loop
import bezoar.training.steplog
from bezoar.cli.main import main
from bezoar.core.records import append_line
from bezoar.experiment.environment import revision

EARLY = (
    "jinja2", "matplotlib.figure", "open_clip", "pyarrow.parquet", "rich.progress", "ruamel.yaml", "torchvision",
    "torch.distributed", "tyro", "bezoar.attacks.preview", "bezoar.cli.commands", "bezoar.cli.families",
    "bezoar.data.prepared", "bezoar.evaluation", "bezoar.experiment.estimate", "bezoar.experiment.run",
    "bezoar.models.checkpoint", "bezoar.report.plots",
)  # fmt: skip
"""What the package imports where it is used."""
PATIENCE = 60.0
"""Seconds that a rank may outlive the first of them that has ended; then it hangs, and is killed."""


class Fate:
    """What befalls a child, and the atomic writes that it has begun."""

    def __init__(self, folder: Path, fate: dict[str, Any]) -> None:
        self.folder, self.fate, self.left = folder.resolve(), fate, fate.get("nth", 1)
        self.writes: list[str] = []

    def strike(self) -> None:
        """At the n-th time, the end; or an error, or the disk is full."""
        self.left -= 1
        if self.left == 0 and "fill" in self.fate:
            fill(Path(self.fate["fill"]))
        elif self.left == 0 and "raised" in self.fate:
            raise FloatingPointError(self.fate["raised"])
        elif self.left == 0:
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
            bezoar.training.steplog.append_line = self._torn  # type: ignore[attr-defined]
        if self.fate.get("states"):
            bezoar.training.loop.SAVE_SECONDS, bezoar.training.loop._SAVE_SHARE = 0.0, float("inf")

    def _before(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            self.strike()
            return inner(*given, **named)

        return call

    def _torn(self, path: Path, value: dict[str, Any]) -> None:
        """Half a line at the n-th append."""
        if self.left == 1:
            with path.open("ab") as stream:
                stream.write(json.dumps(value).encode()[:40])
        self.strike()
        append_line(path, value)

    def _watch_writes(self) -> None:
        make, fsync, replace = tempfile.mkstemp, os.fsync, os.replace

        def watched_make(prefix: str, suffix: str, dir: str | Path) -> tuple[int, str]:
            if suffix == ".part":
                self.writes.append(self._name(Path(dir) / prefix[1:-1]))
                self._refuse(self.writes[-1], "open")
            return make(prefix=prefix, suffix=suffix, dir=dir)

        def watched_fsync(handle: int) -> None:
            path = Path(os.readlink(f"/proc/self/fd/{handle}"))
            name = self._name(path.parent / path.name[1:].rsplit(".", 2)[0]) if path.suffix == ".part" else ""
            self._refuse(name, "sync")
            if self._is_at(name, "half"):
                if self.left == 1:
                    os.ftruncate(handle, os.fstat(handle).st_size // 2)
                self.strike()
            fsync(handle)
            if self._is_at(name, "synced"):
                self.strike()

        def watched_replace(source: str | Path, target: str | Path) -> None:
            self._refuse(self._name(Path(target)), "place")
            replace(source, target)
            if self._is_at(self._name(Path(target)), "placed"):
                self.strike()

        tempfile.mkstemp, os.fsync, os.replace = watched_make, watched_fsync, watched_replace  # type: ignore[assignment]

    def _name(self, path: Path) -> str:
        return os.path.relpath(path.resolve(), self.folder)

    def _is_at(self, name: str, moment: str) -> bool:
        return self.fate.get("moment") == moment and fnmatch.fnmatch(name, self.fate["write"])

    def _refuse(self, name: str, moment: str) -> None:
        """Answer as a full disk does."""
        if self.fate.get("refuse") == name and self.fate["at"] == moment:
            raise OSError(self.fate["errno"], os.strerror(self.fate["errno"]))


def fill(path: Path) -> None:
    """Leave not a byte on the disk of ``path``."""
    with path.open("wb", buffering=0) as stream:
        for size in (1 << 16, 1):
            try:
                while True:
                    stream.write(bytes(size))
            except OSError:
                pass


def child(asked: dict[str, Any], rank: int, port: int, said: Path) -> int:
    """One run of the command line, with all that it says in ``said``; the exit code."""
    handle = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(handle, stream)
    logging.getLogger().handlers.clear()  # as in a process that has imported nothing yet
    fate, world = asked["fates"][rank], len(asked["fates"])
    for name in ("SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN if name in fate.get("ignored", ()) else signal.SIG_DFL)
    if world > 1:
        given = {"RANK": rank, "WORLD_SIZE": world, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ.update({name: str(value) for name, value in given.items()})
        os.environ["TORCHELASTIC_ERROR_FILE"] = str(said.with_suffix(".error"))
    bezoar.training.steplog.LOG_EVERY = 1
    folder = Path(asked["folder"])
    laid = Fate(folder, fate)
    laid.lay()
    here = ["--jobs", "1"] if world == 1 else []
    code = main([asked["verb"], asked["experiment"], *asked["words"], *here, "--out", str(folder)])
    said.with_suffix(".writes").write_text(json.dumps(laid.writes))
    return code


def serve(asked: dict[str, Any], scratch: Path) -> list[dict[str, Any]]:
    """Fork, wait, and tell how each rank ended: ``status`` is an exit code, or the negative number of a signal."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began, ended = time.monotonic(), dict[int, tuple[int, float]]()
    places, pids = [scratch / f"rank{rank}" for rank in range(len(asked["fates"]))], list[int]()
    for rank, said in enumerate(places):
        for suffix in (".writes", ".error"):
            said.with_suffix(suffix).unlink(missing_ok=True)
        pids.append(os.fork())
        if pids[-1] == 0:
            try:
                os._exit(child(asked, rank, port, said))
            except BaseException:
                traceback.print_exc()
                os._exit(99)
    if "after" in asked["fates"][0]:
        time.sleep(asked["fates"][0]["after"])
        os.kill(pids[0], signal.SIGKILL)
    while len(ended) < len(pids):
        if ended and time.monotonic() > began + min(at for _, at in ended.values()) + PATIENCE:
            for pid in set(pids) - set(ended):
                os.kill(pid, signal.SIGKILL)
        pid, status = os.waitpid(-1, os.WNOHANG if ended else 0)
        if pid:
            ended[pid] = os.waitstatus_to_exitcode(status), time.monotonic() - began
        else:
            time.sleep(0.02)
    return [
        {
            "status": ended[pid][0],
            "said": said.read_text(),
            "writes": read(said.with_suffix(".writes"), []),
            "error": read(said.with_suffix(".error"), {}),
            "seconds": ended[pid][1],
            "pid": pid,
        }
        for pid, said in zip(pids, places, strict=True)
    ]


def read(path: Path, otherwise: Any) -> Any:
    """What a child has left in a JSON file, where it came to it."""
    return json.loads(path.read_text()) if path.exists() else otherwise


if __name__ == "__main__":
    for name in EARLY:
        importlib.import_module(name)
    revision()
    bezoar.models.clip.build_tokenizer = functools.cache(bezoar.models.clip.build_tokenizer)  # type: ignore[attr-defined]
    bezoar.models.clip.create("micro-cnn-32")
    for line in sys.stdin:
        sys.stdout.write(json.dumps(serve(json.loads(line), Path(sys.argv[1]))) + "\n")
        sys.stdout.flush()
