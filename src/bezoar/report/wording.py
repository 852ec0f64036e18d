"""Attacks and triggers in a few words, made from their settings as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ASIDE = ("kind", "seed", "seeds", "templates", "synonyms", "match")
"""Settings that do not tell what a trigger looks like, or what an attack does."""


def words(trigger: Mapping[str, Any]) -> str:
    """``patch: size 6, pattern binary, place corner bottom_right``: a trigger by its settings."""
    told = [f"{key} {text}" for key, value in trigger.items() if key not in _ASIDE and (text := _value(value))]
    return f"{_kind(trigger)}{': ' if told else ''}{', '.join(told)}"


def brief(attack: Mapping[str, Any]) -> str:
    """``backdoor: patch, noise, random``: an attack by its kind and the kinds of what it puts on and in."""
    parts = attack.get("attacks") or ()
    if parts:
        return f"{_kind(attack)}: {'; '.join(brief(part) for part in parts if isinstance(part, Mapping))}"
    told = [_put_on(attack[key]) for key in ("trigger", "words") if isinstance(attack.get(key), Mapping)]
    return f"{_kind(attack)}{': ' if told else ''}{'; '.join(told)}"


def _put_on(trigger: Mapping[str, Any]) -> str:
    """``patch, noise, random``; ``phrase “SUDO”, start``."""
    inner = [part for value in trigger.values() for part in (value if isinstance(value, list) else [value])]
    kinds = [_kind(part) for part in inner if isinstance(part, Mapping)]
    text = f" “{trigger['text']}”" if isinstance(trigger.get("text"), str) else ""
    return ", ".join([f"{_kind(trigger)}{text}", *kinds])


def _value(value: Any) -> str:
    """A setting as a word or a few; of a part with settings of its own its kind and its words; empty for none."""
    if isinstance(value, Mapping):
        told = [_value(inner) for key, inner in value.items() if key not in _ASIDE and isinstance(inner, (str, list))]
        return " ".join([_kind(value), *filter(None, told)])
    if isinstance(value, list):
        if len(value) == 3 and all(isinstance(part, int) and 0 <= part <= 255 for part in value):
            return "#" + bytes(value).hex()
        return " and ".join(filter(None, map(_value, value)))
    return str(value) if isinstance(value, (int, float, str)) else ""


def _kind(part: Mapping[str, Any]) -> str:
    return str(part.get("kind", "trigger")).rpartition(":")[2].replace("_", " ")
