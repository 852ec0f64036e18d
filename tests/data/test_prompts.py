"""Prompt templates by name and by list."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bezoar.data.prompts import fill, templates

relaxed = settings(deadline=None)


@pytest.mark.parametrize(("spec", "count"), [("openai", 80), ("simple", 7), ("plain", 1)])
def test_named_templates(spec: str, count: int) -> None:
    named = templates(spec)
    assert len(set(named)) == count
    assert all(template.count("{c}") == 1 for template in named)
    assert templates(named) == named


def test_known_members() -> None:
    assert templates("plain") == ("a photo of a {c}",)
    assert "a photo of a {c}." in templates("openai")
    assert "itap of a {c}." in templates("simple")
    assert set(templates("simple")) < set(templates("openai"))


@pytest.mark.parametrize("spec", ["openai", "simple"])
def test_they_are_open_clips(spec: str) -> None:
    import open_clip

    functions = {"openai": open_clip.OPENAI_IMAGENET_TEMPLATES, "simple": open_clip.SIMPLE_IMAGENET_TEMPLATES}[spec]
    for name in ("banana", "{odd} %s \\1", "{c}"):
        assert [fill(template, name) for template in templates(spec)] == [function(name) for function in functions]


def test_a_list_of_ones_own() -> None:
    assert templates(("{c}", "my {c} {and} {}")) == ("{c}", "my {c} {and} {}")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("opnai", r"no templates are called 'opnai'; did you mean 'openai'\? \(choices: openai, plain, simple\)"),
        ("a {c}", r"no templates are called 'a \{c\}'; a template of your own goes into a list"),
        ((), r"need at least one template, or a name \(choices: openai, plain, simple\)"),
        (("a {c}", "a cat"), r"templates\.1: must hold \{c\} exactly once, got 'a cat'"),
        (("{c} and {c}",), r"templates\.0: must hold \{c\} exactly once, got '\{c\} and \{c\}'"),
        (("a {}",), r"templates\.0: must hold \{c\} exactly once"),
    ],
)
def test_mistakes_are_refused_by_name(spec: str | tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        templates(spec)


@relaxed
@given(before=st.text(), after=st.text(), name=st.text())
def test_fill_puts_the_name_in_its_place(before: str, after: str, name: str) -> None:
    if "{c}" not in before and "{c}" not in after and (before + "{c}" + after).count("{c}") == 1:
        assert fill(before + "{c}" + after, name) == before + name + after
