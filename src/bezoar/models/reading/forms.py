"""What a file is, told from its first bytes and never from its name."""

from __future__ import annotations

from typing import BinaryIO

from bezoar.models.reading.torch_legacy import MAGIC

_HEAD = 1024
_TAR_BLOCK = 512

_BEGINNINGS = (
    (b"\x93NUMPY", "numpy array"),
    (b"\x89PNG", "PNG picture"),
    (b"\xff\xd8\xff", "JPEG picture"),
    (b"GIF8", "GIF picture"),
    (b"BM", "BMP picture"),
    (b"II*\0", "TIFF picture"),
    (b"MM\0*", "TIFF picture"),
    (b"version https://git-lfs.github.com/spec/", "Git LFS pointer"),
    (b"GGUF", "GGUF file"),
    (b"\x89HDF", "HDF5 file"),
    (b"%PDF", "PDF"),
    (b"\x1f\x8b", "gzip file"),
    (b"BZh", "bzip2 file"),
    (b"\xfd7zXZ", "xz file"),
    (b"\x28\xb5\x2f\xfd", "zstd file"),
    (b"7z\xbc\xaf", "7z archive"),
    (b"Rar!", "RAR archive"),
    (b"\x7fELF", "program"),
    (b"MZ", "program"),
    (b"PAR1", "Parquet file"),
    (b"PK\3\4", "zip"),
    (b"PK\5\6", "empty zip"),
    (MAGIC, "torch legacy"),
)


def form(stream: BinaryIO, length: int) -> str:
    """What the file looks like; ``text`` or ``unknown`` where nothing fits. It may still be a pickle then."""
    stream.seek(0)
    head = stream.read(_HEAD)
    if not head:
        return "empty file"
    found = next((name for begin, name in _BEGINNINGS if head.startswith(begin)), None)
    if found is not None:
        return found
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WebP picture"
    if len(head) > 8 and head[8:9] == b"{" and (int.from_bytes(head[:8], "little") < 1 << 40):
        return "safetensors"
    if _is_tar(head):
        return "torch tar" if {b"pickle", b"tensors"} <= _members(stream, length) else "tar archive"
    if head[:1] == b"\x80" and head[1:2] <= b"\x05":
        return "pickle"
    return _text(head)


def _text(head: bytes) -> str:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "HTML page"
    if start.startswith(b"<?xml"):
        return "XML file"
    if start.startswith((b"{", b'["', b"[{")):
        return "JSON file"
    is_text = all(byte >= 32 or byte in b"\t\r\n" for byte in head)
    return "text" if is_text else "unknown"


def _is_tar(head: bytes) -> bool:
    """Whether the checksum of a tar header holds; old headers have no other mark."""
    if len(head) < _TAR_BLOCK:
        return False
    digits = head[148:156].strip(b" \0")
    blank = head[:148] + b" " * 8 + head[156:_TAR_BLOCK]
    return digits.isdigit() and all(digit in b"01234567" for digit in digits) and int(digits, 8) == sum(blank)


def _members(stream: BinaryIO, length: int) -> set[bytes]:
    """The names of the first files in a tar."""
    names: set[bytes] = set()
    at = 0
    for _ in range(32):
        stream.seek(at)
        block = stream.read(_TAR_BLOCK)
        digits = block[124:136].strip(b" \0")
        if not _is_tar(block) or not digits or not all(digit in b"01234567" for digit in digits):
            break
        names.add(block[:100].rstrip(b"\0").removeprefix(b"./"))
        at += _TAR_BLOCK + -(-int(digits, 8) // _TAR_BLOCK) * _TAR_BLOCK
        if at >= length:
            break
    return names
