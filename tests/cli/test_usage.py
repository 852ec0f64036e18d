"""What tyro prints as a box, in one line; and what is no mistake passes through."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any, Literal

import pytest
import tyro

from bezoar.cli.usage import parsed
from bezoar.pretraining import ClipPretraining


@dataclasses.dataclass
class Flags:
    """Some flags."""

    count: int
    """How many; a long help that tyro has to break over more than one line of its box, to see that nothing is lost."""
    color: Literal["red", "blue"] = "red"


def parse(kind: Any, *words: str) -> Any:
    return parsed(lambda: tyro.cli(kind, prog="it", args=list(words)))


def fault(kind: Any, *words: str) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        parse(kind, *words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_right_passes() -> None:
    assert parse(Flags, "--count", "3") == Flags(3)


@pytest.mark.parametrize("plain", [True, False])
def test_a_mistake_is_one_line(plain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the rules of a UTF-8 terminal, and with those of one that has only ASCII."""
    import tyro._fmtlib

    monkeypatch.setattr(tyro._fmtlib, "_should_use_utf8_drawing_chars", lambda: not plain)
    assert fault(Flags, "--count", "x") == "count: invalid literal for int() with base 10: 'x'"
    assert fault(Flags, "--count", "3", "--colour", "red").startswith("Unrecognized options: --colour, red")
    assert fault(Flags, "--count", "3", "--color", "pink").startswith("invalid choice 'pink' for argument '--color'.")
    assert fault(Flags, "--count") == "count: needs a value after the flag"
    missing = fault(Flags)
    assert missing.startswith("Missing from it: --count INT How many; a long help")
    assert missing.endswith("to see that nothing is lost. (required)")


def test_a_refused_settings_value_is_explained_as_in_a_file() -> None:
    assert fault(ClipPretraining, "--lr", "-1") == "lr: Input should be greater than or equal to 0, got -1.0"


def test_help_and_other_ends_are_not_touched(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(Flags, "--help")
    assert stop.value.code == 0
    assert "How many" in capsys.readouterr().out

    def other() -> None:
        raise KeyError("ours")

    with pytest.raises(KeyError):
        parsed(other)
    assert capsys.readouterr().err == ""


def test_what_is_printed_meanwhile_does_not_get_lost_when_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    """Only tyro's own complaint is taken out of the stream of errors."""

    def parse() -> int:
        sys.stderr.write("a warning\n")
        return 3

    assert parsed(parse) == 3
    assert capsys.readouterr().err == "a warning\n"
