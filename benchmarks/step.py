"""A training step of the micro models: bf16 against fp32, cut against full captions, joint against separate views,
and with ``--compiled`` compiled towers against none. Processor time on one thread, so that other work on the machine
does not count.
"""

import argparse
import dataclasses
import statistics
import time

import torch
from sides import ours

from bezoar.cleaning import CleanCLIP
from bezoar.data.captions import Eda
from bezoar.training.method import Method


def seconds_per_step(
    method: Method, architecture: str, steps: int, *, cut: bool = True, compiled: bool = False
) -> float:
    """Median over ``steps`` steps on a batch made beforehand: the step alone, without the loader."""
    work = ours(method, architecture, torch.device("cpu"), cut=cut, compiled=compiled)
    times = []
    for _ in range(steps + 2):
        began = time.process_time()
        work.steps(1)
        times.append(time.process_time() - began)
    return statistics.median(times[2:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--compiled", action="store_true", help="compiled towers too")
    parser.add_argument("--models", nargs="+", default=["micro-cnn-32", "micro-vit-32"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    base = CleanCLIP(batch_size=128, caption_view=Eda(wordnet="none"))
    print(f"CleanCLIP step, batch 128, one thread, median of {given.steps}")
    for architecture in given.models:
        slowest = dataclasses.replace(base, precision="fp32", joint_views=False)
        plain = seconds_per_step(slowest, architecture, given.steps, cut=False)
        print(f"{architecture}: fp32, full captions, separate views: {plain * 1e3:.0f} ms, ratio 1.00", flush=True)
        for precision, cut, joint, compiled in (
            ("fp32", True, False, False),
            ("bf16", False, False, False),
            ("bf16", True, False, False),
            ("bf16", True, True, False),
            *([("bf16", True, True, True)] if given.compiled else []),
        ):
            method = dataclasses.replace(base, precision=precision, joint_views=joint)
            took = seconds_per_step(method, architecture, given.steps, cut=cut, compiled=compiled)
            said = f"{precision}, {'cut' if cut else 'full'} captions, {'joint' if joint else 'separate'} views"
            said += ", compiled" if compiled else ""
            print(f"{architecture}: {said}: {took * 1e3:.0f} ms, ratio {plain / took:.2f}", flush=True)


if __name__ == "__main__":
    main()
