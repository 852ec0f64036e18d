"""How settings values are typed on a command line: members of a family as ``kind``, ``kind:word`` or YAML in braces."""

from __future__ import annotations

import dataclasses
import json
from functools import reduce
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import tyro
from pydantic import TypeAdapter
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from bezoar.attacks.families import CAPTION_TRIGGERS, PATTERNS, PLACES, TRIGGERS
from bezoar.core import yaml
from bezoar.core.settings import Family, Settings, dump, validate
from bezoar.data import LABELED_SOURCES, PAIRS_SOURCES
from bezoar.data.captions import CAPTION_VIEWS
from bezoar.data.views import IMAGE_VIEWS
from bezoar.training.distilled import OBJECTIVES
from bezoar.training.shrink_perturb import ShrinkPerturb

ONE_WORD: tuple[Family[Any], ...] = (
    TRIGGERS, PATTERNS, PLACES, CAPTION_TRIGGERS, PAIRS_SOURCES, LABELED_SOURCES, CAPTION_VIEWS, IMAGE_VIEWS,
    OBJECTIVES,
)  # fmt: skip


def short(value: Settings) -> str:
    """A settings value as it would be typed: its kind alone, or with every field that is not the default."""
    plain = dump(value)
    usual = {
        field.name: dump(field.default_factory() if callable(field.default_factory) else field.default)
        for field in dataclasses.fields(value)
    }
    other = {key: item for key, item in plain.items() if key != "kind" and usual[key] != item}
    return json.dumps({"kind": plain["kind"], **other}) if other else str(plain["kind"])


NONE = ("none", "null")
"""Words for no value, in any case."""


def one_word(family: Family[Any]) -> PrimitiveConstructorSpec[Any]:
    """How a member of ``family`` is read from one word, and shown; ``None`` is shown as ``none``."""
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="{" + ",".join(family.members) + "}[:WORD]|YAML",
        instance_from_str=lambda words: family.parse_text(words[0]),
        is_instance=lambda value: value is None or isinstance(value, family.base),
        str_from_instance=lambda value: ["none" if value is None else short(value)],
    )


def number(kind: type[int] | type[float]) -> PrimitiveConstructorSpec[Any]:
    """How a number is read from one word, and shown."""

    def read(words: list[str]) -> int | float:
        try:
            return kind(words[0])
        except ValueError:
            raise ValueError(f"'{words[0]}' is no {'whole ' if kind is int else ''}number, nor none") from None

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=kind.__name__.upper(),
        instance_from_str=read,
        is_instance=lambda value: isinstance(value, kind),
        str_from_instance=lambda value: [str(value)],
    )


def or_none(spec: PrimitiveConstructorSpec[Any]) -> PrimitiveConstructorSpec[Any]:
    """``spec``, with ``none`` for no value."""

    def read(words: list[str]) -> Any:
        return None if words[0].lower() in NONE else spec.instance_from_str(words)

    return dataclasses.replace(
        spec,
        metavar=f"{spec.metavar}|none",
        instance_from_str=read,
        is_instance=lambda value: value is None or spec.is_instance(value),
        str_from_instance=lambda value: ["none"] if value is None else spec.str_from_instance(value),
    )


def in_yaml(kind: Any) -> PrimitiveConstructorSpec[Any]:
    """How a value of type ``kind`` that holds others, as ``dict[str, …]`` does, is read from YAML in one word."""
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="YAML",
        instance_from_str=lambda words: TypeAdapter(kind).validate_json(json.dumps(yaml.parse(words[0]))),
        is_instance=lambda value: isinstance(value, get_origin(kind)),
        str_from_instance=lambda value: [json.dumps(dump(value))],
    )


def in_braces(kind: type[Settings]) -> PrimitiveConstructorSpec[Any]:
    """How a settings value of no family is read from YAML in one word: those of its fields that are not the default."""
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="YAML",
        instance_from_str=lambda words: validate(kind, yaml.parse(words[0])),
        is_instance=lambda value: isinstance(value, kind),
        str_from_instance=lambda value: [json.dumps(dump(value))],
    )


def _holds_values(kind: Any) -> bool:
    """Whether ``kind`` is a mapping, or a tuple of settings values, of a family or not."""
    first = next(iter(get_args(kind)), None)
    base = get_args(first)[0] if get_origin(first) is Annotated else first
    return get_origin(kind) is dict or (
        get_origin(kind) is tuple and isinstance(base, type) and issubclass(base, Settings)
    )


def registry() -> ConstructorRegistry:
    """tyro's rules, with one for every family whose members are typed as one word, and for what holds members."""
    rules = ConstructorRegistry()

    @rules.primitive_rule
    def _(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
        if _holds_values(info.type):
            return in_yaml(info.type)
        kind = _of(info.type)
        if kind is ShrinkPerturb:
            return or_none(in_braces(ShrinkPerturb))
        if kind in (int, float) and kind is not info.type:
            return or_none(number(kind))
        for family in ONE_WORD:
            if kind is family.base:
                return one_word(family) if kind is info.type else or_none(one_word(family))
        return None

    return rules


def _of(kind: Any) -> Any:
    """``X`` of ``X | None``, without its limits; any other type as it is."""
    parts = get_args(kind)
    if get_origin(kind) not in (Union, UnionType) or len(parts) != 2 or type(None) not in parts:
        return kind
    (inner,) = (part for part in parts if part is not type(None))
    return get_args(inner)[0] if get_origin(inner) is Annotated else inner


def subcommands(family: Family[Any]) -> Any:
    """The members of a family as a union of tyro subcommands, named by kind."""
    named = (tyro.conf.subcommand(kind, prefix_name=False) for kind in family.members)
    members = [Annotated[member, name] for member, name in zip(family.members.values(), named, strict=True)]
    return reduce(lambda a, b: Union[a, b], members)  # noqa: UP007  built at run time
