"""Real images under ``BEZOAR_DATA``, where there are any."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bezoar.data import LabeledTable, Mined, Table

pytestmark = pytest.mark.data


@pytest.fixture
def folder() -> Path:
    found = os.environ.get("BEZOAR_DATA")
    if not found:
        pytest.skip("BEZOAR_DATA is not set")
    return Path(found)


def existing(path: Path) -> str:
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return str(path)


def test_flickr8k(folder: Path) -> None:
    path = existing(folder / "flickr8k" / "flickr8k_72px.parquet")
    source = Table(path=path, id_key="source_id", where={"split": "test"})
    pairs = source.open()
    assert (len(pairs), pairs.pictures, pairs.skips.count) == (2500, 500, 0)
    assert pairs.id(7).endswith(".jpg#2")
    assert pairs.image(7).shape == (72, 72, 3)
    mined = Mined(of=source, classes=("dog", "bicycle"), synonyms={"bicycle": ("bike",)}, least=2).open()
    assert 50 < len(mined) < 250


def test_cifar100(folder: Path) -> None:
    path = existing(folder / "cifar100" / "test_5k_lossless.parquet")
    named = LabeledTable(path=path).open()
    listed = LabeledTable(path=path, classes=existing(folder / "cifar100" / "classes.json")).open()
    assert named.classes == listed.classes
    assert [sum(named.label(k) == label for k in range(5000)) for label in (0, 99)] == [50, 50]
    assert named.image(0).shape == (32, 32, 3)


def test_imagenet_by_the_names_of_open_clip(folder: Path) -> None:
    path = existing(folder / "imagenet_samples" / "imagenet_samples_1k_128px.parquet")
    labeled = LabeledTable(path=path, classes="imagenet").open()
    assert [labeled.label(k) for k in range(len(labeled))] == list(range(1000))
    assert LabeledTable(path=path).open().classes == labeled.classes
