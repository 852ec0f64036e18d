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
from collections.abc import Iterable, Mapping
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
    """Make ``cls`` a settings value: frozen, keyword-only, strictly typed, unknown keys refused with the nearest name."""

    def refuse_unknown_keys(owner: type, data: Any) -> Any:
        given = data.kwargs or {} if isinstance(data, ArgsKwargs) else data
        if isinstance(given, Mapping):
            fields = [f.name for f in dataclasses.fields(owner)]
            for key in given:
                if key not in fields:
                    tail = nearest(str(key), fields).replace("{", "{{").replace("}", "}}")
                    raise PydanticCustomError("unknown_key", f"unknown key '{{key}}'{tail}", {"key": str(key)})
        return _tuples(data) if isinstance(data, Mapping) else data

    setattr(cls, "_refuse_unknown_keys", model_validator(mode="before")(classmethod(refuse_unknown_keys)))  # noqa: B010
    return dataclass(kw_only=True, frozen=True, config=ConfigDict(extra="forbid", strict=True))(cls)  # type: ignore[return-value]


@settings
class Settings:
    """The root of all settings values. ``kind`` names it in its family; ``revision`` counts changes of its behavior."""

    kind: ClassVar[str] = ""
    revision: ClassVar[int] = 1


V = TypeVar("V", bound=Settings)


class Family(Generic[V]):
    """The settings values that can stand in one place; annotate a field with ``Annotated[Base, FAMILY]``."""

    def __init__(self, name: str, base: type[V], members: Iterable[type[V]]) -> None:
        self.name = name
        self.base = base
        self.members: dict[str, type[V]] = {member.kind: member for member in members}

    def resolve(self, kind: str) -> type[V]:
        """The class that ``kind`` names: a member, an entry point of group ``bezoar.<family>``, or ``module:Class``."""
        if kind in self.members:
            return self.members[kind]
        plugins = {point.name: point for point in entry_points(group=f"bezoar.{self.name}")}
        if kind in plugins:
            found = plugins[kind].load()
        elif ":" in kind:
            module, _, attribute = kind.partition(":")
            try:
                found = getattr(importlib.import_module(module), attribute)
            except (ImportError, AttributeError) as error:
                raise ValueError(f"kind: cannot import '{kind}' as a {self.name}: {error}") from error
        else:
            raise ValueError(f"kind: '{kind}' is not a {self.name}{nearest(kind, [*self.members, *plugins])}")
        if not (isinstance(found, type) and issubclass(found, self.base)):
            raise ValueError(f"kind: '{kind}' is not a {self.name}: it must derive from {self.base.__qualname__}")
        return found

    def parse(self, data: object) -> V:
        """A value from a mapping with ``kind``, from a bare kind, or the value itself; raises ``ValueError``."""
        if isinstance(data, self.base):
            return data
        if isinstance(data, str):
            data = {"kind": data}
        if not isinstance(data, Mapping) or not isinstance(data.get("kind"), str):
            raise ValueError(f"kind: a {self.name} needs one{nearest('', self.members)}, got {data!r}")
        member = self.resolve(data["kind"])
        rest = {key: value for key, value in data.items() if key != "kind"}
        return TypeAdapter(member).validate_json(json.dumps(rest))

    def __get_pydantic_core_schema__(self, _: Any, __: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.parse)


def kind_of(value: Settings) -> str:
    """The kind that names this value in a file; values from outside a family are named ``module:Class``."""
    cls = type(value)
    if cls.kind and cls.__module__.partition(".")[0] == "bezoar":
        return cls.kind
    return f"{cls.__module__}:{cls.__qualname__}" if cls.kind or cls.__module__ != Settings.__module__ else ""


def dump(value: object) -> Any:
    """``value`` as plain dicts, lists and scalars, every default spelled out; ``kind`` first where a value has one."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        plain = {field.name: dump(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"kind": kind_of(value), **plain} if isinstance(value, Settings) and type(value).kind else plain
    if isinstance(value, Mapping):
        return {str(key): dump(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [dump(item) for item in value]
    return value


def _with_revisions(value: object) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        plain = {field.name: _with_revisions(getattr(value, field.name)) for field in dataclasses.fields(value)}
        if isinstance(value, Settings):
            plain |= {"kind": kind_of(value), "revision": type(value).revision}
        return plain
    if isinstance(value, Mapping):
        return {str(key): _with_revisions(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_revisions(item) for item in value]
    return value


def digest(*values: object) -> str:
    """Sixteen hexadecimal digits that change with any setting, default or code revision in ``values``."""
    text = json.dumps(_with_revisions(values), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def explain(error: ValidationError, root: str = "") -> str:
    """A validation error as one line per fault: where, what was given, what is allowed."""
    lines = []
    for fault in error.errors(include_url=False):
        path = ".".join(str(step) for step in ((root,) if root else ()) + fault["loc"])
        message = fault["msg"].removeprefix("Value error, ")
        given = "" if fault["type"] in ("unknown_key", "value_error", "missing") else f", got {fault['input']!r}"
        lines.append(f"{path}: {message}{given}" if path else f"{message}{given}")
    return "\n".join(lines)


def validate(cls: type[T], data: object, root: str = "") -> T:
    """Plain ``data`` (of YAML or JSON) as a ``cls``; raises ``ValueError`` naming path, value and choices, a line a fault.

    Validation is strict, by JSON's rules: ``true`` is not 1, ``"3"`` is not 3, an integer may stand for a float.
    """
    try:
        return TypeAdapter(cls).validate_json(json.dumps(data))
    except ValidationError as error:
        raise ValueError(explain(error, root)) from None
