"""Clean and triggered views of the same pictures, one core: one sweep of ours, which decodes each picture once, against
two passes over the same source, as evaluators that know nothing of each other make them.

Undecoded JPEGs of 500x375 to 224 px; no model. A trigger at the ``model`` stage goes onto the cropped picture, one at
the ``file`` stage onto the whole picture, which must then be resized a second time. Processor time.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from photos import jpeg, photo

from bezoar.attacks.triggers import Patch
from bezoar.core.frame import Frame
from bezoar.data.decode import decode
from bezoar.data.prepared import Prepared
from bezoar.evaluation.pictures import UNTOUCHED, LabeledImages, Look
from bezoar.evaluation.sharing import spans

if TYPE_CHECKING:
    from bezoar.data.pairs import Pixels


class Files:
    """A labeled set of JPEG files."""

    fingerprint = "0" * 16
    classes = ("one", "two")
    templates = ()

    def __init__(self, count: int, quality: int) -> None:
        made = [jpeg(photo(seed), quality) for seed in range(16)]
        self.files = [made[index % len(made)] for index in range(count)]

    def __len__(self) -> int:
        return len(self.files)

    def id(self, index: int) -> str:
        return str(index)

    def label(self, index: int) -> int:
        return index % 2

    def image(self, index: int) -> Pixels:
        return decode(self.files[index])


def timed(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def sweep(labeled: Files, *looks: Look) -> None:
    """Go through all chunks of a fresh set: nothing is kept from the round before."""
    images = LabeledImages(labeled, Prepared(labeled, Frame(224)))
    for span in spans(len(labeled)):
        images.stack(span, looks)


def compare(labeled: Files, look: Look, rounds: int) -> tuple[float, float]:
    """Milliseconds a picture in two passes and in one: medians over rounds that take turns."""
    took = [
        (
            timed(lambda: (sweep(labeled, UNTOUCHED), sweep(labeled, look))),
            timed(lambda: sweep(labeled, UNTOUCHED, look)),
        )
        for _ in range(rounds + 1)
    ][1:]
    two, one = (statistics.median(column) / len(labeled) * 1e3 for column in zip(*took, strict=True))
    return two, one


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for stage in ("model", "file"):
        for quality in (75, 90):
            two, one = compare(Files(given.count, quality), Look(Patch(), stage), given.rounds)
            print(f"{stage} stage, quality {quality}: two passes {two:.2f} ms, one {one:.2f} ms, ratio {two / one:.2f}")


if __name__ == "__main__":
    main()
