"""What tyro says of a command line that it cannot read, in one line for people and logs."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import ValidationError

from bezoar.core.settings import explain

_ASIDES = ("For full helptext", "Argument helptext")


def parsed(parse: Callable[[], Any]) -> Any:
    """What ``parse`` returns; raises ``ValueError`` with one line where it would print a box and exit."""
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            return parse()
    except SystemExit as stop:
        if not stop.code:
            raise
        raise ValueError(_line(box.getvalue(), stop)) from None


def _line(box: str, stop: SystemExit) -> str:
    """The text of tyro's box; of a settings value that was refused, what is wrong with it."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", box)
    parts = [" ".join(part.split()) for part in re.split(r"─{8,}", re.sub(r"[│╭╮╰╯]", " ", text))]
    said = "; ".join(part for part in parts[1:] if part and not part.startswith(_ASIDES))
    refused = next((error for error in _causes(stop) if isinstance(error, ValidationError)), None)
    flag = re.match(r"Error parsing -*([\w-]+):\s*", said)
    if refused is not None:
        return explain(refused, flag[1] if flag and not flag[1].startswith("__") else "")
    return f"{flag[1]}: {said[flag.end() :]}" if flag else said


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__context__
