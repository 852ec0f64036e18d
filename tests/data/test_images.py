"""Resize and center crop, against Pillow and against slices by hand."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from tests.album import Album, Pixels
from torch import Tensor
from torchvision.transforms.v2 import CenterCrop, Compose, InterpolationMode, PILToTensor
from torchvision.transforms.v2 import Resize as PillowResize

from bezoar.core.frame import Frame, Interpolation, Resize
from bezoar.data.decode import decode, shrunk
from bezoar.data.images import fit, load, load_framed, to_tensor
from bezoar.data.scenes import Scenes

relaxed = settings(max_examples=50, deadline=None)

SIZES = [(64, 48), (48, 64), (500, 375), (33, 97), (16, 16), (20, 300), (225, 224)]


def picture(width: int, height: int) -> Pixels:
    """Something smooth with edges, as pictures are; noise would only measure how filters round."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [x * 255 / width, y * 255 / height, ((x // 9 + y // 7) % 2) * 200 + 20]
    return np.stack(channels, axis=-1).astype(np.uint8)


def slowly(pixels: Pixels, size: int) -> Pixels:
    """The same by Pillow, which works on another grid of rounding."""
    height, width = pixels.shape[:2]
    short = min(width, height)
    box = (max(size, size * width // short), max(size, size * height // short))
    resized = Image.fromarray(pixels).resize(box, Image.Resampling.BICUBIC)
    left, top = round((box[0] - size) / 2), round((box[1] - size) / 2)
    return np.asarray(resized)[top : top + size, left : left + size]


def test_channels_come_first_and_a_source_that_cannot_be_written_is_copied() -> None:
    pixels = picture(5, 3)
    pixels.flags.writeable = False
    image = to_tensor(pixels)
    assert image.shape == (3, 3, 5)
    assert image.dtype == torch.uint8
    for c, y, x in np.ndindex(3, 3, 5):
        assert image[c, y, x] == pixels[y, x, c]
    image[:] = 0
    assert pixels.any()


@pytest.mark.parametrize("size", [16, 32, 224])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_within_two_gray_levels_of_pillow(width: int, height: int, size: int) -> None:
    pixels = picture(width, height)
    ours = fit(to_tensor(pixels), Frame(size)).permute(1, 2, 0).numpy().astype(int)
    difference = np.abs(ours - slowly(pixels, size).astype(int))
    assert difference.max() <= 2
    assert difference.mean() < 0.6


RESIZES: tuple[Resize, ...] = ("shortest", "longest", "squash")
INTERPOLATIONS: tuple[Interpolation, ...] = ("bicubic", "bilinear")


@pytest.mark.parametrize("size", [16, 224])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("resize", RESIZES)
def test_every_frame_is_what_open_clip_makes(resize: Resize, interpolation: Interpolation, size: int) -> None:
    settings = PreprocessCfg(size, mean=(0,) * 3, std=(1,) * 3, interpolation=interpolation, resize_mode=resize)
    theirs = image_transform_v2(settings, is_train=False)
    for width, height in SIZES:
        pixels = picture(width, height)
        ours = fit(to_tensor(pixels), Frame(size, resize, interpolation)).float()
        difference = (ours - 255 * theirs(Image.fromarray(pixels))).abs()
        assert difference.max() < 2.5
        assert difference.mean() < 0.1


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize(("size", "larger"), [(224, 256), (28, 32), (32, 33), (224, 224)])
def test_a_larger_side_is_cut_to_the_size(size: int, larger: int, interpolation: Interpolation) -> None:
    way = InterpolationMode(interpolation)
    theirs = Compose([PillowResize(larger, interpolation=way), CenterCrop(size), PILToTensor()])
    for width, height in [*SIZES, (size, size), (larger, larger)]:
        pixels = picture(width, height)
        ours = fit(to_tensor(pixels), Frame(size, interpolation=interpolation, larger=larger)).float()
        assert (ours - theirs(Image.fromarray(pixels)).float()).abs().max() <= 2


frames = st.builds(
    Frame, st.integers(2, 40), st.sampled_from(RESIZES), st.sampled_from(INTERPOLATIONS), st.none() | st.integers(2, 48)
)


@relaxed
@given(width=st.integers(1, 80), height=st.integers(1, 80), frame=frames)
def test_any_picture_fits_any_frame(width: int, height: int, frame: Frame) -> None:
    """One color stays one color, padded with black around the middle."""
    fitted = fit(torch.full((3, height, width), 200, dtype=torch.uint8), frame)
    assert fitted.shape == (3, frame.size, frame.size)
    assert fitted.dtype == torch.uint8
    assert fitted.is_contiguous()
    inside = fitted == 200
    assert (inside | (fitted == 0)).all()
    rows, columns = inside[0].any(1), inside[0].any(0)
    assert torch.equal(inside[0], rows[:, None] & columns)
    for line in (rows, columns):
        first, behind = int(line.int().argmax()), int(line.flip(0).int().argmax())
        assert abs(first - behind) <= 1  # as much on one side as on the other
        assert line[first : len(line) - behind].all()
    # Padded only where something was left to fill.
    whole = frame.side >= frame.size and (frame.resize != "longest" or width == height)
    assert not whole or bool(inside.all())


@relaxed
@given(width=st.integers(1, 80), height=st.integers(1, 80), frame=frames)
def test_what_fits_is_left_as_it_is(width: int, height: int, frame: Frame) -> None:
    fitted = fit(to_tensor(picture(width, height)), frame)
    assert (fit(fitted, frame) is fitted) == (frame.side == frame.size)


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize(("width", "height"), [(60, 40), (40, 60), (90, 30)])
def test_a_mirrored_picture_is_mirrored(width: int, height: int, resize: Resize) -> None:
    pixels = to_tensor(picture(width, height))
    for frame in (Frame(24, resize), Frame(24, resize, "bilinear", 36)):  # an even number of pixels to spare
        for axis in (1, 2):
            difference = fit(pixels.flip(axis), frame).int() - fit(pixels, frame).flip(axis).int()
            assert difference.abs().max() <= 1


def test_what_a_frame_keeps_of_a_wide_picture() -> None:
    """A white stripe at its left edge: cropped away, squeezed, or made small with the rest."""
    wide = torch.zeros(3, 40, 80, dtype=torch.uint8)
    wide[:, :, :20] = 255
    kept = {resize: fit(wide, Frame(40, resize)) for resize in RESIZES}
    assert not kept["shortest"].any()
    assert kept["squash"][:, :, :9].min() > 250
    assert kept["squash"][:, :, 12:].max() < 5
    assert kept["longest"][:, 11:29, :9].min() > 250
    assert not kept["longest"][:, :10].any()
    assert not kept["longest"][:, 30:].any()


def test_where_nothing_is_resized_the_crop_is_a_slice() -> None:
    for surplus in range(12):
        wide = torch.arange(3 * 8 * (8 + surplus), dtype=torch.uint8).view(3, 8, 8 + surplus)
        for image in (wide, wide.transpose(1, 2).contiguous()):
            cropped = fit(image, Frame(8))
            starts = [at for at in range(surplus + 1) if torch.equal(cropped, narrow(image, at))]
            assert len(starts) == 1
            assert abs(starts[0] - (surplus - starts[0])) <= 1  # as much on one side as on the other


def narrow(image: Tensor, at: int) -> Tensor:
    return image[:, :, at : at + 8] if image.shape[2] > image.shape[1] else image[:, at : at + 8]


def test_a_fitting_picture_is_left_as_it_is() -> None:
    image = to_tensor(picture(32, 32)).contiguous()
    assert fit(image, Frame(32)) is image


def test_a_scene_loses_an_eighth_of_its_width_on_either_side() -> None:
    pixels = Scenes(count=1).open().image(0)
    assert pixels.shape == (48, 64, 3)
    assert torch.equal(fit(to_tensor(pixels), Frame(48)), to_tensor(pixels)[:, :, 8:56])


@relaxed
@given(
    width=st.integers(1, 80),
    height=st.integers(1, 80),
    size=st.integers(2, 40),
    color=st.tuples(*[st.integers(0, 255)] * 3),
)
def test_any_size_fits_and_one_color_stays_one_color(
    width: int, height: int, size: int, color: tuple[int, int, int]
) -> None:
    image = torch.tensor(color, dtype=torch.uint8).view(3, 1, 1).expand(3, height, width).contiguous()
    fitted = fit(image, Frame(size))
    assert fitted.dtype == torch.uint8
    assert torch.equal(fitted, image[:, :1, :1].expand(3, size, size))


def test_load_fits_the_picture_of_the_source() -> None:
    album = Album(["a", "b"], sizes=[(20, 14), (9, 30)])
    for index in range(2):
        assert torch.equal(load(album, index, Frame(16)), fit(to_tensor(album.image(index)), Frame(16)))


@pytest.mark.parametrize("frame", [Frame(14, larger=16), Frame(14), Frame(14, "squash", "bilinear", 20)])
def test_load_framed_leaves_a_picture_of_the_models_size_as_it_is(frame: Frame) -> None:
    album = Album(["a", "b"], sizes=[(14, 14), (20, 14)])
    assert torch.equal(load_framed(album, 0, frame), to_tensor(album.image(0)))
    assert torch.equal(load_framed(album, 1, frame), load(album, 1, frame))


# ------------------------------------------------------------------------------------------- pictures had for less work


class Files:
    """Encoded pictures."""

    fingerprint = "f" * 16

    def __init__(self, files: list[bytes]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def id(self, index: int) -> str:
        return str(index)

    def image(self, index: int) -> Pixels:
        return decode(self.files[index])


class Pairs(Files):
    """Encoded pictures to train on."""

    def shrunk(self, index: int, least: int) -> Pixels:
        return shrunk(self.files[index], least)


@pytest.mark.parametrize(
    "frame", [Frame(224), Frame(224, "squash"), Frame(224, "longest"), Frame(192, "shortest", "bilinear", 224)]
)
@pytest.mark.parametrize(
    ("width", "height", "most"),
    [(500, 375, 0.0), (640, 480, 2.0), (448, 448, 2.0), (1600, 1200, 2.0), (448, 1500, 2.0), (2000, 440, 0.0)],
)
def test_what_training_reads_is_close_to_what_evaluation_reads(
    width: int, height: int, most: float, frame: Frame
) -> None:
    """In grey levels of 255, on average, on pictures with detail down to single pixels."""
    draw = np.random.default_rng(3)
    detail = np.zeros((height, width, 3))
    for size in (4, 16, 64, width):
        coarse = Image.fromarray(draw.integers(0, 256, (size, size, 3), dtype=np.uint8))
        detail += np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(float) / size**0.5
    stream = io.BytesIO()
    Image.fromarray((detail / detail.max() * 255).astype(np.uint8)).save(stream, "JPEG", quality=90)
    exact, fast = (load(kind([stream.getvalue()]), 0, frame).float() for kind in (Files, Pairs))
    assert exact.std() > 10
    assert (exact - fast).abs().mean() <= most
    # Each reads its own way: a labeled set must never be shrunk.
    assert torch.equal(exact, fit(to_tensor(decode(stream.getvalue())), frame).float())
    assert torch.equal(exact, fast) == (min(width, height) < 448)
