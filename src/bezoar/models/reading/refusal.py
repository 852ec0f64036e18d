"""Why a file is not read: raised deep inside its parts, told to the user as one of its faults."""

from __future__ import annotations


class RefusedError(ValueError):
    """What was found, and where in the file. Never leaves this package: it becomes a fault of the skim."""


def shown(name: object) -> str:
    """Text from a file as it can stand in a line: no control characters, at most eighty letters."""
    text = ascii(name[:100])[1:-1] if isinstance(name, str) else type(name).__name__
    return text if len(text) <= 80 else f"{text[:77]}..."
