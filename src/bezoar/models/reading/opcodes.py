"""A pickle taken apart without a single import or call: plain values are built, everything else becomes a name.

The opcodes are those of ``pickletools``. What a pickle asks to be called goes to a ``Workshop``, which knows the few
things that make tensors and makes them itself.
"""

from __future__ import annotations

import io
import pickletools
import warnings
from collections.abc import Callable
from typing import Any

from bezoar.models.reading.inert import Global, Thing, key
from bezoar.models.reading.refusal import RefusedError, shown
from bezoar.models.reading.workshop import Workshop

MOST_OPCODES = 2_000_000
"""Of one pickle. The largest towers with their optimizer need a tenth of it."""

# What torch's weights-only unpickler knows, 2.6 to 2.15.
_BUILT = """
    APPEND APPENDS BINGET BINPERSID BINPUT BUILD EMPTY_DICT EMPTY_LIST EMPTY_SET EMPTY_TUPLE GLOBAL LONG_BINGET
    LONG_BINPUT MARK NEWFALSE NEWOBJ NEWTRUE NONE PROTO REDUCE SETITEM SETITEMS STOP TUPLE TUPLE1 TUPLE2 TUPLE3
"""
_GIVEN = "BINFLOAT BININT BININT1 BININT2 BINUNICODE LONG1 SHORT_BINSTRING"
_GIVEN_ELSEWHERE = """
    INT LONG LONG4 STRING BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 UNICODE SHORT_BINUNICODE BINUNICODE8
    FLOAT
"""
_KNOWN = frozenset((_BUILT + _GIVEN).split())
_ARGUMENTS = frozenset((_GIVEN + _GIVEN_ELSEWHERE).split())
_FRESH: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}
_MOST_BITS = 2040
"""Of an integer: what torch's unpickler can read, and Python still write as text."""


def take_apart(stream: io.BytesIO, workshop: Workshop, entry: str) -> Any:
    """The value of the pickle at which ``stream`` stands, which is left behind its end.

    ``entry`` names the file within the file, for the faults that ``workshop`` gathers. Raises ``RefusedError`` where
    the pickle is malformed; what is merely not wanted becomes a fault and a ``Thing``.
    """
    machine = _Machine(workshop)
    at = stream.tell()
    place = f" of {shown(entry)}" if entry else ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python, on odd escapes in texts of protocol 0
            for count, (opcode, argument, found) in enumerate(pickletools.genops(stream)):
                at = found or 0
                if count >= MOST_OPCODES:
                    raise RefusedError(f"a pickle of more than {MOST_OPCODES:,} steps")
                workshop.here = f"byte {at}{place}"
                if opcode.name not in _KNOWN:
                    workshop.foreign(opcode.name, opcode.proto)
                machine.step(opcode.name, argument, count)
    except RefusedError as refusal:
        raise RefusedError(f"{refusal} (byte {at}{place})") from None
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        raise RefusedError(f"a malformed pickle, {shown(str(error))} (at or after byte {at}{place})") from None
    return machine.result


class _Machine:
    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.result: Any = None

    def step(self, name: str, argument: Any, count: int) -> None:
        if name in _ARGUMENTS:
            if isinstance(argument, int) and argument.bit_length() > _MOST_BITS:
                raise RefusedError(f"a number of {argument.bit_length():,} bits")
            self.stack.append(argument)
        elif name in _FRESH:
            self.stack.append(_FRESH[name]())
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            if argument > count:
                raise RefusedError(f"memo {argument:,} after {count:,} steps")
            self.memo[argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            self.stack.append(self.memo[argument])
        elif name in _HANDLERS:
            _HANDLERS[name](self, argument)
        elif name not in ("PROTO", "FRAME", "READONLY_BUFFER"):
            raise RefusedError(f"opcode {name}")

    def mark(self, _: Any) -> None:
        self.below.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def stop(self, _: Any) -> None:
        if len(self.stack) != 1 or self.below:
            raise RefusedError("a pickle that ends with more or less than one value")
        self.result = self.stack.pop()

    def pop(self, _: Any) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.since_mark()

    def drop(self, _: Any) -> None:
        self.since_mark()

    def memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def few(self, count: int) -> None:
        items = [self.stack.pop() for _ in range(count)]
        self.stack.append(tuple(reversed(items)))

    def tuple_(self, _: Any) -> None:
        items = self.since_mark()  # which changes what the stack is
        self.stack.append(tuple(items))

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, Thing) or target.script:
            raise RefusedError(f"items are appended to a {_kind(target)}")

    def add(self, _: Any) -> None:
        items = self.since_mark()
        target = self.stack[-1]
        if isinstance(target, set):
            target.update(key(item) for item in items)
        elif not isinstance(target, Thing) or target.script:
            raise RefusedError(f"items are added to a {_kind(target)}")

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if len(items) % 2 or not isinstance(target, dict | Thing) or (isinstance(target, Thing) and target.script):
            raise RefusedError(f"items are set in a {_kind(target)}")
        for name, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(target, Thing):
                continue
            if key(name) in target:
                raise RefusedError(f"{shown(str(name)[:80])} is set twice")
            target[name] = value

    def list_(self, _: Any) -> None:
        items = self.since_mark()
        self.stack.append(items)

    def dict_(self, _: Any) -> None:
        items = self.since_mark()
        self.stack.append({})
        self.set_items(items)

    def frozen(self, _: Any) -> None:
        items = {key(item) for item in self.since_mark()}
        self.stack.append(items)

    def global_(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self.stack.append(self.workshop.named(f"{module}.{name}"))

    def stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise RefusedError("a global whose name is no text")
        self.stack.append(self.workshop.named(f"{module}.{name}"))

    def extension(self, code: int) -> None:
        self.stack.append(self.workshop.named(f"copyreg extension {code}"))

    def inst(self, argument: str) -> None:
        arguments = tuple(self.since_mark())
        self.global_(argument)
        self.stack.append(self.workshop.made(self.stack.pop(), arguments))

    def obj(self, _: Any) -> None:
        items = self.since_mark()
        self.stack.append(self.workshop.made(items[0], tuple(items[1:])))

    def reduce(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self.stack.append(self.workshop.called(function, arguments))

    def new(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self.stack.append(self.workshop.made(function, arguments))

    def new_with_names(self, _: Any) -> None:
        self.stack.pop()
        self.new(None)

    def build(self, _: Any) -> None:
        state = self.stack.pop()
        self.workshop.furnish(self.stack[-1], state)

    def persistent(self, name: Any) -> None:
        self.stack.append(self.workshop.persistent(name))


def _kind(value: Any) -> str:
    return shown(value.name) if isinstance(value, Global | Thing) else type(value).__name__


_HANDLERS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "STOP": _Machine.stop,
    "POP": _Machine.pop,
    "POP_MARK": _Machine.drop,
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "MEMOIZE": _Machine.memoize,
    "TUPLE": _Machine.tuple_,
    "TUPLE1": lambda machine, _: machine.few(1),
    "TUPLE2": lambda machine, _: machine.few(2),
    "TUPLE3": lambda machine, _: machine.few(3),
    "LIST": _Machine.list_,
    "DICT": _Machine.dict_,
    "FROZENSET": _Machine.frozen,
    "APPEND": lambda machine, _: machine.append([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.since_mark()),
    "ADDITEMS": _Machine.add,
    "SETITEM": lambda machine, _: machine.set_items([machine.stack.pop(), machine.stack.pop()][::-1]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    "GLOBAL": _Machine.global_,
    "STACK_GLOBAL": _Machine.stack_global,
    "EXT1": _Machine.extension,
    "EXT2": _Machine.extension,
    "EXT4": _Machine.extension,
    "INST": _Machine.inst,
    "OBJ": _Machine.obj,
    "REDUCE": _Machine.reduce,
    "NEWOBJ": _Machine.new,
    "NEWOBJ_EX": _Machine.new_with_names,
    "BUILD": _Machine.build,
    "PERSID": _Machine.persistent,
    "BINPERSID": lambda machine, _: machine.persistent(machine.stack.pop()),
}
