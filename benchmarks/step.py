"""A training step of the micro models: bf16 against fp32, cut against full captions, joint against separate views."""

import argparse
import dataclasses
import statistics
import time

import torch

from bezoar.cleaning import CleanCLIP
from bezoar.data import Scenes
from bezoar.data.captions import Eda
from bezoar.data.prepared import Prepared
from bezoar.models.clip import create
from bezoar.training.loader import TrainingPairs, batches
from bezoar.training.loop import _step
from bezoar.training.method import Method
from bezoar.training.optimizer import adamw
from bezoar.training.precision import autocast_for


def seconds_per_step(method: Method, architecture: str, cut: bool, steps: int) -> float:
    """Median over ``steps`` steps on batches made beforehand: the step alone, without the loader."""
    pairs = Scenes(count=method.batch_size * 4).open()
    model = create(architecture)
    model.tokenize.cut = cut
    data = TrainingPairs(pairs, Prepared(pairs, model.image_size))
    state = method.build(model, pairs, 0)
    this = method.passes(state, 0)[0]
    made = list(batches(data, model.tokenize, this, batch_size=method.batch_size, seed=0, epoch=0))
    optimizer, autocast = adamw(state, method), autocast_for(method.precision, model.device)
    times = []
    for step in range(steps + 2):
        began = time.perf_counter()
        _step(method, state, this, made[step % len(made)], optimizer, autocast, 1e-4)
        times.append(time.perf_counter() - began)
    return statistics.median(times[2:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    base = CleanCLIP(batch_size=128, caption_view=Eda(wordnet="none"))
    print(f"CleanCLIP step, batch 128, {given.threads} thread(s), median of {given.steps}")
    for architecture in ("micro-cnn-32", "micro-vit-32"):
        plain = seconds_per_step(
            dataclasses.replace(base, precision="fp32", joint_views=False), architecture, False, given.steps
        )
        print(f"{architecture}: fp32, full captions, separate views: {plain * 1e3:.0f} ms, ratio 1.00")
        for precision, cut, joint in (
            ("fp32", True, False),
            ("bf16", False, False),
            ("bf16", True, False),
            ("bf16", True, True),
        ):
            method = dataclasses.replace(base, precision=precision, joint_views=joint)
            took = seconds_per_step(method, architecture, cut, given.steps)
            name = f"{precision}, {'cut' if cut else 'full'} captions, {'joint' if joint else 'separate'} views"
            print(f"{architecture}: {name}: {took * 1e3:.0f} ms, ratio {plain / took:.2f}")


if __name__ == "__main__":
    main()
