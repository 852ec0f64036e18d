"""What holds for every test: nothing is written to the user's cache."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of the session's own; in the environment, so that processes that tests start have it too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BEZOAR_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
