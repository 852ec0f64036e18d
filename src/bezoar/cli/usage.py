"""What tyro says of a command line that it cannot read, in one line for people and logs."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import ValidationError

from bezoar.core.settings import explain

_ASIDES = ("For full helptext", "Argument helptext")
_ORDER = re.compile(r" ?\(applied to [^)]*\)| Arguments are applied to the directly preceding subcommand.*")
_GUESSES = "Perhaps you meant:"
_NO_VALUE = re.compile(r"Missing value for argument '--([\w-]+)'\. Expected \d+ values\.")


def parsed(parse: Callable[[], Any]) -> Any:
    """What ``parse`` returns; raises ``ValueError`` with one line where it would print a box and exit."""
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            return parse()
    except SystemExit as stop:
        if not stop.code:
            raise
        text = box.getvalue()
        box.truncate(0)
        raise ValueError(_line(text, stop)) from None
    finally:
        sys.stderr.write(box.getvalue())


def _line(box: str, stop: SystemExit) -> str:
    """The text of tyro's box; of a settings value that was refused, what is wrong with it."""
    parts: list[list[str]] = [[]]
    for row in re.sub(r"\x1b\[[0-9;]*m|[│╭╮╰╯]", "", box).splitlines():
        words = row.strip()
        if re.fullmatch(r"(─ .* )?─+|-{8,}", words):  # a rule, maybe with the title in it; plain where no UTF-8 is
            parts.append([])
        elif words:
            parts[-1].append(words)
    texts = [_brief(part) for part in parts[1:]]
    said = "; ".join(text for text in texts if text and not text.startswith(_ASIDES))
    said = _NO_VALUE.sub(r"\1: needs a value after the flag", said)
    refused = next((error for error in _causes(stop) if isinstance(error, ValidationError)), None)
    flag = re.match(r"Error parsing --([\w-]+):\s*", said)
    if refused is not None:
        return explain(refused, flag[1] if flag else "")
    return f"{flag[1]}: {said[flag.end() :]}" if flag else said


def _brief(part: list[str]) -> str:
    """One part of tyro's box in a line: of the flags that it guesses only the names, not the help of each command."""
    if part and part[0] == _GUESSES:
        return " ".join([_GUESSES, *dict.fromkeys(row.split()[0] for row in part[1:] if row.startswith("--"))])
    return _ORDER.sub("", " ".join(part))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__context__
