"""Prepared pictures are the pictures: filled in any order, used only when whole, never filled twice."""

from __future__ import annotations

import errno
import os
import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.album import Album, Pixels

import bezoar.data.prepared
from bezoar.core.frame import Frame
from bezoar.data import Scenes
from bezoar.data.images import Exact, load
from bezoar.data.prepared import GEOMETRY, Prepared, begin, fill, finish, is_whole, needed_bytes

SIZES = [(20, 14), (14, 20), (9, 9), (40, 8)]
SMALL = Frame(16)


def album(count: int = 11) -> Album:
    return Album([f"picture {i}" for i in range(count)], SIZES)


class Gone(Album):
    """An album whose pictures cannot be read any more."""

    def image(self, index: int) -> Pixels:
        raise AssertionError(index)


def gone(count: int = 11) -> Gone:
    return Gone(album(count).captions, SIZES)


def prepare(folder: Path, images: Album, size: int) -> None:
    assert begin(folder, images, Frame(size))
    assert fill(folder, images, Frame(size), 0, len(images)) == len(images)
    finish(folder, images, Frame(size))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(step=st.integers(1, 12), seed=st.integers(0, 9), count=st.integers(1, 11))
def test_chunks_in_any_order_equal_direct_loading(tmp_path: Path, step: int, seed: int, count: int) -> None:
    folder = tmp_path / f"{step}-{seed}-{count}"
    images = album(count)
    assert begin(folder, images, SMALL) or is_whole(folder, images, SMALL)
    starts = list(range(0, count, step))
    random.Random(seed).shuffle(starts)
    done = [fill(folder, images, SMALL, start, start + step) for start in starts]
    assert sum(done) == count
    finish(folder, images, SMALL)
    stored = Prepared(gone(count), SMALL, folder)
    assert len(stored) == count
    for index in range(count):
        assert torch.equal(stored[index], load(images, index, SMALL))
        assert stored[index].dtype == torch.uint8


def test_nothing_is_used_before_it_is_whole(tmp_path: Path) -> None:
    images = album()
    assert not is_whole(tmp_path, images, SMALL)
    assert begin(tmp_path, images, SMALL)
    fill(tmp_path, images, SMALL, 0, 5)
    assert not is_whole(tmp_path, images, SMALL)
    for index in range(len(images)):
        assert torch.equal(Prepared(images, SMALL, tmp_path)[index], load(images, index, SMALL))
    assert begin(tmp_path, images, SMALL)  # after a kill it starts anew
    fill(tmp_path, images, SMALL, 0, len(images))
    finish(tmp_path, images, SMALL)
    assert is_whole(tmp_path, images, SMALL)


def test_what_is_whole_is_taken_up_again(tmp_path: Path) -> None:
    prepare(tmp_path, album(), 16)
    assert not begin(tmp_path, gone(), SMALL)
    assert torch.equal(Prepared(gone(), SMALL, tmp_path)[3], load(album(), 3, SMALL))


def test_another_size_or_content_is_another_file(tmp_path: Path) -> None:
    prepare(tmp_path, album(), 16)
    assert begin(tmp_path, album(), Frame(8))
    assert begin(tmp_path, album(12), SMALL)
    assert torch.equal(Prepared(album(), Frame(8), tmp_path)[2], load(album(), 2, Frame(8)))
    assert Prepared(album(), SMALL, tmp_path)[2].shape == (3, 16, 16)


def test_another_frame_is_another_file_and_the_usual_ones_are_called_as_ever(tmp_path: Path) -> None:
    frames = [SMALL, Frame(16, "squash"), Frame(16, "longest"), Frame(16, interpolation="bilinear", larger=20)]
    for frame in frames:
        assert not is_whole(tmp_path, album(), frame)
        assert begin(tmp_path, album(), frame)
        assert fill(tmp_path, album(), frame, 0, 11) == 11
        finish(tmp_path, album(), frame)
    for frame in frames:
        stored = Prepared(gone(), frame, tmp_path)
        assert stored.stored
        assert all(torch.equal(stored[index], load(album(), index, frame)) for index in range(11))
    names = ("16", "16-squash", "16-longest", "16-bilinear-20")
    expected = {f"{album().fingerprint}-{name}-{GEOMETRY}.npy" for name in names}
    assert {path.name for path in tmp_path.glob("*.npy")} == expected


def test_without_a_folder_every_picture_comes_from_the_source() -> None:
    images = album()
    assert torch.equal(Prepared(images, SMALL)[4], load(images, 4, SMALL))


def test_what_is_handed_out_is_a_copy(tmp_path: Path) -> None:
    prepare(tmp_path, album(), 16)
    stored = Prepared(gone(), SMALL, tmp_path)
    stored[0].zero_()
    assert torch.equal(stored[0], load(album(), 0, SMALL))


def test_pixels_that_were_removed_are_made_again(tmp_path: Path) -> None:
    prepare(tmp_path, album(), 16)
    (tmp_path / f"{album().fingerprint}-16-{GEOMETRY}.npy").unlink()
    assert not is_whole(tmp_path, album(), SMALL)
    assert torch.equal(Prepared(album(), SMALL, tmp_path)[0], load(album(), 0, SMALL))
    assert begin(tmp_path, album(), SMALL)
    assert not is_whole(tmp_path, album(), SMALL)  # the old mark does not stand for the new file


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    prepare(tmp_path, album(), 16)
    path = tmp_path / f"{album().fingerprint}-16-{GEOMETRY}.npy"
    for content in (path.read_bytes()[:-100], b"", b"not an array at all"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"^prepared: {path} cannot be read, delete it: "):
            Prepared(album(), SMALL, tmp_path)


def test_a_loader_worker_is_not_sent_the_pictures(tmp_path: Path) -> None:
    prepare(tmp_path, album(200), 64)
    stored = Prepared(gone(200), Frame(64), tmp_path)
    sent = pickle.dumps(stored)
    assert len(sent) < 20_000 < needed_bytes(album(200), 64)
    assert torch.equal(pickle.loads(sent)[150], stored[150])


def test_needed_bytes_is_the_size_of_the_file(tmp_path: Path) -> None:
    prepare(tmp_path, album(), 16)
    path = tmp_path / f"{album().fingerprint}-16-{GEOMETRY}.npy"
    assert needed_bytes(album(), 16) == 11 * 3 * 16 * 16
    assert 0 <= path.stat().st_size - needed_bytes(album(), 16) < 1024
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".npy", ".whole"]
    assert np.load(path).shape == (11, 3, 16, 16)


def test_pixels_of_another_geometry_are_not_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path, album(), 16)
    monkeypatch.setattr(bezoar.data.prepared, "GEOMETRY", GEOMETRY + 1)
    assert not is_whole(tmp_path, album(), SMALL)
    assert not Prepared(album(), SMALL, tmp_path).stored
    prepare(tmp_path, album(), 16)


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    stem = f"{album().fingerprint}-16-{GEOMETRY}"
    for name in (f"{stem}.123.npy", f"{stem}.4.npy", "other-16-2.5.npy"):
        (tmp_path / name).write_bytes(b"half")
    prepare(tmp_path, album(), 16)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{stem}.npy", f"{stem}.whole", "other-16-2.5.npy"]


# ------------------------------------------------------------------------------------------------------ shared pictures


class Captioned(Album):
    """Pictures with three captions each, which can be had smaller."""

    read: list[int]

    def __init__(self, pictures: int) -> None:
        super().__init__([f"caption {i}" for i in range(3 * pictures)], SIZES)
        self.pictures, self.read = pictures, []

    def picture(self, index: int) -> int:
        return (index * 7) % self.pictures  # those of one picture do not stand together

    def first(self, picture: int) -> int:
        return next(i for i in range(len(self)) if self.picture(i) == picture)

    def image(self, index: int) -> Pixels:
        self.read.append(index)
        return super().image(self.picture(index))


class Small(Captioned):
    """The same, had at half the size."""

    def shrunk(self, index: int, least: int) -> Pixels:
        return self.image(index)[::2, ::2]


def test_pairs_of_one_picture_share_it(tmp_path: Path) -> None:
    images = Captioned(5)
    assert begin(tmp_path, images, SMALL)
    assert fill(tmp_path, images, SMALL, 0, 99) == 5
    finish(tmp_path, images, SMALL)
    assert sorted(images.read) == sorted(images.first(picture) for picture in range(5)), "each is decoded once"
    stored = Prepared(images, SMALL, tmp_path)
    assert len(stored) == 15
    assert needed_bytes(images, 16) == 5 * 3 * 16 * 16
    for index in range(15):
        assert torch.equal(stored[index], load(images, index, SMALL))


def test_pairs_and_what_evaluation_reads_of_them_are_two_files(tmp_path: Path) -> None:
    """Training may read a picture at half its size, evaluation never."""
    images = Small(4)
    for kind in (images, Exact(images)):
        assert begin(tmp_path, kind, Frame(8))
        fill(tmp_path, kind, Frame(8), 0, 4)
        finish(tmp_path, kind, Frame(8))
    exact = Prepared(Exact(images), Frame(8), tmp_path)
    for index in range(12):
        assert torch.equal(exact[index], load(Captioned(4), index, Frame(8)))
        assert not torch.equal(exact[index], Prepared(images, Frame(8), tmp_path)[index])


def test_exact_is_the_pairs_but_for_their_size() -> None:
    images = Small(4)
    found = Exact(images)
    assert (found.fingerprint, len(found), found.id(3), found.pictures) == (images.fingerprint, 12, "3.png", 4)
    assert [found.picture(i) for i in range(12)] == [images.picture(i) for i in range(12)]
    assert [found.first(i) for i in range(4)] == [images.first(i) for i in range(4)]
    alone = Exact(album(3))
    assert (alone.pictures, alone.picture(2), alone.first(2)) == (3, 2, 2)


def test_a_full_disk_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room is taken at once: a map over a file with holes dies of a bus error where the disk is full."""

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(OSError, match=r"\.npy cannot be written: No space left on device; .* MB are free on its disk$"):
        begin(tmp_path, Scenes(count=3).open(), Frame(32))
    assert not list(tmp_path.iterdir())
