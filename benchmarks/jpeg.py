"""JPEG file to model input, one core: ours (uint8 tensor, the training path) against open_clip's evaluation transform
(Pillow decode and resize, float tensor, normalized), over the same files in the same run, side by side.

Ours is normalized on the device, in the step: that is not in these times. ``--pillow`` leaves simplejpeg out. Processor
time, so that other work on the machine does not count.
"""

import argparse
import io
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow.parquet as pq
import torch
from open_clip.transform import image_transform
from photos import jpeg, photo
from PIL import Image

import bezoar.data.decode
from bezoar.core.frame import Frame
from bezoar.data.decode import shrunk
from bezoar.data.images import fit, to_tensor

REAL = {
    "flickr8k/flickr8k_72px.parquet": 64,
    "flickr8k/flickr8k_224px_subset.parquet": 224,
    "imagenet_samples/imagenet_samples_1k_128px.parquet": 112,
    "tiny_imagenet/val_5k_25perclass.parquet": 64,
}


def compare(files: Sequence[bytes], size: int, rounds: int) -> tuple[float, float]:
    """Milliseconds a picture of theirs and ours: medians over rounds, in each of which both go through all files."""
    theirs = image_transform(size, is_train=False)

    def seconds(make: Callable[[bytes], object]) -> float:
        began = time.process_time()
        for data in files:
            make(data)
        return (time.process_time() - began) / len(files)

    took = [
        (
            seconds(lambda data: theirs(Image.open(io.BytesIO(data)))),
            seconds(lambda data: fit(to_tensor(shrunk(data, size)), Frame(size))),
        )
        for _ in range(rounds + 1)
    ][1:]
    return statistics.median(a for a, _ in took) * 1e3, statistics.median(b for _, b in took) * 1e3


def show(name: str, files: Sequence[bytes], size: int, rounds: int) -> None:
    theirs, ours = compare(files, size, rounds)
    kilobytes = sum(map(len, files)) / len(files) / 1e3
    print(
        f"{name} to {size} px, {kilobytes:.0f} kB a file: open_clip {theirs:.2f} ms, ours {ours:.2f} ms, "
        f"ratio {theirs / ours:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--pillow", action="store_true", help="decode with Pillow alone")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.pillow:
        bezoar.data.decode._jpeg = lambda data: None
    print(f"decoder: {'Pillow' if given.pillow else 'simplejpeg'}, {given.rounds} rounds")
    for roughness in (0.1, 0.3, 0.5):
        made = [photo(seed, roughness=roughness) for seed in range(8)]
        for quality in (75, 85, 95):
            files = [jpeg(pixels, quality) for pixels in made]
            show(f"500x375, roughness {roughness}, quality {quality}", files, 224, given.rounds)
    show("1024x768, roughness 0.3, quality 85", [jpeg(photo(s, 1024, 768), 85) for s in range(4)], 224, given.rounds)
    for name, size in REAL.items() if "BEZOAR_DATA" in os.environ else ():
        table = pq.read_table(Path(os.environ["BEZOAR_DATA"]) / name, columns=["image"]).slice(0, 200)
        show(name, table["image"].to_pylist(), size, given.rounds)


if __name__ == "__main__":
    main()
