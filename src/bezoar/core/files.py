"""Files that are whole or absent: atomic writes, digests, and the lock that keeps two runs out of one folder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

_LOCK, _PART = ".lock", ".part"
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
_held: set[IO[str]] = set()


@contextlib.contextmanager
def atomic(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Write ``path`` through a temporary file in the same folder; it appears whole, synced to disk, or not at all.

    Raises ``OSError`` that names ``path``, and the free space where the disk or the quota is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_PART, dir=path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as stream:
            with contextlib.suppress(OSError):  # a disk without locks: nothing is swept there
                _lock(stream)
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        cause = _of_the_disk(error)
        if cause is not None:
            raise unwritable(path, cause) from error
        raise
    sync(path.parent)


def unwritable(path: Path, error: OSError) -> OSError:
    """What to raise where ``path`` could not be written: one line."""
    said = f"{path} cannot be written: {error.strerror or error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        said += f"; {free_bytes(path) / 1e6:,.1f} MB are free on its disk"
    return OSError(said)


def _of_the_disk(error: BaseException) -> OSError | None:
    """The refusal of the disk behind an exception, if it is one: writers in C++ raise something else after it."""
    at: BaseException | None = error if isinstance(error, Exception) else None
    while at is not None and not (isinstance(at, OSError) and at.errno in _DISK):
        at = at.__cause__ or at.__context__
    return at


def sync(path: Path) -> None:
    """Make what a file or a folder holds outlast a power cut, where the system can; renames are in the folder."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sweep(folder: Path) -> None:
    """Delete what killed writes left in ``folder`` and below; what a living process is writing is left alone."""
    for path in folder.rglob(f".*{_PART}"):
        with contextlib.suppress(OSError), path.open("r+b") as stream:
            if _lock(stream):
                path.unlink()


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
    except RecursionError:
        raise ValueError(f"{path}: cannot be read: it is nested too deep") from None


def read_object(path: Path, schema: int) -> dict[str, Any]:
    """A JSON object of at most this ``schema``; one that names none is of the first.

    Raises ``ValueError`` when it is missing, malformed, no object, or newer.
    """
    found = read_json(path)
    if not isinstance(found, dict):
        raise ValueError(f"{path}: must be a JSON object, got {type(found).__name__}")
    given = found.get("schema", 1)
    if type(given) is not int or not 1 <= given <= schema:
        raise ValueError(f"{path}: schema {given}, this version reads {schema}")
    return found


def file_digest(path: Path) -> str:
    """Sixteen hexadecimal digits of a file's content."""
    state = hashlib.blake2b(digest_size=8)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            state.update(block)
    return state.hexdigest()


def bytes_digest(content: bytes) -> str:
    """What ``file_digest`` says of a file with this content."""
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def writable_folder(path: Path, field: str = "out") -> Path:
    """Make ``path`` and prove that it can be written; raises ``ValueError`` that names ``field``.

    A full disk is an ``OSError``: nothing is wrong with the field.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise unwritable(path, error) from None
        raise ValueError(f"{field}: cannot write to {path}: {error.strerror}") from None
    return path


@contextlib.contextmanager
def clean_if_refused(folder: Path, new: bool) -> Iterator[None]:
    """Delete ``folder``, where it is ``new``, when the work in it is refused by a ``ValueError``: nothing was done."""
    try:
        yield
    except ValueError:
        if new:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def free_bytes(path: Path) -> int:
    """Free space of the disk that will hold ``path``, which need not exist yet."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def bytes_in(folder: Path) -> int:
    """What the files of ``folder`` take, in all folders below."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # a worker of a killed run may be at its last write
            total += path.stat().st_size if path.is_file() else 0
    return total


def refuse_held(folder: Path) -> None:
    """Raise ``ValueError`` when another process holds ``folder``; makes nothing, and holds nothing afterwards."""
    with contextlib.suppress(OSError), (folder / _LOCK).open("r+") as stream:
        _wait_for(stream, folder, 0)


@contextlib.contextmanager
def exclusive(folder: Path, patience: float = 0) -> Iterator[None]:
    """Hold ``folder`` for this process; freed by the system on death.

    Raises ``ValueError`` when another process has it and does not let go within ``patience`` seconds.
    """
    writable_folder(folder)
    stream = (folder / _LOCK).open("a+")
    try:
        try:
            _wait_for(stream, folder, patience)
        except OSError as error:
            raise ValueError(f"out: {folder} is on a disk that cannot lock files: {error.strerror}") from None
        _held.add(stream)
        with contextlib.suppress(OSError):  # the number is a courtesy: a full disk is said where it matters
            os.truncate(stream.fileno(), 0)
            os.write(stream.fileno(), str(os.getpid()).encode())
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


def _lock(stream: IO[Any]) -> bool:
    """Whether the lock could be had; another ``OSError`` than that somebody has it is passed on."""
    with contextlib.suppress(BlockingIOError, PermissionError):
        try:
            import fcntl
        except ImportError:  # Windows
            import msvcrt

            stream.seek(1 << 20)
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            stream.seek(0)
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
