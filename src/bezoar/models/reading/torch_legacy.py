"""What ``torch.save`` wrote before torch 1.6: five pickles, then the numbers of every storage, each after its count."""

from __future__ import annotations

import io
from typing import Any, BinaryIO

from torch import Tensor

from bezoar.models.reading.inert import Storage
from bezoar.models.reading.opcodes import take_apart
from bezoar.models.reading.refusal import RefusedError, shown
from bezoar.models.reading.torch_zip import PICKLE_LIMIT
from bezoar.models.reading.workshop import Workshop

MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
_PROTOCOL = 1001


class LaterRecords:
    """Storages whose place in the file is known only after the pickles."""

    def size(self, key: str) -> int | None:
        return None

    def numbers(self, storage: Storage) -> Tensor | None:
        return None


def take(stream: BinaryIO, length: int, workshop: Workshop) -> Any:
    """The value that a legacy torch file of ``length`` bytes stands for."""
    stream.seek(0)
    head = io.BytesIO(stream.read(PICKLE_LIMIT))
    take_apart(head, workshop, "")
    if take_apart(head, workshop, "") != _PROTOCOL:
        raise RefusedError("a legacy torch file of no known protocol")
    host = take_apart(head, workshop, "")
    if not isinstance(host, dict) or host.get("little_endian") is not True:
        raise RefusedError("its numbers are not stored with the lowest byte first")
    value = take_apart(head, workshop, "")
    keys = take_apart(head, workshop, "")
    if not isinstance(keys, list) or any(type(key) is not str for key in keys) or len(set(keys)) != len(keys):
        raise RefusedError("a legacy torch file whose list of storages is none")
    at = head.tell()
    for key in keys:
        storage = workshop.storages.get(key)
        if storage is None:
            raise RefusedError(f"storage {shown(key)} belongs to no tensor (byte {at})")
        stream.seek(at)
        count = int.from_bytes(stream.read(8), "little", signed=True)
        if count != storage.count:
            raise RefusedError(
                f"storage {shown(key)} has {count:,} numbers and is said to have {storage.count:,} (byte {at})"
            )
        at += 8 + storage.bytes
        if at > length:
            raise RefusedError(f"the file is cut off in storage {shown(key)}, at byte {length:,} of at least {at:,}")
    if set(keys) != set(workshop.storages):
        raise RefusedError("a legacy torch file that lacks the numbers of some storages")
    if at != length:
        raise RefusedError(f"{length - at:,} bytes after its end (byte {at})")
    return value
