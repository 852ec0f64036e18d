"""How many built-in scenes one core draws, describes and fits to a model's resolution in a second."""

import argparse
import time

import torch

from bezoar.core.frame import Frame
from bezoar.data import Scenes
from bezoar.data.images import load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=4000)
    count = parser.parse_args().count
    torch.set_num_threads(1)
    for width, height, size in ((64, 48, 32), (128, 96, 64), (320, 240, 224)):
        pairs = Scenes(count=count, width=width, height=height).open()
        load(pairs, 0, Frame(size))
        began = time.perf_counter()
        for index in range(count):
            load(pairs, index, Frame(size))
            pairs.caption(index)
        rate = count / (time.perf_counter() - began)
        print(f"{width}x{height} to {size} px: {rate:,.0f} pairs/s on one core, n {count}")


if __name__ == "__main__":
    main()
