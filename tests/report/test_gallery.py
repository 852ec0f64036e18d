"""Pictures of the poison."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.report.handmade import HEAD, WHOLE, add_plan, make_run, many_attacks, png, preview_row

from bezoar.report.gallery import address, exhibit, walls
from bezoar.report.reading import read_run


def picture(data: str) -> Image.Image:
    head, _, content = data.partition(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_pictures_are_the_bytes_they_were() -> None:
    row = preview_row("was", "is")
    found = exhibit(row)
    assert (found.id, found.original, found.caption, found.width, found.height) == ("p0", "was", "is", 4, 4)
    assert found.clean == address(row["clean"])
    assert found.triggered == address(row["triggered"])


def test_the_difference_is_stretched_to_the_whole_range() -> None:
    found = exhibit(preview_row())  # one pixel goes from red 10 to red 110
    pixels = picture(found.difference)
    assert found.factor == 2.55
    assert sorted(pixels.getcolors() or []) == [(1, (255, 0, 0)), (15, (0, 0, 0))]
    assert pixels.getpixel((1, 1)) == (255, 0, 0)


def test_a_trigger_that_changes_nothing_shows_black() -> None:
    found = exhibit({**preview_row(), "triggered": png()})
    assert found.factor == 1
    assert picture(found.difference).getcolors() == [(16, (0, 0, 0))]


@pytest.mark.parametrize(
    "row", [{}, {**preview_row(), "clean": b"no picture"}, {**preview_row(), "triggered": None}, {"clean": png()}]
)
def test_broken_rows_are_refused(row: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"preview\.parquet: not a row"):
        exhibit(row)


def test_every_trigger_of_every_plan_has_its_wall(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = make_run(tmp_path, WHOLE, seeds=[0, 1])
    triggers = [{"kind": "patch", "size": 6, "color": [1, 2, 3]}, {"kind": "blended", "alpha": 0.2}]
    rows = [{**preview_row(f"was {n}"), "id": f"p{n}"} for n in range(8)]
    for seed in (0, 1):
        at = add_plan(folder, seed, rows=rows, triggers=triggers)
        plan = [{"id": f"p{n}", "trigger": n % 2 if seed == 0 else 0} for n in range(20)]
        pq.write_table(pa.Table.from_pylist(plan), at / "poison.parquet")
    found = list(walls(read_run(folder), most=8))
    assert [(wall.seed, wall.trigger, [e.id for e in wall.exhibits]) for wall in found] == [
        (0, "patch: size 6, color #010203", ["p0", "p2", "p4", "p6"]),
        (0, "blended: alpha 0.2", ["p1", "p3", "p5", "p7"]),
        (1, "patch: size 6, color #010203", ["p0", "p1", "p2"]),
        (1, "blended: alpha 0.2", []),
    ]
    assert [len(wall.exhibits) for wall in walls(read_run(folder), most=1)] == [1, 1, 1, 0]


def test_captions_alone_have_a_wall_without_a_trigger(tmp_path: Path) -> None:
    folder = make_run(tmp_path, WHOLE)
    add_plan(folder, triggers=[])
    (wall,) = walls(read_run(folder), most=8)
    assert (wall.trigger, len(wall.exhibits)) == ("", 1)


def test_several_attacks_have_few_pictures_each_and_their_names(tmp_path: Path) -> None:
    folder = many_attacks(tmp_path, {}, seeds=[0, 1])
    rows = [{**preview_row(), "id": f"p{n}", "mark": 0 if n < 5 else None} for n in range(8)]
    add_plan(folder, 0, rows, name="dual", **HEAD)
    found = list(walls(read_run(folder), most=8))
    assert [(wall.attack, wall.seed, wall.trigger, len(wall.exhibits)) for wall in found] == [
        ("patch", 0, "patch: size 6", 1),
        ("sine", 0, "patch: size 6", 1),
        ("dual", 0, "patch: size 6", 3),
        ("dual", 0, "", 3),
        ("phrase", 0, "patch: size 6", 1),
    ]
