"""Make the pictures of the README: scenes with and without the trigger, and the plane of a finished quickstart.

python docs/images/make.py runs/quickstart
"""

import argparse
from pathlib import Path

from PIL import Image

from bezoar import recipes
from bezoar.data.images import to_tensor
from bezoar.data.scenes import Scenes
from bezoar.experiment.experiment import parse
from bezoar.report import read_run
from bezoar.report.plots import plane

HERE = Path(__file__).parent
WIDTH, HEIGHT, COLUMNS = 128, 96, 8


def sheet() -> Image.Image:
    """Two rows of scenes, and the same with the quickstart's trigger, at four times the resolution of its model."""
    attack = parse(recipes.read("quickstart")).attack
    threat = attack.threat() if attack else None
    assert threat is not None
    pairs = Scenes(width=WIDTH, height=HEIGHT).open()
    picture = Image.new("RGB", (COLUMNS * WIDTH, 2 * HEIGHT))
    for column in range(COLUMNS):
        index = column * 5 + 1
        clean = to_tensor(pairs.image(index))
        for row, image in enumerate((clean, threat.trigger.apply(clean, pairs.id(index)))):
            picture.paste(Image.fromarray(image.permute(1, 2, 0).numpy()), (column * WIDTH, row * HEIGHT))
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished quickstart")
    run = parser.parse_args().run
    sheet().save(HERE / "scenes.png", optimize=True)
    svg = plane(read_run(run)).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" style="background:#fff" ', 1)
    (HERE / "plane.svg").write_text(svg, "utf-8")


if __name__ == "__main__":
    main()
