"""Does the loader keep up? Pairs a second on one core from each kind of source and under each view, beside the pairs
a second that a step of the model takes on one core (or on the GPU), at the model's resolution.

Pictures of the sources are JPEGs of 500x375; views are measured on prepared, memory-mapped pictures, one view alone.
Processor time, medians over rounds in which all take turns; loader processes and nothing else by wall time. Captions to
tokens by our memory of words stand beside open_clip's own tokenizer.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from photos import jpeg, photo
from sides import captions, ours

from bezoar.cleaning import CleanCLIP
from bezoar.core.frame import Frame
from bezoar.data import ImageFolder, Scenes, Table
from bezoar.data.captions import CaptionView, Eda
from bezoar.data.captions import Plain as PlainCaption
from bezoar.data.captions.wordnet import find
from bezoar.data.pairs import Pairs
from bezoar.data.prepared import Prepared, begin, fill, finish
from bezoar.data.views import IMAGE_VIEWS, AutoAugment, ImageView, Plain, SimClr
from bezoar.models.clip import Clip, create, pick_device
from bezoar.pretraining import ClipPretraining, ClipSSL
from bezoar.training.loader import TrainingPairs, batches
from bezoar.training.method import Method

Views = tuple[tuple[ImageView, ...], tuple[CaptionView, ...]]
PLAIN: Views = ((Plain(),), (PlainCaption(),))
EDA = Eda(wordnet="none")
RECIPES: Mapping[str, tuple[Method, Views]] = {
    "clip": (ClipPretraining(), PLAIN),
    "clip_ssl, cleanclip": (ClipSSL(caption_view=EDA), ((Plain(), AutoAugment()), (PlainCaption(), EDA))),
    "cleanclip with simclr": (CleanCLIP(caption_view=EDA), ((Plain(), SimClr()), (PlainCaption(), EDA))),
}
PHOTOS = 48


def medians(works: Sequence[Callable[[], object]], rounds: int, clock: Callable[[], float]) -> list[float]:
    """Seconds of each, which take turns."""
    took: list[list[float]] = [[] for _ in works]
    for _ in range(rounds + 1):
        for work, times in zip(works, took, strict=True):
            began = clock()
            work()
            times.append(clock() - began)
    return [statistics.median(times[1:]) for times in took]


class Loading:
    """The loader of one model, over ``count`` pairs each time."""

    def __init__(self, model: Clip, count: int, rounds: int) -> None:
        self.model, self.count, self.rounds = model, count, rounds

    def epoch(self, data: TrainingPairs, views: Views, workers: int = 0) -> Callable[[], object]:
        """A function that makes all batches once, each time those of another epoch."""
        method = ClipPretraining(batch_size=min(128, self.count))
        this = method.passes(method.build(self.model, data.pairs, 0), 0)[0]
        this = dataclasses.replace(
            this, indices=torch.arange(self.count) % len(data), image_views=views[0], caption_views=views[1]
        )
        epochs = itertools.count()

        def run() -> None:
            stream = batches(
                data, self.model.tokenize, this, batch_size=method.batch_size, seed=0, epoch=next(epochs),
                workers=workers,
            )  # fmt: skip
            for _ in stream:
                pass

        return run

    def rates(self, works: Mapping[str, Callable[[], object]]) -> dict[str, float]:
        """Pairs a second of processor time."""
        took = medians(list(works.values()), self.rounds, time.process_time)
        return {name: self.count / seconds for name, seconds in zip(works, took, strict=True)}


def sources(folder: Path) -> dict[str, Pairs]:
    """The same photographs and captions in every kind of source that is read from files."""
    files = [jpeg(photo(seed), 85) for seed in range(PHOTOS)]
    words = captions(PHOTOS)
    pictures = folder / "pictures"
    pictures.mkdir()
    for number, (data, caption) in enumerate(zip(files, words, strict=True)):
        (pictures / f"{number:03d}.jpg").write_bytes(data)
        (pictures / f"{number:03d}.txt").write_text(caption)
    with (folder / "pairs.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerows([("image", "caption"), *((f"pictures/{n:03d}.jpg", words[n]) for n in range(PHOTOS))])
    pq.write_table(pa.table({"image": files, "caption": words}), folder / "pairs.parquet")
    return {
        "CSV of JPEG paths": Table(path=str(folder / "pairs.csv")).open(),
        "Parquet of JPEG bytes": Table(path=str(folder / "pairs.parquet")).open(),
        "folder of JPEGs": ImageFolder(path=str(pictures)).open(),
    }


def prepared(folder: Path, size: int, count: int) -> TrainingPairs:
    """Scenes whose pictures lie memory-mapped."""
    pairs = Scenes(count=count, width=max(64, size * 10 // 7), height=max(48, size * 15 // 14)).open()
    if begin(folder, pairs, Frame(size)):
        fill(folder, pairs, Frame(size), 0, count)
        finish(folder, pairs, Frame(size))
    return TrainingPairs(pairs, Prepared(pairs, Frame(size), folder))


def step_rate(method: Method, architecture: str, batch: int, device: torch.device, steps: int) -> float:
    """Pairs a second that a step takes: of one core's processor time, or on the GPU of the wall's."""
    work = ours(dataclasses.replace(method, batch_size=batch), architecture, device)
    gpu = device.type == "cuda"

    number = 20 if gpu else 1

    def several() -> None:
        work.steps(number)
        if gpu:
            torch.cuda.synchronize()

    (took,) = medians([several], steps, time.perf_counter if gpu else time.process_time)
    return batch * number / took


def show(model: Clip, folder: Path, given: argparse.Namespace, device: torch.device) -> None:
    """All that is measured at the resolution of one model."""
    name, size = model.architecture, model.image_size
    large = size > 64
    loading = Loading(model, given.count // (8 if large else 1), given.rounds)
    data = prepared(folder / str(size), size, loading.count)
    read = {title: TrainingPairs(pairs, Prepared(pairs, Frame(size))) for title, pairs in given.sources.items()}
    read = {
        "prepared": data,
        "scenes, drawn each time": TrainingPairs(data.pairs, Prepared(data.pairs, Frame(size))),
        **read,
    }
    print(f"\n{size} px, n {loading.count}, batches of {min(128, loading.count)}", flush=True)
    for title, rate in loading.rates({title: loading.epoch(one, PLAIN) for title, one in read.items()}).items():
        print(f"source {title}: {rate:,.0f} pairs/s a core", flush=True)
    views: dict[str, Views] = {
        f"image {kind}": ((view(),), (PlainCaption(),)) for kind, view in IMAGE_VIEWS.members.items()
    }
    views["caption eda without WordNet"] = ((Plain(),), (EDA,))
    if find() is not None:
        views["caption eda with WordNet"] = ((Plain(),), (Eda(),))
    else:
        print("view caption eda with WordNet: not measured, WordNet was not found")
    for title, rate in loading.rates({title: loading.epoch(data, one) for title, one in views.items()}).items():
        print(f"view {title}: {rate:,.0f} pairs/s a core, {1e6 / rate:,.0f} us a pair", flush=True)
    recipes = loading.rates({title: loading.epoch(data, one) for title, (_, one) in RECIPES.items()})
    for title, (method, one) in RECIPES.items():
        eaten = step_rate(method, name, given.large_batch if large else 128, device, given.rounds)
        loaded = recipes[title]
        print(
            f"recipe {title}, {name}: loader {loaded:,.0f} pairs/s a core, step {eaten:,.0f} pairs/s "
            f"{'on the GPU' if device.type == 'cuda' else 'a core'}; LOADER / STEP {loaded / eaten:.2f}",
            flush=True,
        )
        if given.workers:
            alone, helped = medians(
                [loading.epoch(data, one, workers) for workers in (0, given.workers)], given.rounds, time.perf_counter
            )
            print(f"  {given.workers} loader processes: ratio {alone / helped:.2f} of wall time", flush=True)


def tokens(model: Clip, count: int, rounds: int) -> None:
    made = captions(count)
    engine = model.tokenize.engine
    theirs, own = medians([lambda: engine(made), lambda: model.tokenize(made)], rounds, time.process_time)
    print(
        f"\ntokens of {model.architecture}: open_clip {theirs / count * 1e6:.0f} us a caption, ours "
        f"{own / count * 1e6:.0f} us, ratio {theirs / own:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=4096, help="pairs; an eighth of them for large pictures")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="loader processes; 0 to leave them out")
    parser.add_argument("--models", nargs="+", default=["micro-cnn-32", "ViT-B-32"])
    parser.add_argument("--large-batch", type=int, default=16, help="of the step of a large model")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    given = parser.parse_args()
    torch.set_num_threads(1)
    device = pick_device(given.device)
    print(f"loader: one core, median of {given.rounds} rounds, load before the run {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        os.environ["BEZOAR_CACHE"] = str(Path(name) / "cache")
        given.sources = sources(Path(name))
        for architecture in given.models:
            model = create(architecture)
            show(model, Path(name), given, device)
            tokens(model, given.count, given.rounds)


if __name__ == "__main__":
    main()
