"""A CleanCLIP training step of RN50 and ViT-B/32 at 224 px on 32 pairs: ours against the form of the released code.

Ours: bf16 autocast where the processor has the units, channels-last memory, captions cut to the longest of the batch,
both views of a modality in one forward, fused AdamW. The released form: both views in one forward too, but fp32,
contiguous memory, captions padded to 77 tokens, AdamW in PyTorch's default form, and its losses as they stand there;
its pictures come normalized from the loader, so that is not counted, while ours are normalized within the step.

Each side is a process of its own, which tells its peak memory; they step in turns on the same pairs, one at a time.
"""

from __future__ import annotations

import argparse
import math
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

PAIRS = 32


def batch_of(size: int, tokenize: Any) -> Any:
    """One batch of scenes: pictures and their AutoAugment view, captions and their EDA view."""
    from bezoar.cleaning import CleanCLIP
    from bezoar.data import Scenes
    from bezoar.data.captions import Eda
    from bezoar.data.prepared import Prepared
    from bezoar.models.clip import create
    from bezoar.training.loader import TrainingPairs, batches

    pairs = Scenes(count=PAIRS, width=320, height=240).open()
    method = CleanCLIP(batch_size=PAIRS, caption_view=Eda(wordnet="none"))
    this = method.passes(method.build(create("micro-cnn-32"), pairs, 0), 0)[0]
    data = TrainingPairs(pairs, Prepared(pairs, size))
    return method, this, next(batches(data, tokenize, this, batch_size=PAIRS, seed=0, epoch=0))


def ours(architecture: str) -> Callable[[], object]:
    """A step as the training loop takes it."""
    from bezoar.data import Scenes
    from bezoar.models.clip import create
    from bezoar.training.loop import _step
    from bezoar.training.optimizer import adamw
    from bezoar.training.precision import autocast_for

    model = create(architecture)
    method, this, batch = batch_of(model.image_size, model.tokenize)
    state = method.build(model, Scenes(count=PAIRS).open(), 0)
    state.train()
    optimizer, autocast = adamw(state, method), autocast_for(method.precision, model.device)
    return lambda: _step(method, state, this, batch, optimizer, autocast, 1e-6)


def released(architecture: str) -> Callable[[], object]:
    """A step in the form of the released code."""
    import open_clip
    import torch
    from torch.nn import functional as F

    from bezoar.models.tokenizer import build

    tower = open_clip.create_model(architecture).train()
    _, _, batch = batch_of(224, build(architecture, 49_408, 77, cut=False))
    mean, spread = torch.tensor(open_clip.OPENAI_DATASET_MEAN), torch.tensor(open_clip.OPENAI_DATASET_STD)
    shape = 1, 3, 1, 1
    pictures = torch.cat([(view / 255 - mean.view(shape)) / spread.view(shape) for view in batch.images])
    tokens = torch.cat(batch.texts)
    assert tokens.shape == (2 * PAIRS, 77)
    plain = [p for name, p in tower.named_parameters() if any(s in name for s in ("bn", "ln", "bias", "logit_scale"))]
    held = {id(p) for p in plain}
    groups = [
        {"params": plain, "weight_decay": 0.0},
        {"params": [p for p in tower.parameters() if id(p) not in held], "weight_decay": 0.1},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-6, betas=(0.9, 0.999), eps=1e-8)
    targets = torch.arange(PAIRS)

    def step() -> None:
        optimizer.zero_grad()
        image, image_view = F.normalize(tower.encode_image(pictures), dim=-1).chunk(2)
        text, text_view = F.normalize(tower.encode_text(tokens), dim=-1).chunk(2)
        scale = tower.logit_scale.exp()
        logits = scale * image @ text.t()
        contrastive = (F.cross_entropy(logits, targets) + F.cross_entropy(logits.t(), targets)) / 2
        in_images = F.cross_entropy(scale * image @ image_view.t(), targets)
        in_texts = F.cross_entropy(scale * text @ text_view.t(), targets)
        (contrastive + (in_images + in_texts) / 2).backward()
        optimizer.step()
        tower.logit_scale.data.clamp_(0, math.log(100))

    return step


SIDES = {"released": released, "ours": ours}


def serve(side: str, architecture: str, threads: int) -> None:
    """In a process of its own: a step for every line read, its seconds and the peak memory so far as the answer."""
    import torch

    torch.set_num_threads(threads)
    step = SIDES[side](architecture)
    for _ in sys.stdin:
        began = time.perf_counter()
        step()
        print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--models", nargs="+", default=["RN50", "ViT-B-32"])
    given = parser.parse_args()
    if given.side:
        serve(given.side, given.models[0], given.threads)
        return
    print(f"CleanCLIP step, {PAIRS} pairs, {given.threads} threads, median of {given.steps} steps that take turns")
    for architecture in given.models:
        command = [sys.executable, __file__, "--threads", str(given.threads), "--models", architecture, "--side"]
        made = {
            side: subprocess.Popen([*command, side], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for side in SIDES
        }
        took: dict[str, list[float]] = {side: [] for side in SIDES}
        peak: dict[str, int] = {}
        for _ in range(given.steps + 1):
            for side, process in made.items():
                assert process.stdin is not None
                assert process.stdout is not None
                print(file=process.stdin, flush=True)
                seconds, kilobytes = process.stdout.readline().split()
                took[side].append(float(seconds))
                peak[side] = int(kilobytes)
        for process in made.values():
            process.communicate()
        middle = {side: statistics.median(times[1:]) for side, times in took.items()}
        for side in SIDES:
            print(
                f"{architecture}, {side}: {middle[side]:.2f} s a step, ratio {middle['released'] / middle[side]:.2f}, "
                f"peak memory {peak[side] / 2**20:.1f} GiB"
            )


if __name__ == "__main__":
    main()
