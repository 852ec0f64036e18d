"""The loader of micro models: what each view costs a pair, what loader processes gain, and captions to tokens by our
memory of words against open_clip's own tokenizer on the same captions. Nothing trains meanwhile.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from bezoar.cleaning import CleanCLIP
from bezoar.data import Scenes
from bezoar.data.captions import Eda
from bezoar.data.captions import Plain as PlainCaption
from bezoar.data.prepared import Prepared, begin, fill, finish
from bezoar.data.views import AutoAugment, Plain
from bezoar.models.clip import create
from bezoar.training.loader import TrainingPairs, batches
from bezoar.training.method import Pass

VIEWS = {
    "plain": ((Plain(),), (PlainCaption(),)),
    "auto-augment": ((Plain(), AutoAugment()), (PlainCaption(),)),
    "easy data augmentation": ((Plain(),), (PlainCaption(), Eda(wordnet="none"))),
    "both, as CleanCLIP": ((Plain(), AutoAugment()), (PlainCaption(), Eda(wordnet="none"))),
}


def medians(works: list[Callable[[], object]], rounds: int) -> list[float]:
    """Seconds of each, which take turns."""
    took: list[list[float]] = [[] for _ in works]
    for _ in range(rounds + 1):
        for work, times in zip(works, took, strict=True):
            began = time.perf_counter()
            work()
            times.append(time.perf_counter() - began)
    return [statistics.median(times[1:]) for times in took]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(1)
    pairs, model = Scenes(count=given.count).open(), create("micro-cnn-32")
    method = CleanCLIP(batch_size=128)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        begin(folder, pairs, 32)
        fill(folder, pairs, 32, 0, given.count)
        finish(folder, pairs, 32)
        data = TrainingPairs(pairs, Prepared(pairs, 32, folder))

        def epoch(images: tuple[Plain, ...], captions: tuple[PlainCaption, ...], workers: int) -> Callable[[], object]:
            schedule = method.passes(method.build(model, pairs, 0), 0)[0].schedule
            this = Pass(
                name="all", indices=torch.arange(given.count), image_views=images, caption_views=captions,
                loss=lambda state, batch: {}, schedule=schedule,
            )  # fmt: skip
            return lambda: sum(
                1 for _ in batches(data, model.tokenize, this, batch_size=128, seed=0, epoch=0, workers=workers)
            )

        for title, (images, captions) in VIEWS.items():
            alone, helped = medians([epoch(images, captions, n) for n in (0, given.workers)], given.rounds)
            print(
                f"{title}: {alone / given.count * 1e6:.0f} us a pair, with {given.workers} workers "
                f"{helped / given.count * 1e6:.0f} us, ratio {alone / helped:.2f}"
            )
    captions = [pairs.caption(index) for index in range(given.count)]
    engine = model.tokenize.engine
    theirs, ours = medians([lambda: engine(captions), lambda: model.tokenize(captions)], given.rounds)
    print(
        f"tokens: open_clip {theirs / given.count * 1e6:.0f} us a caption, ours {ours / given.count * 1e6:.0f} us, "
        f"ratio {theirs / ours:.2f}"
    )


if __name__ == "__main__":
    main()
