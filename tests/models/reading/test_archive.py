"""The zip directory: what Python and torch write passes, to zip64; what two readers could see differently does not."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
import torch

from bezoar.models.reading import read, skim
from bezoar.models.reading.archive import directory
from bezoar.models.reading.refusal import RefusedError


def listed(content: bytes) -> dict[str, tuple[int, int]]:
    return {name: (entry.start, entry.size) for name, entry in directory(io.BytesIO(content), len(content)).items()}


def zipped(files: dict[str, bytes], large: bool = False, seekable: bool = True) -> bytes:
    stream = io.BytesIO()
    if not seekable:
        stream.seekable = lambda: False  # type: ignore[method-assign]
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            with archive.open(name, "w", force_zip64=large) as entry:
                entry.write(content)
    return stream.getvalue()


@pytest.mark.parametrize("large", [False, True])
def test_every_entry_is_found_where_its_bytes_are(large: bool) -> None:
    files = {"a/one": b"first", "a/two": b"", "a/deep/three": bytes(1000)}
    content = zipped(files, large)
    found = listed(content)
    assert list(found) == list(files)
    assert all(content[start : start + size] == files[name] for name, (start, size) in found.items())


def test_entries_with_their_sizes_behind_them_are_found() -> None:
    content = zipped({"a/one": b"first", "a/two": b"second"}, seekable=False)
    assert [content[start : start + size] for start, size in listed(content).values()] == [b"first", b"second"]


def test_zip64_directories_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    content = zipped({"a/one": b"first", "a/two": b"second"})
    assert b"PK\6\6" in content
    assert [content[start : start + size] for start, size in listed(content).values()] == [b"first", b"second"]
    moved = content.replace(b"PK\6\6", b"PK\6\5")
    with pytest.raises(RefusedError, match="twice, and differently"):
        listed(moved)


def test_sizes_that_need_64_bits_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10)
    files = {"a/one": bytes(100), "a/two": bytes(range(100))}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    content = stream.getvalue()
    assert b"\xff\xff\xff\xff" in content
    assert [content[start : start + size] for start, size in listed(content).values()] == list(files.values())


@pytest.mark.parametrize("at", range(22))
def test_no_byte_of_the_end_can_change_unseen(at: int) -> None:
    content = bytearray(zipped({"a/one": b"first"}))
    content[len(content) - 22 + at] ^= 0x41
    with pytest.raises(RefusedError):
        listed(bytes(content))


def test_entries_without_checksums_are_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"w": torch.ones(1000)}, tmp_path / "a.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert skim(tmp_path / "a.pt").faults == ()
    assert torch.equal(read(tmp_path / "a.pt")["w"], torch.ones(1000))
