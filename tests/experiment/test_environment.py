"""What is written down of the machine and the code."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bezoar import __version__
from bezoar.experiment import environment
from bezoar.experiment.environment import PACKAGES, describe, revision


def test_it_is_plain_and_whole() -> None:
    found = json.loads(json.dumps(describe(3)))
    assert found["threads"] == 3
    assert found["cores"] >= 1
    assert set(found["packages"]) == set(PACKAGES)
    assert found["packages"]["bezoar"] == __version__
    assert "absent" not in found["packages"].values()
    assert not [value for value in found.values() if isinstance(value, str) and "/" in value], "a path of this machine"


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Asks git anew."""
    revision.cache_clear()
    yield monkeypatch
    revision.cache_clear()


def test_a_revision_with_a_mark_where_the_code_differs(fresh: pytest.MonkeyPatch) -> None:
    root = str(Path(environment.__file__).parents[3])
    told = {"rev-parse --show-toplevel": root, "rev-parse --short=12 HEAD": "0123456789ab"}

    def git(folder: Path, *words: str) -> str:
        return told.get(" ".join(words), "")

    fresh.setattr(environment, "git_of", git)
    assert revision() == "0123456789ab"
    told["status --porcelain --untracked-files=no"] = " M file"
    revision.cache_clear()
    assert revision() == "0123456789ab+"


@pytest.mark.parametrize(
    "error", [OSError(), subprocess.CalledProcessError(1, "git"), subprocess.TimeoutExpired("g", 1)]
)
def test_without_a_repository_it_is_the_version(error: Exception, fresh: pytest.MonkeyPatch) -> None:
    def git(folder: Path, *words: str) -> str:
        raise error

    fresh.setattr(environment, "git_of", git)
    assert revision() == f"v{__version__}"


def test_somebody_elses_repository_is_not_ours(fresh: pytest.MonkeyPatch) -> None:
    fresh.setattr(environment, "git_of", lambda *_: "/somewhere/else")
    assert revision() == f"v{__version__}"


def test_here_it_is_one_or_the_other() -> None:
    assert re.fullmatch(r"[0-9a-f]{12}\+?|v\d.*", revision())
