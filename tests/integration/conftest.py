"""One process with everything imported for all tests of broken runs, and the run that nothing broke off."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.integration.broken import Driver, Whole


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    found = Driver(tmp_path_factory.mktemp("driver"))
    with found.process:
        yield found


@pytest.fixture(scope="session")
def whole(driver: Driver, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The run that nothing broke off."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, driver.finish(folder)
