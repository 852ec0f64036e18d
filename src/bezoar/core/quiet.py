"""Log lines that would mislead, left out for a while."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator


@contextlib.contextmanager
def quiet(name: str | None, level: int) -> Iterator[None]:
    """Without what logger ``name``, or the root, says below ``level``; afterwards it says what it said before."""
    log = logging.getLogger(name)
    before = log.level
    log.setLevel(level)
    try:
        yield
    finally:
        log.setLevel(before)
