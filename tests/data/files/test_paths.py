"""Pictures are found beside their table, on this machine or after a move from another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from bezoar.data.files.paths import resolve


def found(names: Sequence[str], *roots: Path) -> list[str]:
    return [str(one) for one in resolve(pa.array(names, pa.large_string()), roots).to_pylist()]


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def test_relative_paths_begin_at_the_root(tmp_path: Path) -> None:
    names = ["a.png", "x/b.png", "x/y/c d é.png", "./x/e.png", "../up.png"]
    assert found(names, tmp_path) == [f"{tmp_path}/{name}" for name in names]
    assert found([], tmp_path) == []


def test_of_two_roots_the_one_that_holds_them(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    touch(there / "x" / "a.png", here / "y" / "b.png", there / "c.png")
    names = ["x/a.png", "y/b.png", "c.png", "z/gone.png"]
    assert found(names, here, there) == [f"{there}/x/a.png", f"{here}/y/b.png", f"{there}/c.png", f"{here}/z/gone.png"]


def test_absolute_paths_that_are_here_stay(tmp_path: Path) -> None:
    touch(tmp_path / "else" / "a.png", tmp_path / "root" / "else" / "a.png")
    assert found([f"{tmp_path}/else/a.png"], tmp_path / "root") == [f"{tmp_path}/else/a.png"]


def test_prefixes_of_two_other_machines(tmp_path: Path) -> None:
    touch(tmp_path / "train" / "images" / "a.png", tmp_path / "images" / "b.png", tmp_path / "c.png")
    names = ["/home/one/train/images/a.png", "/mnt/two/images/b.png", "/srv/three/c.png"]
    assert found(names, tmp_path) == [
        f"{tmp_path}/train/images/a.png", f"{tmp_path}/images/b.png", f"{tmp_path}/c.png",
    ]  # fmt: skip


def test_the_longest_end_that_holds_the_pictures_is_taken(tmp_path: Path) -> None:
    touch(tmp_path / "b" / "c" / "x.png", tmp_path / "c" / "x.png", tmp_path / "c" / "y.png")
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    assert found(["/else/a/b/c/x.png", "/else/a/d/c/y.png"], tmp_path) == [
        f"{tmp_path}/b/c/x.png",
        f"{tmp_path}/c/y.png",
    ]


def test_one_missing_picture_does_not_move_the_others(tmp_path: Path) -> None:
    touch(tmp_path / "images" / "b.png")
    names = ["/else/images/a.png", "/else/images/b.png"]
    assert found(names, tmp_path) == [f"{tmp_path}/images/a.png", f"{tmp_path}/images/b.png"]


def test_what_is_nowhere_keeps_its_name(tmp_path: Path) -> None:
    assert found(["/else/images/a.png", "/a.png"], tmp_path) == ["/else/images/a.png", "/a.png"]


def test_addresses_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"image_key: 'https://x.org/a.png' is an address: download the pictures first"
    ):
        found(["a.png", "https://x.org/a.png"], tmp_path)
