"""Pickles written opcode by opcode."""

from __future__ import annotations

import struct
from collections.abc import Mapping


def whole(content: bytes) -> bytes:
    """A pickle of protocol 2, ended."""
    return b"\x80\x02" + content + b"."


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def short(value: str) -> bytes:
    """A text as protocol 4 writes it."""
    raw = value.encode()
    return b"\x8c" + bytes([len(raw)]) + raw


def blob(value: bytes) -> bytes:
    """Bytes as protocol 3 writes them."""
    return b"B" + struct.pack("<I", len(value)) + value


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value) if -(1 << 31) <= value < 1 << 31 else long(value)


def long(value: int) -> bytes:
    raw = value.to_bytes(9, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def tuple_(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def list_(*items: bytes) -> bytes:
    return b"](" + b"".join(items) + b"e"


def dict_(items: Mapping[str, bytes]) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def call(module: str, function: str, *arguments: bytes) -> bytes:
    return named(module, function) + tuple_(*arguments) + b"R"
