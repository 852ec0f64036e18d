"""Triggers put on pictures, one core: pictures a second of processor time, beside the bar of each and a plain copy.

All take turns in every round, over the same pictures of noise; medians over the rounds. What a fixed pattern costs to
be drawn the first time stands apart.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from bezoar.attacks import blend
from bezoar.attacks.patterns import FreshNoise, Stripes, Watermark
from bezoar.attacks.places import FourCorners
from bezoar.attacks.trigger import Trigger
from bezoar.attacks.triggers import Blended, Patch, Pool, Sinusoidal, Warp, warp

TRIGGERS: dict[str, tuple[Trigger, int]] = {
    "patch": (Patch(), 2000),
    "patch, four corners": (Patch(place=FourCorners()), 2000),
    "patch, fresh noise": (Patch(pattern=FreshNoise()), 2000),
    "blended": (Blended(), 2000),
    "blended, stripes": (Blended(pattern=Stripes(), alpha=0.03), 2000),
    "blended, watermark": (Blended(pattern=Watermark(), alpha=0.5), 2000),
    "blended, fresh noise": (Blended(pattern=FreshNoise()), 200),
    "sinusoidal": (Sinusoidal(), 2000),
    "warp": (Warp(), 500),
    "warp, k 224": (Warp(k=224, s=1.0), 500),
    "pool of patch and warp": (Pool(triggers=(Patch(), Warp())), 500),
}


def seconds(work: Callable[[torch.Tensor, str], object], images: list[torch.Tensor]) -> float:
    """Of the processor, for each picture."""
    began = time.process_time()
    for number, image in enumerate(images):
        work(image, f"{number}.jpg")
    return (time.process_time() - began) / len(images)


def first(trigger: Trigger, image: torch.Tensor) -> float:
    """Seconds for a picture when nothing is drawn yet."""
    for kept in (blend._fixed, warp._kept_map, warp._field):
        kept.cache_clear()
    return seconds(trigger.apply, [image])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    shape = (3, given.size, given.size)
    images = [torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator) for _ in range(50)]
    drawn = {name: first(trigger, images[0]) for name, (trigger, _) in TRIGGERS.items()}
    took: dict[str, list[float]] = {name: [] for name in TRIGGERS}
    copies = []
    for _ in range(given.rounds + 1):
        copies.append(seconds(lambda image, _: image.clone(), images))
        for name, (trigger, _) in TRIGGERS.items():
            took[name].append(seconds(trigger.apply, images))
    copy = statistics.median(copies[1:])
    print(f"{given.size} px, one thread, {given.rounds} rounds of {len(images)} pictures")
    print("| trigger | pictures a second | the bar | times a copy | first picture |")
    print("|---|---|---|---|---|")
    for name, (_, bar) in TRIGGERS.items():
        each = statistics.median(took[name][1:])
        print(f"| {name} | {1 / each:,.0f} | {bar:,} | {each / copy:.1f} | {drawn[name] * 1e3:.1f} ms |")
    print(f"| a copy | {1 / copy:,.0f} | | 1.0 | |")


if __name__ == "__main__":
    main()
