"""The few things that a pickle of weights may ask for, made by us; everything else stays a name and is a fault.

Of a tensor only shape, strides and place in its storage are written in the pickle; all three are checked against the
storage before any tensor is made.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any, Protocol

import torch
from torch import Tensor

from bezoar.models.reading.calls import CALLS, SCRIPT_CALLS, whole
from bezoar.models.reading.inert import Global, Ordered, Storage, Thing
from bezoar.models.reading.names import DTYPES, FIT, STORAGE_CLASSES, STORAGES, UNFIT, UNTYPED, UNWANTED
from bezoar.models.reading.refusal import RefusedError, shown

MOST_FAULTS = 50
_MOST_DIMENSIONS, _MOST_ELEMENTS = 16, 1 << 48
_SLACK = 64 << 20


class Records(Protocol):
    """Where the numbers of storages stand."""

    def size(self, key: str) -> int | None:
        """Bytes of a storage; ``None`` where that is not known yet. Raises ``RefusedError`` where there is none."""
        ...

    def numbers(self, storage: Storage) -> Tensor | None:
        """The numbers, flat; ``None`` where nothing is read and tensors are made on the meta device."""
        ...


class Workshop:
    """Makes what the pickles of one file ask for and gathers what is wrong with them."""

    def __init__(self, records: Records, script: bool = False) -> None:
        self.records = records
        self.script = script
        self.storages: dict[str, Storage] = {}
        self.globals: dict[str, None] = {}
        self._asked: dict[str, None] = {}
        self._faults: dict[str, None] = {}
        self.here = ""
        self._strange = False
        self._held = self._viewed = 0

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong: first what the pickles ask for and no weights need, then the rest, each in order."""
        return (*self._asked, *self._faults)

    def fault(self, text: str) -> None:
        if len(self._faults) < MOST_FAULTS:
            self._faults[f"{text} ({self.here})"] = None

    def foreign(self, opcode: str, protocol: int) -> None:
        """Note an opcode that torch's weights-only unpickler does not know; once, for one file has thousands."""
        if not self._strange:
            self._strange = True
            self.fault(f"it has opcode {opcode} of pickle protocol {protocol}, which torch reads no weights with")

    def named(self, name: str) -> Any:
        """What stands for a global."""
        if name not in self.globals and len(self.globals) < 10_000:
            self.globals[name] = None
        if name in DTYPES:
            if DTYPES[name] not in FIT:
                self.fault(f"numbers of type {name.removeprefix('torch.')}, which towers do not have")
            return DTYPES[name]
        storage = STORAGE_CLASSES.get(name)
        if storage in UNFIT:
            self.fault(f"numbers of type {UNFIT[storage]}, which towers do not have")
            return Thing(name)
        if storage or name in UNTYPED or name in CALLS:
            return Global(name)
        if self.script and (name.startswith("__torch__.") or name in SCRIPT_CALLS):
            return Global(name)
        if name in UNWANTED:
            self.fault(UNWANTED[name])
        elif len(self._asked) < MOST_FAULTS:
            self._asked[f"it names {shown(name)}, which no weights need and which was not called ({self.here})"] = None
        return Thing(name)

    def called(self, function: Any, arguments: Any) -> Any:
        """What a call gives: made here, or a ``Thing``."""
        if not isinstance(arguments, tuple):
            raise RefusedError("a call whose arguments are no tuple")
        if isinstance(function, Thing):
            return Thing(function.name)
        if not isinstance(function, Global):
            raise RefusedError(f"a call of a {type(function).__name__}")
        make = CALLS.get(function.name) or (SCRIPT_CALLS.get(function.name) if self.script else None)
        if make is None:
            raise RefusedError(f"a call of {shown(function.name)}")
        try:
            return make(self, *arguments)
        except TypeError:
            raise RefusedError(f"a call of {shown(function.name)} with arguments that it does not take") from None

    def made(self, kind: Any, arguments: Any) -> Any:
        """A new object of a class: a module of TorchScript, an ``OrderedDict``, or a ``Thing``."""
        if isinstance(kind, Global) and self.script and kind.name.startswith("__torch__.") and arguments == ():
            return Thing(kind.name, script=True)
        if isinstance(kind, Global) and kind.name != "collections.OrderedDict":
            raise RefusedError(f"a new {shown(kind.name)}")
        return self.called(kind, arguments)

    def furnish(self, target: Any, state: Any) -> None:
        """Give an object its state."""
        if isinstance(target, Ordered):
            if not isinstance(state, dict) or any(not isinstance(k, str) or hasattr(OrderedDict, k) for k in state):
                raise RefusedError("attributes of an OrderedDict that would hide its methods")
        elif isinstance(target, Thing) and target.script:
            if not isinstance(state, dict) or target.state or any(not isinstance(key, str) for key in state):
                raise RefusedError(f"a state of {shown(target.name)} that is no attributes")
            target.state.update(state)
        elif not isinstance(target, Thing):
            raise RefusedError(f"a state for a {type(target).__name__}")

    def persistent(self, name: Any) -> Any:
        """The storage that a persistent id names."""
        if not isinstance(name, tuple) or len(name) not in (5, 6) or name[0] not in ("storage", b"storage"):
            raise RefusedError("a persistent id that names no storage")
        kind, key, _, count = name[1:5]
        if len(name) == 6 and name[5] is not None:
            raise RefusedError("a view of a storage, as torch before 0.4 wrote it")
        if isinstance(kind, Thing):
            return kind
        if not isinstance(kind, Global) or not (kind.name in UNTYPED or kind.name in STORAGE_CLASSES):
            raise RefusedError("a storage of no known class")
        if type(key) is not str or type(count) is not int or not 0 <= count < _MOST_ELEMENTS:
            raise RefusedError("a storage without a proper key and count")
        dtype = torch.uint8 if kind.name in UNTYPED else STORAGES[STORAGE_CLASSES[kind.name]]
        storage = Storage(key, dtype, count)
        held = self.records.size(key)
        if held is not None and held != storage.bytes:
            raise RefusedError(f"storage {shown(key)} has {held:,} bytes and is said to have {storage.bytes:,}")
        if key not in self.storages:
            self._held += storage.bytes
        known = self.storages.setdefault(key, storage)
        if known != storage and storage.bytes + known.bytes:
            raise RefusedError(f"storage {shown(key)} is named with two types or counts")
        return storage

    def tensor(self, storage: Any, dtype: Any, offset: Any, size: Any, stride: Any) -> Any:
        """A view of ``storage``, once its numbers have been seen to lie in it, each at most once."""
        if isinstance(storage, Thing):
            return storage
        numbers = [offset, *whole(size), *whole(stride)]
        if not isinstance(storage, Storage) or any(type(n) is not int or not 0 <= n < _MOST_ELEMENTS for n in numbers):
            raise RefusedError("a tensor without a proper storage, shape or strides")
        if len(size) != len(stride) or len(size) > _MOST_DIMENSIONS:
            raise RefusedError(f"a tensor of {len(size)} dimensions and {len(stride)} strides")
        if dtype not in FIT:
            return Thing(str(dtype))
        held = storage.bytes // dtype.itemsize
        count = needed = 1
        for length, step in zip(size, stride, strict=True):
            count *= length
            needed += (length - 1) * step
        if count == 0:
            if math.prod(length or 1 for length in size) > _MOST_ELEMENTS:  # torch multiplies them for the strides
                raise RefusedError(f"an empty tensor of shape {tuple(size)}")
        elif offset + needed > held:
            raise RefusedError(f"a tensor of shape {tuple(size)} reaches beyond its storage of {held:,} numbers")
        elif count > held:
            raise RefusedError(f"a tensor of shape {tuple(size)} repeats a storage of {held:,} numbers")
        self._viewed += count * dtype.itemsize
        if self._viewed > 2 * self._held + _SLACK:
            raise RefusedError("tensors of more than twice the bytes of the storages that they share")
        flat = self.records.numbers(Storage(storage.key, dtype, held))
        if flat is None:
            return torch.empty(size, dtype=dtype, device="meta")
        return flat.as_strided(size, stride, offset)
