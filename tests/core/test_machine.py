"""Processors, the cache, and paths with variables in them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bezoar.core.machine import cache_folder, cores, expand


def test_cores_are_those_that_this_process_may_use() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/x")
    monkeypatch.setenv("BEZOAR_CACHE", "~/here")
    assert cache_folder() == Path("/home/x/here")
    monkeypatch.delenv("BEZOAR_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache")
    assert cache_folder() == Path("/var/cache/bezoar")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_folder() == Path("/home/x/.cache/bezoar")


def test_tests_never_write_to_the_users_cache() -> None:
    code = "from bezoar.core.machine import cache_folder; print(cache_folder())"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == str(cache_folder())
    assert "pytest" in child.stdout


def test_paths_are_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/x")
    monkeypatch.setenv("SOME_DATA", "/data")
    monkeypatch.delenv("NO_DATA", raising=False)
    assert [expand(path) for path in ("~/a", "$SOME_DATA/a", "${SOME_DATA}b", "a b")] == [
        Path("/home/x/a"), Path("/data/a"), Path("/datab"), Path("a b"),
    ]  # fmt: skip
    for path, name in (("$NO_DATA/a", r"\$NO_DATA"), ("x/${NO_DATA}/$ALSO_NONE", r"\$\{NO_DATA\}, \$ALSO_NONE")):
        with pytest.raises(ValueError, match=f"{name} is not set in the environment; set it, or write the path out"):
            expand(path)
