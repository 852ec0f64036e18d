"""Every kind of file a scrape holds becomes upright RGB, or a ValueError of one short line; nothing warns."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from tests.album import Pixels

import bezoar.data.decode
from bezoar.data.decode import decode, shrunk

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP")


def photo(width: int = 60, height: int = 40, seed: int = 0) -> Image.Image:
    """Smooth colors with some grain, as photographs are."""
    draw = np.random.default_rng(seed)
    coarse = Image.fromarray(draw.integers(0, 256, (5, 7, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return Image.fromarray((smooth + draw.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **how: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **how)
    return stream.getvalue()


def png(width: int, height: int, depth: int, color: int, rows: bytes) -> bytes:
    """A PNG by hand, of a kind that Pillow does not write."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def is_a_picture(found: Pixels) -> bool:
    return found.dtype == np.uint8 and found.ndim == 3 and found.shape[2] == 3 and found.size > 0


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_files_are_the_pixels(kind: str) -> None:
    assert np.array_equal(decode(encoded(photo(), kind)), np.asarray(photo()))


@pytest.mark.parametrize("how", [{}, {"subsampling": 0}, {"progressive": True}])
def test_a_jpeg_is_what_pillow_reads(how: dict[str, Any]) -> None:
    data = encoded(photo(), "JPEG", quality=90, **how)
    assert np.array_equal(decode(data), np.asarray(Image.open(io.BytesIO(data))))
    assert np.abs(decode(data).astype(int) - np.asarray(photo())).mean() < 12


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 90), st.integers(1, 90), st.integers(1, 100), st.sampled_from([0, 1, 2]), st.booleans(),
    st.sampled_from(["RGB", "L"]),
)  # fmt: skip
def test_the_fast_decoder_gives_the_same_bytes(
    width: int, height: int, quality: int, sampling: int, progressive: bool, mode: str
) -> None:
    data = encoded(
        photo(width, height).convert(mode), "JPEG", quality=quality, subsampling=sampling, progressive=progressive
    )
    assert bezoar.data.decode._jpeg(data) is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bezoar.data.decode, "_jpeg", lambda data: None)
        slow = decode(data)
    assert np.array_equal(decode(data), slow)


@pytest.mark.parametrize("fast", [True, False])
def test_a_jpeg_with_faults_reads_the_same_with_the_fast_decoder_and_without(
    fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not fast:
        monkeypatch.setattr(bezoar.data.decode, "_jpeg", lambda data: None)
    whole = encoded(photo(200, 100), "JPEG")
    damaged = bytearray(whole)
    damaged[len(whole) // 2 : len(whole) // 2 + 4] = b"\xff\xd3\xff\xd1"
    with Image.open(io.BytesIO(bytes(damaged))) as image:
        assert np.array_equal(decode(bytes(damaged)), np.asarray(image))
    with pytest.raises(ValueError, match=r"^truncated$"):
        decode(whole[:-200])


def test_what_comes_out_may_be_written_to() -> None:
    found = decode(encoded(photo()))
    found[0, 0] = 7
    assert found.flags.c_contiguous


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_pictures_stand_upright(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    how: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    data = encoded(photo(), kind, exif=exif, **how)
    with Image.open(io.BytesIO(data)) as image:
        turned = np.asarray(ImageOps.exif_transpose(image))
    assert turned.shape == ((60, 40, 3) if orientation >= 5 else (40, 60, 3))
    assert np.array_equal(decode(data), turned)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_none(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(decode(encoded(photo(), exif=exif)), np.asarray(photo()))


def test_damaged_metadata_does_not_spoil_a_picture() -> None:
    plain = encoded(photo(), "JPEG")
    for exif in (
        b"Exif\0\0MM\0*",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\xff\xff",
    ):
        assert np.array_equal(decode(encoded(photo(), "JPEG", exif=exif)), decode(plain))


def test_four_printing_inks() -> None:
    inks = photo().convert("CMYK")
    found = decode(encoded(inks, "JPEG", quality=95))
    assert is_a_picture(found)
    assert np.abs(found.astype(int) - np.asarray(photo())).mean() < 12


def test_greys_of_16_bits_are_scaled_not_clipped() -> None:
    values = np.linspace(0, 65535, 60 * 40).reshape(40, 60).astype(np.uint16)
    for kind in ("PNG", "TIFF"):
        found = decode(encoded(Image.fromarray(values), kind))
        assert np.array_equal(found[..., 0], np.rint(values / 257).astype(np.uint8))
        assert np.array_equal(found[..., 0], found[..., 2])


@pytest.mark.parametrize(("color", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_png_of_16_bits_a_channel(color: int, channels: int) -> None:
    values = np.linspace(0, 65535, 8 * 6 * channels).reshape(6, 8, channels).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    found = decode(png(8, 6, 16, color, rows)).astype(int)
    shown = values[..., [0] * 3 if channels < 3 else [0, 1, 2]]
    assert np.abs(found - shown / 257).max() <= 1
    assert found.max() > 180


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "1", "P"])
def test_other_modes_are_converted(mode: str) -> None:
    image = photo().convert(mode)
    found = decode(encoded(image))
    assert np.array_equal(found, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_transparency_is_dropped_not_blended(kind: str) -> None:
    image = photo().convert("RGBA")
    image.putalpha(Image.new("L", image.size, 9))
    how: dict[str, Any] = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    assert np.array_equal(decode(encoded(image, kind, **how)), np.asarray(photo()))


def test_palettes_with_transparency() -> None:
    palette = photo().quantize(16)
    for transparency in (3, bytes(range(0, 256, 16))):
        found = decode(encoded(palette, transparency=transparency))
        assert np.array_equal(found, np.asarray(palette.convert("RGB")))
    assert np.array_equal(decode(encoded(photo(), transparency=(1, 2, 3))), np.asarray(photo()))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_of_several_frames(kind: str) -> None:
    frames = [photo(seed=n) for n in range(3)]
    how: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    found = decode(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **how))
    away = [np.abs(found.astype(int) - np.asarray(frame)).mean() for frame in frames]
    assert away[0] < 8 < min(away[1:])


# ------------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "^zero bytes$"),
        (b"<html>404</html>", "^cannot be identified as an image$"),
        (b"\xff\xd8\xff", "^cannot be identified as an image$"),
        (encoded(photo(), "JPEG")[:700], "^truncated$"),
        (encoded(photo(200, 200))[:9000], "^truncated$"),
        (encoded(photo(), "BMP")[:900], "^truncated$"),
        (encoded(photo(), "WEBP")[:300], "^(truncated|damaged: .+)$"),
        (encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), "^damaged: floating-point pixels"),
        (encoded(Image.fromarray(np.full((4, 4), 1 << 20, np.int32)), "TIFF"), "^damaged: pixels of more than 16"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "^cannot be identified"),
    ],
)
def test_what_is_no_picture_says_why(data: bytes, reason: str) -> None:
    for read in (decode, lambda given: shrunk(given, 16)):
        with pytest.raises(ValueError, match=reason):
            read(data)


@pytest.mark.parametrize("side", [9_000, 12_000, 60_000])
def test_decompression_bombs_name_their_pixels(side: int) -> None:
    """Below Pillow's own warning, where it warns, and where it raises."""
    with pytest.raises(ValueError, match=f"^{side * side:,} pixels, more than the 67,108,864 that are decoded$"):
        decode(png(side, side, 1, 0, b""))


def test_a_full_memory_is_not_the_fault_of_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(bezoar.data.decode, "_pixels", full)
    with pytest.raises(MemoryError):
        decode(b"x")


def outcome(data: bytes, least: int | None = None) -> None:
    """Whatever the bytes: a picture, or a reason of one short line."""
    reason = ""
    try:
        assert is_a_picture(decode(data) if least is None else shrunk(data, least))
    except ValueError as error:
        reason = str(error)
    assert len(reason) < 120
    assert "\n" not in reason


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(FORMATS), st.floats(0, 1, exclude_max=True), st.sampled_from([None, 8]))
def test_any_truncation_is_a_picture_or_one_line(kind: str, share: float, least: int | None) -> None:
    data = encoded(photo(24, 18), kind)
    outcome(data[: int(share * len(data))], least)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(FORMATS),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4),
    st.sampled_from([None, 8]),
)
def test_any_flipped_bytes_are_a_picture_or_one_line(
    kind: str, flips: list[tuple[float, int]], least: int | None
) -> None:
    data = bytearray(encoded(photo(24, 18), kind))
    for place, value in flips:
        # More often at the head, where the structure is.
        data[int(place**2 * len(data))] = value
    outcome(bytes(data), least)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0"]))
def test_any_bytes_are_a_picture_or_one_line(data: bytes, head: bytes) -> None:
    outcome(head + data)


# -------------------------------------------------------------------------------------------------------------- shrunk


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 150), st.integers(1, 150), st.integers(1, 160))
def test_shrunk_is_never_smaller_than_asked(width: int, height: int, least: int) -> None:
    found = shrunk(encoded(photo(width, height), "JPEG"), least)
    assert min(found.shape[:2]) >= min(least, width, height)
    assert found.shape[:2] in [(-(-height // by), -(-width // by)) for by in (1, 2, 4, 8)]


def test_a_large_jpeg_is_shrunk_by_a_power_of_two() -> None:
    data = encoded(photo(640, 480), "JPEG", quality=90)
    for least, shape in ((481, (480, 640)), (241, (480, 640)), (240, (240, 320)), (60, (60, 80)), (9, (60, 80))):
        assert shrunk(data, least).shape == (*shape, 3)
    assert np.array_equal(shrunk(data, 300), decode(data))


def test_what_cannot_be_shrunk_cheaply_is_decoded() -> None:
    for kind in ("PNG", "WEBP", "GIF"):
        data = encoded(photo(), kind)
        assert np.array_equal(shrunk(data, 5), decode(data))


def test_shrunk_pictures_stand_upright_too() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert shrunk(encoded(photo(640, 480), "JPEG", exif=exif), 240).shape == (320, 240, 3)
