"""What is said below a level is left out, for as long as the block lasts."""

from __future__ import annotations

import logging

import pytest

from bezoar.core.quiet import quiet


def test_quiet_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    below = logging.getLogger("bezoar.somewhere.below")
    before = logging.getLogger("bezoar.somewhere").level

    def work() -> None:
        with quiet("bezoar.somewhere", logging.ERROR):
            below.warning("not this")
            below.error("this")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        work()
    below.warning("and this")
    assert [record.message for record in caplog.records] == ["this", "and this"]
    assert logging.getLogger("bezoar.somewhere").level == before
