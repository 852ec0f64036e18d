"""Make the pictures of the documentation, all from the built-in scenes.

python docs/images/make.py                     each trigger: a picture without and with it, and the difference
python docs/images/make.py runs/quickstart     those of the README: a sheet, and the plane of a finished quickstart
"""

import argparse
import io
from pathlib import Path

import torch
from PIL import Image

from bezoar import recipes
from bezoar.attacks.patterns import (
    Binary,
    Checkerboard,
    FreshNoise,
    Noise,
    Solid,
    SparseCheckerboard,
    Stripes,
    Triangles,
    Watermark,
)
from bezoar.attacks.places import At, Center, Corner, FourCorners, Random
from bezoar.attacks.trigger import Trigger
from bezoar.attacks.triggers import Blended, Patch, Pool, Sinusoidal, Warp
from bezoar.data.images import to_tensor
from bezoar.data.scenes import Scenes
from bezoar.experiment.experiment import parse
from bezoar.report import read_run
from bezoar.report.plots import plane

HERE = Path(__file__).parent
WIDTH, HEIGHT, COLUMNS = 128, 96, 8
SIDE, GAP = 224, 8
BETWEEN = (176, 176, 176)
"""What is seen between pictures: neither white nor black, which triggers are."""
SCENE = 9
"""A rocket before a checkered wall: straight lines, and no noise of its own."""
MOST = 40_000
"""Bytes of a picture of a trigger."""

ROWS: dict[str, tuple[Trigger, int]] = {
    "patch": (Patch(), SIDE),
    "blended": (Blended(), SIDE // 2),
    "blended-stripes": (Blended(pattern=Stripes(), alpha=0.03), SIDE // 2),
    "blended-triangles": (Blended(pattern=Triangles(), alpha=0.15), SIDE),
    "blended-watermark": (Blended(pattern=Watermark(), alpha=0.5), SIDE),
    "sinusoidal": (Sinusoidal(), SIDE),
    "warp": (Warp(), SIDE),
    "warp-jitter": (Warp(k=224, s=1.0), SIDE // 2),
}
"""Each trigger, and how many pixels of the middle are shown; half of them are shown at twice the size."""
PATTERNS = (
    Noise(), FreshNoise(), Binary(), Solid(), Checkerboard(), SparseCheckerboard(), Stripes(),
    Triangles(tile=8), Watermark(text="Hi"),
)  # fmt: skip
PLACES = (Random(), Center(), Corner(), FourCorners(), At(row=158, column=158))


def sheet() -> Image.Image:
    """Two rows of scenes, and the same with the quickstart's trigger, at four times the resolution of its model."""
    experiment = parse(recipes.read("quickstart"))
    assert experiment.attack is not None
    trigger = experiment.attack.aim(experiment.seeds[0]).threats[0].trigger
    assert trigger is not None
    pairs = Scenes(width=WIDTH, height=HEIGHT).open()
    picture = Image.new("RGB", (COLUMNS * WIDTH, 2 * HEIGHT))
    for column in range(COLUMNS):
        index = column * 5 + 1
        clean = to_tensor(pairs.image(index))
        for row, image in enumerate((clean, trigger.apply(clean, pairs.id(index)))):
            picture.paste(to_image(image), (column * WIDTH, row * HEIGHT))
    return picture


def to_image(pixels: torch.Tensor) -> Image.Image:
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())


def scene(index: int) -> tuple[torch.Tensor, str]:
    """A scene, uint8 [3, 224, 224], and its id."""
    pairs = Scenes(width=SIDE, height=SIDE).open()
    return to_tensor(pairs.image(index)), pairs.id(index)


def difference(trigger: Trigger, shown: int) -> Image.Image:
    """The scene without and with the trigger, and ten times what the trigger changed."""
    clean, name = scene(SCENE)
    triggered = trigger.apply(clean, name)
    change = ((triggered.int() - clean.int()).abs() * 10).clamp(0, 255).to(torch.uint8)
    middle = slice((SIDE - shown) // 2, (SIDE + shown) // 2)
    return beside([to_image(one[:, middle, middle]) for one in (clean, triggered, change)], SIDE)


def beside(tiles: list[Image.Image], side: int) -> Image.Image:
    """Pictures in a row, each ``side`` pixels wide and high, its pixels as squares."""
    row = Image.new("RGB", (len(tiles) * (side + GAP) - GAP, side), BETWEEN)
    for number, tile in enumerate(tiles):
        row.paste(tile.resize((side, side), Image.Resampling.NEAREST), (number * (side + GAP), 0))
    return row


def write(picture: Image.Image, name: str) -> None:
    """Write a PNG of few enough bytes: with a palette, of as many colors as fit."""
    for colors in (None, 256, 128, 64, 32, 16):
        stream = io.BytesIO()
        (picture.quantize(colors, dither=Image.Dither.NONE) if colors else picture).save(stream, "PNG", optimize=True)
        if len(stream.getvalue()) < MOST:
            (HERE / "triggers" / f"{name}.png").write_bytes(stream.getvalue())
            return
    raise SystemExit(f"{name}: more than {MOST} bytes with 16 colors")


def triggers() -> None:
    """Every picture of docs/attacks."""
    for name, (trigger, shown) in ROWS.items():
        write(difference(trigger, shown), name)
    drawn = [to_image(pattern.draw((16, 16), (16, 16), "a")) for pattern in PATTERNS]
    write(beside(drawn, 80), "patterns")
    clean, name = scene(SCENE)
    at = [Patch(size=27, pattern=Solid(), place=place).apply(clean, name) for place in PLACES]
    write(beside([to_image(one) for one in at], 112), "places")
    pool = Pool(triggers=(Patch(size=32, pattern=Solid()), Sinusoidal()))
    write(beside([to_image(pool.apply(*scene(index))) for index in (9, 10, 11, 13)], 112), "pool")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help="folder of a finished quickstart")
    run = parser.parse_args().run
    if run is None:
        triggers()
        return
    sheet().save(HERE / "scenes.png", optimize=True)
    svg = plane(read_run(run)).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" style="background:#fff" ', 1)
    (HERE / "plane.svg").write_text(svg, "utf-8")


if __name__ == "__main__":
    main()
