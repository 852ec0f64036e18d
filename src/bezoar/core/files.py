"""Files that are whole or absent: atomic writes, digests, and the lock that keeps two runs out of one folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

_held: set[IO[str]] = set()


@contextlib.contextmanager
def atomic(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Write ``path`` through a temporary file in the same folder; it appears whole, synced to disk, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def write_text(path: Path, text: str) -> None:
    """Write ``text`` atomically."""
    with atomic(path, "w") as stream:
        stream.write(text)


def write_json(path: Path, value: Any) -> None:
    """Write plain values as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Plain values from a JSON file; raises ``ValueError`` when it is missing or malformed."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: cannot be read: {error}") from None


def file_digest(path: Path) -> str:
    """Sixteen hexadecimal digits of a file's content."""
    state = hashlib.blake2b(digest_size=8)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            state.update(block)
    return state.hexdigest()


def writable_folder(path: Path, field: str = "out") -> Path:
    """Make ``path`` and prove that it can be written; raises ``ValueError`` that names ``field``."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise ValueError(f"{field}: cannot write to {path}: {error.strerror}") from None
    return path


def free_bytes(path: Path) -> int:
    """Free space of the disk that will hold ``path``, which need not exist yet."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


@contextlib.contextmanager
def exclusive(folder: Path, patience: float = 0) -> Iterator[None]:
    """Hold ``folder`` for this process; freed by the system on death.

    Raises ``ValueError`` when another process has it and does not let go within ``patience`` seconds.
    """
    writable_folder(folder)
    stream = (folder / ".lock").open("a+")
    try:
        try:
            _wait_for(stream, folder, patience)
        except OSError as error:
            raise ValueError(f"out: {folder} is on a disk that cannot lock files: {error.strerror}") from None
        _held.add(stream)
        stream.seek(0)
        stream.truncate()
        stream.write(str(os.getpid()))
        stream.flush()
        yield
    finally:
        _held.discard(stream)
        stream.close()


def _wait_for(stream: IO[str], folder: Path, patience: float) -> None:
    until = time.monotonic() + patience
    while not _lock(stream):
        if time.monotonic() >= until:
            stream.seek(0)
            owner = stream.read().strip() or "?"
            raise ValueError(f"out: {folder} is in use by another run (process {owner})")
        time.sleep(0.05)


def _lock(stream: IO[str]) -> bool:
    """Whether the lock could be had; another ``OSError`` than that somebody has it is passed on."""
    with contextlib.suppress(BlockingIOError, PermissionError):
        try:
            import fcntl
        except ImportError:  # Windows
            import msvcrt

            stream.seek(1 << 20)
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _let_go() -> None:
    """A lock lives while any process has its file open, and forked loader workers outlive a killed run by seconds."""
    while _held:
        _held.pop().close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
