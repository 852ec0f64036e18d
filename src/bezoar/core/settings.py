"""Frozen settings values and the families they belong to.

A settings value is a keyword-only, frozen pydantic dataclass that refuses unknown keys. A family is the set of values
that can stand in one place (all triggers, all methods); in files a member is named by its ``kind``. The family is the
registry, the schema and the help: ``kind: package.module:Class`` names a value of the user's own.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import importlib
import json
import operator
import os
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import entry_points
from typing import Any, ClassVar, Generic, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field, GetCoreSchemaHandler, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import ArgsKwargs, PydanticCustomError, core_schema

T = TypeVar("T")


def nearest(word: str, choices: Iterable[str]) -> str:
    """``'lrr' … did you mean 'lr'? choices: epochs, lr`` — the tail of an error message."""
    names = sorted(choices)
    close = difflib.get_close_matches(word, names, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    return f"{hint} (choices: {', '.join(names)})"


def _tuples(data: Any) -> Any:
    """Lists as tuples all the way down: a strict tuple field takes nothing else."""
    if isinstance(data, Mapping):
        return {key: _tuples(item) for key, item in data.items()}
    return tuple(_tuples(item) for item in data) if isinstance(data, (list, tuple)) else data


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(dataclasses.field, Field))
def settings(cls: type[T]) -> type[T]:
    """Make ``cls`` a settings value: frozen, keyword-only, strict, unknown keys refused with the nearest name."""

    def refuse_unknown_keys(owner: type[Settings], data: Any) -> Any:
        if isinstance(data, Mapping) and owner.kind and data.get("kind") == _kind(owner):
            data = {key: item for key, item in data.items() if key != "kind"}
        given = data.kwargs or {} if isinstance(data, ArgsKwargs) else data
        if isinstance(given, Mapping):
            fields = [f.name for f in dataclasses.fields(owner)]
            for key in given:
                if key not in fields:
                    tail = nearest(str(key), fields)
                    raise PydanticCustomError("unknown_key", f"unknown key '{{key}}'{tail}", {"key": str(key)})
        return _tuples(data) if isinstance(data, Mapping) else data

    validator: Any = classmethod(refuse_unknown_keys)
    setattr(cls, "_refuse_unknown_keys", model_validator(mode="before")(validator))  # noqa: B010
    return dataclass(kw_only=True, frozen=True, config=ConfigDict(extra="forbid", strict=True))(cls)  # type: ignore[return-value]


@settings
class Settings:
    """The root of all settings values.

    ``kind`` names it in its family; ``revision`` counts changes of its behavior; ``shorthand`` is the field that the
    word after ``kind:`` fills, as in ``scenes:clean``; ``added`` are fields that came later: at their default they are
    no part of a digest, so that what was finished before them is still found. ``places`` are fields that say where
    something lies, each with the field that names its content: where that is filled, the place is no part of one.
    """

    kind: ClassVar[str] = ""
    revision: ClassVar[int] = 1
    shorthand: ClassVar[str] = ""
    added: ClassVar[frozenset[str]] = frozenset()
    places: ClassVar[Mapping[str, str]] = {}


V = TypeVar("V", bound=Settings)


class Family(Generic[V]):
    """The settings values that can stand in one place; annotate a field with ``Annotated[Base, FAMILY]``."""

    def __init__(
        self,
        name: str,
        base: type[V],
        members: Iterable[type[V]],
        guess: Callable[[str], Mapping[str, Any] | None] = lambda text: None,
    ) -> None:
        """``guess`` tells what a word on the command line means that is no kind, as the path of a file."""
        self.name = name
        self.guess = guess
        self.a_name = f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
        self.base = base
        self.members: dict[str, type[V]] = {}
        self.add(*members)

    def add(self, *members: type[V]) -> None:
        """Take in members: of a family that had to stand before them, as one whose members hold each other."""
        for member in members:
            assert member.kind not in ("", *self.members), f"{member} needs a kind of its own"
            self.members[member.kind] = member

    def resolve(self, kind: str) -> type[V]:
        """The class that ``kind`` names: a member, an entry point of group ``bezoar.<family>``, or ``module:Class``."""
        if kind in self.members:
            return self.members[kind]
        plugins = {point.name: point for point in entry_points(group=f"bezoar.{self.name.replace(' ', '_')}")}
        if kind not in plugins and ":" not in kind:
            meant = self.guess(kind)
            hint = f"; as a path it is {{kind: {meant['kind']}, path: {kind}}}" if meant else ""
            raise ValueError(f"kind: '{kind}' is not {self.a_name}{hint}{nearest(kind, [*self.members, *plugins])}")
        try:
            found = plugins[kind].load() if kind in plugins else _imported(kind)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"kind: cannot import '{kind}' as {self.a_name}: {error}") from error
        return self._checked(found, kind)

    def _checked(self, found: object, kind: str) -> type[V]:
        """``found`` as a member; what would not survive being written to a file and read again is refused here."""
        if not (isinstance(found, type) and issubclass(found, self.base)):
            raise ValueError(f"kind: '{kind}' is not {self.a_name}: it must derive from {self.base.__qualname__}")
        if "__dataclass_fields__" not in vars(found):
            raise ValueError(f"kind: '{kind}' is not {self.a_name}: it must be decorated with @settings")
        if not found.kind:
            raise ValueError(f"kind: '{kind}' is not {self.a_name}: it must set the class variable 'kind'")
        return found

    def parse(self, data: object) -> V:
        """A value from a mapping with ``kind``, from ``kind`` or ``kind:word``, or the value itself.

        Raises ``ValueError``.
        """
        if isinstance(data, self.base):
            self._checked(type(data), _kind(type(data)))
            return data
        if isinstance(data, str):
            data = self._spelled_out(data)
        if not isinstance(data, Mapping) or not isinstance(data.get("kind"), str):
            raise ValueError(f"kind: {self.a_name} needs one{nearest('', self.members)}, got {data!r}")
        member = self.resolve(data["kind"])
        rest = {key: value for key, value in data.items() if key != "kind"}
        return TypeAdapter(member).validate_json(_json(rest))

    def parse_text(self, text: str) -> V:
        """A value from the command line: ``kind``, ``kind:word``, or YAML in braces; raises ``ValueError``."""
        from bezoar.core.yaml import parse

        if text.lstrip().startswith("{"):
            return self.parse(parse(text, self.name))
        return self.parse(text if text.partition(":")[0] in self.members else self.guess(text) or text)

    def _spelled_out(self, text: str) -> dict[str, str]:
        """What ``kind`` or ``kind:word`` stands for; a colon belongs to the kind where that is from outside."""
        kind, _, word = text.partition(":")
        member = self.members.get(kind)
        if not word or member is None:
            return {"kind": text}
        if not member.shorthand:
            raise ValueError(f"{self.name}: '{kind}' takes no word after it, got '{text}'")
        return {"kind": kind, member.shorthand: word}

    def __get_pydantic_core_schema__(self, _: Any, __: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.parse)


def _imported(kind: str) -> object:
    module, _, attribute = kind.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), *attribute.split("."))):
        raise ImportError("not of the form package.module:Class")
    return operator.attrgetter(attribute)(importlib.import_module(module))


def kind_of(value: Settings) -> str:
    """The kind that names this value in a file; values from outside a family are named ``module:Class``."""
    return _kind(type(value))


def _kind(cls: type[Settings]) -> str:
    if cls.kind and cls.__module__.partition(".")[0] == "bezoar":
        return cls.kind
    return f"{cls.__module__}:{cls.__qualname__}" if cls.kind or cls.__module__ != Settings.__module__ else ""


def dump(value: object) -> Any:
    """``value`` as plain dicts, lists and scalars, every default spelled out; ``kind`` first where a value has one."""
    return _plain(value, _head)


def dump_lasting(value: object) -> Any:
    """As ``dump``, less the fields that came later and are at their default: what a value was before it had them."""
    return _plain(value, _head, _unused)


def _head(value: Settings) -> dict[str, Any]:
    return {"kind": kind_of(value)} if type(value).kind else {}


def _plain(
    value: object,
    head: Callable[[Settings], dict[str, Any]],
    skip: Callable[[object, dataclasses.Field[Any]], bool] = lambda value, field: False,
) -> Any:
    """``value`` as plain values without the fields to ``skip``, each settings value with the keys of ``head`` first."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        said = [field for field in dataclasses.fields(value) if not skip(value, field)]
        plain = {field.name: _plain(getattr(value, field.name), head, skip) for field in said}
        return {**head(value), **plain} if isinstance(value, Settings) else plain
    if isinstance(value, Mapping):
        return {str(key): _plain(item, head, skip) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, head, skip) for item in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _unused(value: object, field: dataclasses.Field[Any]) -> bool:
    """Whether a field came later and is at its default."""
    if not isinstance(value, Settings) or field.name not in type(value).added:
        return False
    return bool(getattr(value, field.name) == field.default)


def _told_elsewhere(value: object, field: dataclasses.Field[Any]) -> bool:
    """Whether a field is unused, or a place whose content is named."""
    content = type(value).places.get(field.name) if isinstance(value, Settings) else None
    return bool(getattr(value, content)) if content is not None else _unused(value, field)


def digest(*values: object) -> str:
    """Sixteen hexadecimal digits that change with any setting, default or code revision in ``values``."""
    plain = _plain(values, lambda one: {"kind": kind_of(one), "revision": type(one).revision}, _told_elsewhere)
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def revisions(value: object) -> dict[str, int]:
    """The code revisions of ``value`` and of all that it is made of, by kind."""
    found: dict[str, int] = {}

    def note(one: Settings) -> dict[str, Any]:
        if type(one).kind:
            found[kind_of(one)] = type(one).revision
        return {}

    _plain(value, note)
    return found


def explain(error: ValidationError, root: str = "") -> str:
    """A validation error as one line per fault: where, what was given, what is allowed."""
    lines = []
    faults = error.errors(include_url=False)
    for fault in faults:
        depth = len(fault["loc"])
        if fault["type"] == "too_short" and any(one["loc"][:depth] == fault["loc"] != one["loc"] for one in faults):
            continue  # too short without the entries that are told of themselves
        path = ".".join(str(step) for step in ((root,) if root else ()) + fault["loc"])
        message = fault["msg"].removeprefix("Value error, ")
        given = "" if fault["type"] in ("unknown_key", "value_error", "missing") else f", got {fault['input']!r}"
        lines.append(f"{path}: {message}{given}" if path else f"{message}{given}")
    return "\n".join(lines)


def validate(cls: type[T], data: object, root: str = "") -> T:
    """Plain ``data`` (of YAML or JSON) as a ``cls``; raises ``ValueError`` naming path, value, choices, a line a fault.

    Validation is strict, by JSON's rules: ``true`` is not 1, ``"3"`` is not 3, an integer may stand for a float.
    """
    try:
        return TypeAdapter(cls).validate_json(_json(data, root))
    except ValidationError as error:
        raise ValueError(explain(error, root)) from None


def _json(data: object, root: str = "") -> str:
    try:
        return json.dumps(data)
    except (TypeError, ValueError, RecursionError) as error:
        where = f"{root}: " if root else ""
        raise ValueError(f"{where}not plain values, as of YAML or JSON: {error}") from None
