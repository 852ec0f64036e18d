"""YAML 1.2: what is a number, what is a string, and where the fault is."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bezoar.core import yaml

# A bare U+0085 is a line end to YAML and does not come back.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x85"))
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=8)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("1E5", 1e5),
        ("1.", 1.0),
        ("+.5", 0.5),
        ("-3", -3),
        (".inf", math.inf),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("true", True),
        ("null", None),
        ("~", None),
        ("", None),
        ("yes", "yes"),
        ("on", "on"),
        ("No", "No"),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("2026-13-45", "2026-13-45"),
        ("2026-01-01 10:00:00", "2026-01-01 10:00:00"),
        ("=", "="),
        ("'1e-5'", "1e-5"),
        ("[1, [a, {b: 2}]]", [1, ["a", {"b": 2}]]),
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        ("kind: my.module:Class", {"kind": "my.module:Class"}),
    ],
)
def test_scalars_follow_version_1_2(text: str, value: Any) -> None:
    found = yaml.parse(text)
    assert found == value
    assert type(found) is type(value)


def test_nan_is_a_number() -> None:
    assert math.isnan(yaml.parse(".nan"))


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: 1\nb: 2\na: 3", 3, "duplicate key"),
        ("a:\n  b: 1\n  b: 2", 3, "duplicate key"),
        ("a: 1\n b: 2", 2, "mapping values"),
        ("a: [1, 2\nb: 3", 2, "expected"),
        ("a: 1\n\tb: 2", 2, "cannot start any token"),
        ("--- 1\n--- 2", 2, "another document"),
        ("a: *nowhere", 1, "undefined alias"),
    ],
)
def test_faults_are_named_with_their_line(text: str, line: int, said: str) -> None:
    with pytest.raises(ValueError, match=rf"^recipe\.yaml, line {line}, column \d+: not valid YAML: .*{said}"):
        yaml.parse(text, "recipe.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object:os.system {}",
        "!!python/object/apply:os.system ['true']",
        "!!python/name:os.system",
        "!mine 3",
        "!!set {a, b}",
        "!!binary aGk=",
        "!!omap [a: 1]",
        "!!pairs [a: 1]",
    ],
)
def test_tags_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^recipe\.yaml, line 2, column 6: not valid YAML: .*tag"):
        yaml.parse(f"ok: 1\nbad: {text}", "recipe.yaml")


def test_control_characters_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^text: not valid YAML"):
        yaml.parse("a: \x01")


def test_read_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    with pytest.raises(ValueError, match=r"recipe\.yaml: cannot be read"):
        yaml.read(path)
    path.write_bytes(b"a: \xff")
    with pytest.raises(ValueError, match=r"recipe\.yaml: cannot be read"):
        yaml.read(path)
    path.write_text("a: 1\na: 2")
    with pytest.raises(ValueError, match=r"recipe\.yaml, line 2"):
        yaml.read(path)
    path.write_text("lr: 1e-5\nname: é日\n", "utf-8")
    assert yaml.read(path) == {"lr": 1e-5, "name": "é日"}


def test_render_keeps_the_order_and_is_for_people() -> None:
    value = {"kind": "clip", "lr": 1e-5, "betas": [0.9, 0.98], "data": {"source": "scenes", "note": None}}
    assert yaml.render(value) == (
        "kind: clip\nlr: 1e-05\nbetas:\n- 0.9\n- 0.98\ndata:\n  source: scenes\n  note: null\n"
    )


@hypothesis.settings(deadline=None)
@given(values)
def test_what_is_rendered_comes_back(value: Any) -> None:
    assert yaml.parse(yaml.render(value)) == value


@pytest.mark.parametrize(
    "text", ["1e-5", "yes", "null", "true", "3", "", " a ", "a: b", "# no", "2026-01-01", "x" * 300]
)
def test_strings_stay_strings(text: str) -> None:
    assert yaml.parse(yaml.render({"key": text, text: 1})) == {"key": text, text: 1}


def test_an_alias_is_a_copy() -> None:
    """Changing one place by its path must change no other."""
    data = yaml.parse("a: &x {b: [1, 2]}\nc: *x\nd: {<<: *x, e: 3}\n")
    data["a"]["b"].append(3)
    assert data == {"a": {"b": [1, 2, 3]}, "c": {"b": [1, 2]}, "d": {"b": [1, 2], "e": 3}}


def test_aliases_that_stand_for_billions_are_refused() -> None:
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(ValueError, match=r"^bomb: not valid YAML here: its aliases stand for more than 1,000,000"):
        yaml.parse("\n".join(lines), "bomb")


def test_an_alias_of_what_it_is_in_is_refused() -> None:
    with pytest.raises(ValueError, match="an alias stands for what it is a part of"):
        yaml.parse("&a [1, *a]")
