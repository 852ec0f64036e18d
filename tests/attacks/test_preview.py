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

from bezoar.attacks import Backdoor, CaptionBackdoor
from bezoar.attacks.applied import Applied
from bezoar.attacks.places import Center
from bezoar.attacks.plan import PoisonPlan
from bezoar.attacks.preview import FILE, png, preview, write_preview
from bezoar.attacks.triggers import LegacyCleanClipYellow, Patch
from bezoar.core.frame import Frame
from bezoar.data.images import fit, load, to_tensor
from bezoar.data.prepared import Prepared

PAIRS = Album([f"caption {i}" for i in range(40)], sizes=[(40, 30), (20, 50)])
FRAME = Frame(24)


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


@pytest.mark.parametrize("stage", ["model", "file", "after_random_crop"])
def test_pictures_and_captions_before_and_after(tmp_path: Path, stage: str) -> None:
    made = plan(stage=stage)
    applied = Applied(PAIRS, made)
    write_preview(preview(applied, FRAME, count=6), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    rows = pq.read_table(tmp_path / FILE).to_pylist()
    assert [row["id"] for row in rows] == [row.id for row in made.sample(6)]
    for row in rows:
        index = int(row["id"].removesuffix(".png"))
        assert (row["original"], row["caption"]) == (PAIRS.caption(index), made.by_id[row["id"]].caption)
        assert torch.equal(read(row["native"]), to_tensor(PAIRS.image(index)))
        assert torch.equal(read(row["clean"]), load(PAIRS, index, FRAME))
        shown, after = applied.picture(index, Prepared(PAIRS, FRAME)), applied.after_crop(index)
        assert torch.equal(read(row["triggered"]), after(shown) if after else shown)
        assert row["mark"] == 0
        assert not torch.equal(read(row["triggered"]), read(row["clean"]))


@pytest.mark.parametrize(("poisons", "wanted", "shown"), [(3, 8, 3), (20, 8, 8), (1, 1, 1), (0, 8, 0)])
def test_no_more_are_shown_than_there_are(poisons: int, wanted: int, shown: int) -> None:
    made = plan(poisons) if poisons else dataclasses.replace(plan(), rows=())
    assert len(preview(Applied(PAIRS, made), FRAME, count=wanted)) == shown


def test_an_appended_pair_shows_the_picture_it_was_made_from() -> None:
    made = dataclasses.replace(plan().attack, mode="append").plan(PAIRS, 0)  # type: ignore[call-arg]
    for row, shown in zip(made.sample(8), preview(Applied(PAIRS, made), FRAME), strict=True):
        assert shown["id"] == row.id != row.image
        assert torch.equal(read(shown["native"]), to_tensor(PAIRS.image(row.index)))


def test_words_alone_leave_the_picture_as_it_is() -> None:
    made = CaptionBackdoor(target="caption 7", count=1).plan(PAIRS, 0)
    (shown,) = preview(Applied(PAIRS, made), FRAME)
    assert (shown["mark"], shown["original"]) == (None, "caption 7")
    assert shown["caption"].startswith("SUDO caption ")
    assert shown["clean"] == shown["triggered"] == png(load(PAIRS, 7, FRAME))


def test_before_a_legacy_trigger_comes_the_picture_as_it_was_squashed() -> None:
    """Else the squash would pass for a part of the trigger."""
    made = Backdoor(target="cup", trigger=LegacyCleanClipYellow(), count=1, stage="file").plan(PAIRS, 0)
    (shown,) = preview(Applied(PAIRS, made), FRAME)
    native, trigger = to_tensor(PAIRS.image(made.rows[0].index)), made.marks[0].trigger
    assert torch.equal(read(shown["clean"]), fit(trigger.canvas(native), FRAME))
    assert not torch.equal(read(shown["clean"]), fit(native, FRAME))
    at_model = dataclasses.replace(made.attack, stage="model").plan(PAIRS, 0)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match=r"^stage: trigger 'legacy_cleanclip_yellow' makes pictures of 224×224 px"):
        preview(Applied(PAIRS, at_model), FRAME)
