"""Whole or absent: writes against exceptions and kills, locks against a second process and against its death."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import bezoar.core.files
from bezoar.core.files import (
    atomic,
    exclusive,
    file_digest,
    free_bytes,
    read_json,
    read_object,
    refuse_held,
    sweep,
    writable_folder,
    write_json,
    write_text,
)

SOURCE = str(Path(bezoar.core.files.__file__).parents[2])


@contextmanager
def running(code: str, path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that runs ``code`` on ``path``, with the first line it printed; killed at the end."""
    command = [sys.executable, "-c", code, str(path)]
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_atomic_writes_text_and_bytes_and_makes_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    with atomic(path) as stream:
        stream.write(b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    with atomic(path, "w") as stream:
        stream.write("é日")
    assert path.read_text("utf-8") == "é日"
    assert names(path.parent) == ["file"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_atomic_shows_nothing_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic(path) as stream:
        stream.write(b"new")
        stream.flush()
        assert not path.exists()
    assert path.exists()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_atomic_leaves_the_old_file_after_an_exception(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def write_half() -> None:
        with atomic(path, "w") as stream:
            stream.write("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_atomic_leaves_the_old_file_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    code = """
import pathlib, sys, time
from bezoar.core.files import atomic
with atomic(pathlib.Path(sys.argv[1]), "w") as stream:
    stream.write("half")
    stream.flush()
    print("written", flush=True)
    time.sleep(60)
"""
    with running(code, path) as (process, line):
        assert line == "written"
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert path.read_text() == "old"
    write_text(path, "new")
    assert path.read_text() == "new"
    assert len(names(tmp_path)) == 2
    sweep(tmp_path.parent)
    assert names(tmp_path) == ["file"]


def test_sweeping_leaves_the_living_and_the_users_files_alone(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    (tmp_path / "user.part").touch()
    (tmp_path / ".hidden").touch()
    with atomic(tmp_path / "deep" / "file") as stream:
        stream.write(b"half")
        stream.flush()
        sweep(tmp_path)
    assert (tmp_path / "deep" / "file").read_bytes() == b"half"
    assert names(tmp_path) == [".hidden", "deep", "user.part"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("where", ["mkstemp", "fsync", "replace"])
def test_a_full_disk_is_one_line_and_leaves_nothing(
    where: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tempfile if where == "mkstemp" else os, where, full)
    with pytest.raises(
        OSError, match=rf"^{path} cannot be written: {os.strerror(number)}; [\d,.]+ MB are free on its disk$"
    ):
        write_text(path, "new")
    assert names(tmp_path) == ["file"]
    assert path.read_text() == "old"


def test_a_disk_that_refuses_behind_another_error_is_named(tmp_path: Path) -> None:
    """Writers in C++ find their own words when a stream fails them."""

    def write() -> None:
        with atomic(tmp_path / "file"):
            try:
                raise OSError(errno.ENOSPC, "No space left on device")
            except OSError:
                raise RuntimeError("unexpected pos 704 vs 598")  # noqa: B904

    with pytest.raises(OSError, match="file cannot be written: No space left on device; "):
        write()


def test_other_errors_pass_as_they_are(tmp_path: Path) -> None:
    def write(error: BaseException) -> None:
        with atomic(tmp_path / "file"):
            raise error

    with pytest.raises(FileNotFoundError, match=r"^a source$"):
        write(FileNotFoundError("a source"))
    stopped = KeyboardInterrupt()
    stopped.__context__ = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(KeyboardInterrupt):
        write(stopped)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_others_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(OSError, match=r"file cannot be written: Permission denied$"):
        write_text(tmp_path / "file", "text")
    with pytest.raises(ValueError, match=f"out: cannot write to {tmp_path}: Permission denied"):
        writable_folder(tmp_path)


def test_what_is_in_place_is_synced_with_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this order: a name that outlasts a power cut must not lead to bytes that did not."""
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(handle: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def placed(source: str, target: str) -> None:
        done.append("name")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", placed)
    write_text(tmp_path / "file", "text")
    assert done == ["file", "name", "folder"]


def test_objects_of_this_schema_and_of_none_are_read(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    for value in ({}, {"schema": 1, "a": 2}, {"schema": 2}):
        write_json(path, value)
        assert read_object(path, 2) == value
    for schema in (3, 0, "1", None, True, 1.0):
        write_json(path, {"schema": schema})
        with pytest.raises(ValueError, match=rf"^{path}: schema {schema}, this version reads 2$"):
            read_object(path, 2)
    write_json(path, [1])
    with pytest.raises(ValueError, match=rf"^{path}: must be a JSON object, got list$"):
        read_object(path, 2)


def test_write_text_keeps_line_ends(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "a\nb\u2028c\n")
    assert (tmp_path / "file").read_bytes() == "a\nb\u2028c\n".encode()


def test_json_comes_back(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, None, True], "a": {"é": "日"}}
    write_json(tmp_path / "file.json", value)
    assert read_json(tmp_path / "file.json") == value
    assert list(read_json(tmp_path / "file.json")) == ["b", "a"]
    assert "日" in (tmp_path / "file.json").read_text("utf-8")


@pytest.mark.parametrize("content", [None, b"", b'{"a": 1', b'{"a": "\xff"}'])
def test_json_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "file.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"file\.json: cannot be read"):
        read_json(path)


def test_digest_is_of_the_whole_content(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000  # more than one block
    path = tmp_path / "file"
    path.write_bytes(content)
    assert file_digest(path) == hashlib.blake2b(content, digest_size=8).hexdigest()
    path.write_bytes(content[:-1])
    assert file_digest(path) != hashlib.blake2b(content, digest_size=8).hexdigest()
    path.write_bytes(b"")
    assert len(file_digest(path)) == 16


def test_writable_folder_is_made_and_left_clean(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    assert writable_folder(folder) == folder == writable_folder(folder)
    assert names(folder) == []


def test_writable_folder_names_the_field(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match=r"results: cannot write to .*file"):
            writable_folder(path, "results")


def test_free_bytes_of_a_folder_to_come(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "not" / "yet") > 0
    assert free_bytes(Path("not/yet/relative")) > 0


HOLD = """
import os, pathlib, sys, time
from bezoar.core.files import exclusive
with exclusive(pathlib.Path(sys.argv[1])):
    print(os.getpid(), flush=True)
    time.sleep(60)
"""


def test_a_folder_is_held_once(tmp_path: Path) -> None:
    with exclusive(tmp_path / "run"):
        with pytest.raises(ValueError, match=f"out: .*run is in use by another run .process {os.getpid()}."):
            exclusive(tmp_path / "run").__enter__()
        with exclusive(tmp_path / "other"):
            pass
    with exclusive(tmp_path / "run"):
        pass


def test_a_folder_is_free_after_an_exception(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), exclusive(tmp_path):
        raise RuntimeError
    with exclusive(tmp_path):
        pass


def test_a_second_process_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
    with running(HOLD, tmp_path) as (process, owner):
        assert owner == str(process.pid)
        with pytest.raises(ValueError, match=f"process {owner}"), exclusive(tmp_path):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        with exclusive(tmp_path):
            assert (tmp_path / ".lock").read_text() == str(os.getpid())


def test_a_folder_is_one_by_every_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")
    with running(HOLD, tmp_path / "run") as (_, owner):
        for path in (tmp_path / "link", Path(), Path("../run"), Path("../link")):
            with pytest.raises(ValueError, match=f"out: {path} is in use by another run .process {owner}."):
                refuse_held(path)
            with pytest.raises(ValueError, match=f"process {owner}"), exclusive(path):
                pass


def test_asking_makes_and_holds_nothing(tmp_path: Path) -> None:
    refuse_held(tmp_path / "none")
    assert names(tmp_path) == []
    with exclusive(tmp_path):
        pass
    refuse_held(tmp_path)
    refuse_held(tmp_path)
    with exclusive(tmp_path):
        pass


def test_a_full_disk_does_not_hide_behind_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with exclusive(tmp_path):
        pass


def test_a_worker_that_outlives_its_run_does_not_hold_the_folder(tmp_path: Path) -> None:
    """Loader workers are forked while the run holds its folder, and notice its death only seconds later."""
    code = HOLD.replace(
        "print(os.getpid(), flush=True)", "worker = os.fork()\n    if worker: print(worker, flush=True)"
    )
    with running(code, tmp_path) as (process, worker):
        try:
            process.kill()
            process.wait()
            os.kill(int(worker), 0)
            with exclusive(tmp_path, patience=5):  # a worker forked just now may need a moment to let go
                pass
            os.kill(int(worker), 0)
        finally:
            os.kill(int(worker), signal.SIGKILL)


def test_patience_waits_for_the_folder(tmp_path: Path) -> None:
    with running(HOLD, tmp_path) as (process, _):
        with pytest.raises(ValueError, match="in use"), exclusive(tmp_path, patience=0.06):
            pass
        threading.Timer(0.2, process.kill).start()
        with exclusive(tmp_path, patience=60):
            assert process.wait() == -signal.SIGKILL


def test_a_disk_without_locks_is_not_called_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")

    def no_locks(*_: Any) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(ValueError, match="cannot lock files: Function not implemented"), exclusive(tmp_path):
        pass
