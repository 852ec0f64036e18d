"""The directory of a zip archive, strictly: two readers of what passes here cannot see two different things.

Nothing is decompressed. Records of torch archives are stored as they are, so their bytes are a range of the file.
The layout is that of PKWARE's APPNOTE 6.3.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from bezoar.models.reading.refusal import RefusedError, shown

_END, _CENTRAL, _LOCAL = struct.Struct("<4s4H2IH"), struct.Struct("<4s6H3I5H2I"), struct.Struct("<4s5H3I2H")
_END64, _LOCATOR = struct.Struct("<4sQ2H2I4Q"), struct.Struct("<4sIQI")
_ENCRYPTED = 0x2041  # plainly, strongly, or in its own header
_DOS_FOLDER = 0x10
_MOST_ENTRIES, _DIRECTORY_LIMIT = 200_000, 64 << 20
_DESCRIPTOR = 24
"""Bytes of the longest record that may stand behind an entry: the zip64 data descriptor."""


@dataclass(frozen=True)
class Entry:
    """One file in an archive."""

    name: str
    start: int
    """Offset of its bytes in the archive."""
    packed: int
    """Bytes that it takes in the archive."""
    size: int
    """Bytes that it has, by the directory."""
    stored: bool
    """Whether its bytes stand in the archive as they are, neither compressed nor encrypted."""


def directory(stream: BinaryIO, length: int) -> dict[str, Entry]:
    """The files in a zip archive of ``length`` bytes, by name. Raises ``RefusedError`` where it is not a plain one."""
    first, end, count = _end(stream, length)
    if count > _MOST_ENTRIES or end - first > _DIRECTORY_LIMIT:
        raise RefusedError(
            f"its zip directory of {count:,} entries in {end - first:,} bytes is larger than weights need"
        )
    stream.seek(first)
    listed = list(_central(stream.read(end - first), count))
    found: dict[str, Entry] = {}
    border = 0
    for header, entry in sorted(listed, key=lambda item: item[0]):
        if not border <= header <= border + (_DESCRIPTOR if border else 0):
            raise RefusedError(
                f"bytes of its zip archive overlap or hide before entry {shown(entry.name)} (byte {header})"
            )
        if entry.name in found:
            raise RefusedError(f"its zip archive holds {shown(entry.name)} twice")
        start = _local(stream, header, entry)
        border = start + entry.packed
        if border > first:
            raise RefusedError(
                f"entry {shown(entry.name)} of its zip archive reaches into the directory (byte {start})"
            )
        found[entry.name] = Entry(entry.name, start, entry.packed, entry.size, entry.stored)
    if not border <= first <= border + _DESCRIPTOR:
        raise RefusedError(f"bytes hide before the directory of its zip archive (byte {border})")
    return found


def _end(stream: BinaryIO, length: int) -> tuple[int, int, int]:
    """Where the directory begins and ends, and how many entries it lists."""
    if length < _END.size:
        raise RefusedError("its zip archive is cut off: it has no directory")
    stream.seek(length - _END.size)
    mark, disk, of, here, count, size, first, comment = _END.unpack(stream.read(_END.size))
    if mark != b"PK\5\6":
        raise RefusedError("its zip archive does not end with its directory: it is cut off, or something was appended")
    if disk or of or here != count or comment:
        raise RefusedError("its zip archive is one of several parts, or bears a comment")
    end = length - _END.size
    stream.seek(max(end - _LOCATOR.size, 0))
    locator = stream.read(_LOCATOR.size)
    if locator.startswith(b"PK\6\7") and len(locator) == _LOCATOR.size:
        at = _LOCATOR.unpack(locator)[2]
        end = end - _LOCATOR.size - _END64.size
        if at != end or end < 0:
            raise RefusedError("its zip archive names another end of its directory than the one it has")
        stream.seek(end)
        mark, _, _, _, disk, of, here, many, wide_size, wide_first = _END64.unpack(stream.read(_END64.size))
        fits = all(
            short in (wide, limit)
            for short, wide, limit in (
                (count, many, 0xFFFF),
                (size, wide_size, 0xFFFFFFFF),
                (first, wide_first, 0xFFFFFFFF),
            )
        )
        if mark != b"PK\6\6" or disk or of or here != many or not fits:
            raise RefusedError("its zip archive describes its directory twice, and differently")
        count, size, first = many, wide_size, wide_first
    if first + size != end:
        raise RefusedError(f"the directory of its zip archive is not where it should be (byte {first})")
    return first, end, count


def _central(table: bytes, count: int) -> Iterator[tuple[int, Entry]]:
    """Offset of the local header, and the entry as the directory tells it, with no start yet."""
    at = 0
    for index in range(count):
        if len(table) - at < _CENTRAL.size:
            raise RefusedError("the directory of its zip archive is cut off")
        fields = _CENTRAL.unpack_from(table, at)
        mark, flags, method = fields[0], fields[3], fields[4]
        packed, size, n, extra, comment, disk = fields[8:14]
        mode, header = fields[15:]
        at += _CENTRAL.size
        if mark != b"PK\1\2" or disk or len(table) - at < n + extra + comment:
            raise RefusedError(f"entry {index} of its zip directory is malformed")
        name = _name(table[at : at + n])
        size, packed, header = _wide(table[at + n : at + n + extra], size, packed, header, name)
        at += n + extra + comment
        if stat.S_ISLNK(mode >> 16):
            raise RefusedError(f"entry {shown(name)} of its zip archive is a link")
        if mode & _DOS_FOLDER or stat.S_ISDIR(mode >> 16):  # of which torch's reader takes the size and no bytes
            raise RefusedError(f"entry {shown(name)} of its zip archive is marked as a folder")
        if flags & _ENCRYPTED:
            raise RefusedError(f"entry {shown(name)} of its zip archive is encrypted")
        if method == 0 and packed != size:
            raise RefusedError(f"entry {shown(name)} of its zip archive has two sizes, {packed:,} and {size:,} bytes")
        yield header, Entry(name, 0, packed, size, method == 0)
    if at != len(table):
        raise RefusedError("the directory of its zip archive lists more entries than it counts")


def _wide(extra: bytes, size: int, packed: int, header: int, name: str) -> tuple[int, int, int]:
    """The three numbers, where they did not fit into 32 bits from the zip64 field."""
    values = [size, packed, header]
    if 0xFFFFFFFF not in values:
        return size, packed, header
    at = 0
    while len(extra) - at >= 4:
        kind, length = struct.unpack_from("<2H", extra, at)
        field = extra[at + 4 : at + 4 + length]
        at += 4 + length
        if kind != 1:
            continue
        for place in range(3):
            if values[place] == 0xFFFFFFFF:
                if len(field) < 8:
                    break
                values[place], field = int.from_bytes(field[:8], "little"), field[8:]
        break
    if 0xFFFFFFFF in values:
        raise RefusedError(f"entry {shown(name)} of its zip archive lacks its size")
    return values[0], values[1], values[2]


def _local(stream: BinaryIO, header: int, entry: Entry) -> int:
    """Where the bytes of ``entry`` begin, after its own header has been compared with the directory."""
    stream.seek(header)
    raw = stream.read(_LOCAL.size)
    if len(raw) < _LOCAL.size:
        raise RefusedError(f"entry {shown(entry.name)} of its zip archive lies beyond its end (byte {header})")
    mark, _, flags, method, _, _, _, packed, size, n, extra = _LOCAL.unpack(raw)
    name = stream.read(n)
    later = flags & 8
    sizes = {(entry.packed, entry.size), (0xFFFFFFFF, 0xFFFFFFFF)} | ({(0, 0)} if later else set())
    if (
        mark != b"PK\3\4"
        or flags & _ENCRYPTED
        or name != entry.name.encode()
        or (method == 0) != entry.stored
        or (packed, size) not in sizes
    ):
        raise RefusedError(f"entry {shown(entry.name)} differs from what the zip directory says of it (byte {header})")
    return header + _LOCAL.size + len(name) + int(extra)


def _name(raw: bytes) -> str:
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise RefusedError(f"its zip archive holds an entry whose name is no text: {raw[:40]!r}") from None
    parts = name.split("/")
    if name.startswith("/") or "\\" in name or ":" in parts[0] or "\0" in name or ".." in parts:
        raise RefusedError(f"its zip archive holds an entry that leads out of it: {shown(name)}")
    if "" in parts or "." in parts:
        raise RefusedError(f"its zip archive holds a folder, or an entry of no plain name: {shown(name)}")
    return name
