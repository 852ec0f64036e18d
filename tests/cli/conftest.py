"""A command line in this process: what it printed, and with what it ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from bezoar.cli.main import main


class Said(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Bezoar = Callable[..., Said]


@pytest.fixture
def bezoar(capsys: pytest.CaptureFixture[str]) -> Bezoar:
    def run(*words: object) -> Said:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Said(code, *capsys.readouterr())

    return run
