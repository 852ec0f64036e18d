"""What holds for every test: nothing is written to the user's cache, no disk is waited for; and what many share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of the session's own; in the environment, so that processes that tests start have it too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BEZOAR_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_power_fails() -> Iterator[None]:
    """A test cannot tell what has reached the disk, and waiting for it takes milliseconds a file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(scope="session")
def zoo(cache: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny zoo, made once; tests only read it."""
    import torch
    from tests.zoo import plain

    from bezoar.experiment.experiment import parse
    from bezoar.experiment.zoo import zoo as make

    folder, threads = tmp_path_factory.mktemp("zoo"), torch.get_num_threads()
    make(parse(plain()), folder)
    torch.set_num_threads(threads)
    return folder
