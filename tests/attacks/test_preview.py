"""The preview: pictures that people can look at, of pairs spread over the plan."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from tests.album import Album
from torch import Tensor

from bezoar.attacks import Backdoor
from bezoar.attacks.places import Center
from bezoar.attacks.plan import PoisonPlan
from bezoar.attacks.preview import FILE, png, write_preview
from bezoar.attacks.triggers import Patch
from bezoar.data.images import load, to_tensor

PAIRS = Album([f"caption {i}" for i in range(40)], sizes=[(40, 30), (20, 50)])


def plan(count: int = 20, stage: Any = "file") -> PoisonPlan:
    return Backdoor(target="cup", trigger=Patch(place=Center()), count=count, stage=stage).plan(PAIRS, 0)


def read(data: bytes) -> Tensor:
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "PNG"
        assert image.mode == "RGB"
        return to_tensor(np.asarray(image))


def test_a_png_holds_every_pixel() -> None:
    image = to_tensor(PAIRS.image(0))
    for one in (image, image.transpose(1, 2), image[:, :1, :1]):
        assert torch.equal(read(png(one)), one)


@pytest.mark.parametrize("stage", ["model", "file"])
def test_pictures_and_captions_before_and_after(tmp_path: Path, stage: str) -> None:
    made = plan(stage=stage)
    write_preview(made, PAIRS, 24, tmp_path, count=6)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    rows = pq.read_table(tmp_path / FILE).to_pylist()
    assert [row["id"] for row in rows] == [row.id for row in made.sample(6)]
    for row in rows:
        index = int(row["id"].removesuffix(".png"))
        assert (row["original"], row["caption"]) == (PAIRS.caption(index), made.by_id[row["id"]].caption)
        assert torch.equal(read(row["native"]), to_tensor(PAIRS.image(index)))
        assert torch.equal(read(row["clean"]), load(PAIRS, index, 24))
        assert torch.equal(read(row["triggered"]), made.load(PAIRS, index, 24))
        assert not torch.equal(read(row["triggered"]), read(row["clean"]))


@pytest.mark.parametrize(("poisons", "wanted", "shown"), [(3, 8, 3), (20, 8, 8), (1, 1, 1), (0, 8, 0)])
def test_no_more_are_shown_than_there_are(tmp_path: Path, poisons: int, wanted: int, shown: int) -> None:
    made = plan(poisons) if poisons else dataclasses.replace(plan(), rows=())
    write_preview(made, PAIRS, 24, tmp_path, count=wanted)
    assert pq.read_table(tmp_path / FILE).num_rows == shown


def test_other_pairs_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="of the plan is not in these pairs"):
        write_preview(plan(), Album(["a"]), 24, tmp_path)
    assert list(tmp_path.iterdir()) == []
