"""Sides of a comparison that take turns: each is one process of its own or several, which step when they are told to.

Never two sides at once, so they share a machine without sharing time; a process of its own has its own peak of memory.
Wall time and, since other work on the machine does not count there, the processor time of all threads.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from sides import Work

_WARM = 5
"""Steps at most before those that count."""

_complaints: dict[int, IO[str]] = {}
"""What the processes have written to stderr, by their ids: told only of one that dies."""

PEAK_TFLOPS = {"H200": 989, "H100": 989, "A100": 312, "L40S": 362, "L4": 121, "A10": 125, "4090": 165, "3090": 71}
"""Dense bf16 products in a second as the vendor states them, by a part of the device's name."""


@dataclass(frozen=True)
class Side:
    """One side: what its processes are called with, and in which environment beside the usual one."""

    arguments: Sequence[str]
    environments: Sequence[Mapping[str, str]] = ({},)


@dataclass(frozen=True)
class Took:
    """What one side took for a step: medians over the turns."""

    wall: float
    processor: float
    """Seconds of all threads and processes."""
    peak: int
    """Bytes of the largest of its processes: of the device where there is one, else of the process."""
    facts: Mapping[str, Any]


def ranks(arguments: Sequence[str], world: int) -> Side:
    """A side of ``world`` processes that meet as those of ``torchrun`` do."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return Side(arguments, [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(world)])


def compare(sides: Mapping[str, Side], given: argparse.Namespace) -> dict[str, Took]:
    """Let every side take ``given.turns`` turns of ``given.steps`` steps, after a few steps that do not count."""
    turns, steps = given.turns, given.steps
    made = {name: [_start(side.arguments, more) for more in side.environments] for name, side in sides.items()}
    answers: dict[str, list[list[dict[str, Any]]]] = {name: [] for name in sides}
    for turn in range(turns + 1):
        for name, processes in made.items():
            answers[name].append(_ask(processes, str(steps if turn else min(steps, _WARM))))
            seconds = max(one["wall"] for one in answers[name][-1])
            print(f"turn {turn} of {turns}, {name}: {seconds:.3g} s", file=sys.stderr, flush=True)
    found = {}
    for name, processes in made.items():
        counted = answers[name][1:]
        found[name] = Took(
            wall=statistics.median(max(one["wall"] for one in turn) for turn in counted) / steps,
            processor=statistics.median(sum(one["processor"] for one in turn) for turn in counted) / steps,
            peak=max(one["peak"] for one in counted[-1]),
            facts=_ask(processes, "facts")[0] | ({} if given.short else _ask(processes, "costs")[0]),
        )
        for process in processes:
            process.communicate()
    return found


def serve(work: Work, device: torch.device) -> None:
    """In a process of a side: as many steps as each line says, their time and the peak so far as the answer."""
    # What libraries print is no answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        asked = {"facts": work.facts, "costs": work.costs}.get(line.strip())
        if asked is not None:
            print(json.dumps(asked()), file=answers, flush=True)
            continue
        _wait(device)
        began, worked = time.perf_counter(), _processor()
        work.steps(int(line))
        _wait(device)
        took = {"wall": time.perf_counter() - began, "processor": _processor() - worked, "peak": _peak(device)}
        print(json.dumps(took), file=answers, flush=True)


def show(
    title: str,
    name: str,
    took: Took,
    pairs: int,
    bases: Mapping[str, Took] = {},
    peak_tflops: float | None = None,
) -> None:
    """A line of what a side took, one for each ratio to another side, and those of what it says of itself."""
    facts = took.facts
    print(f"{title}, {name} ({facts['settings']}; first loss {facts['first loss']:.3f})")
    print(
        f"  {took.wall:.3g} s a step, {took.processor:.3g} s of processor; {pairs / took.wall:,.1f} pairs/s; "
        f"peak memory {took.peak / 2**30:.2f} GiB"
    )
    for other, base in bases.items():
        print(
            f"  RATIO {base.wall / took.wall:.2f} to {other}, of processor time {base.processor / took.processor:.2f}, "
            f"of peak memory {took.peak / base.peak:.2f}"
        )
    if "flops" in facts:
        rate = facts["flops"] / took.wall
        share = f", {rate / peak_tflops / 1e10:.1f} % of {peak_tflops:g} bf16 TFLOP/s" if peak_tflops else ""
        print(f"  {facts['flops'] / 1e9:,.3g} GFLOP a step, {rate / 1e9:,.3g} GFLOP/s{share}")
    for kind in ("phases", "operators"):
        if kind in facts:
            print(f"  {kind}: {', '.join(f'{part} {share:.0%}' for part, share in facts[kind].items())}")
    sys.stdout.flush()


def options(parser: argparse.ArgumentParser, *, batch: int) -> None:
    """What every comparison of steps is asked."""
    parser.add_argument("--models", nargs="+", default=["RN50", "ViT-B-32"])
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--batch", type=int, help=f"pairs; {batch} on a CPU, eight times as many on a GPU")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of each side")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--steps", type=int, help="in each turn; 1 on a CPU, 20 on a GPU")
    parser.add_argument("--peak-tflops", type=float, help="of the device, for the share that is used of it")
    parser.add_argument("--short", action="store_true", help="leave out where the time goes")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.set_defaults(cpu_batch=batch)


def settle(given: argparse.Namespace) -> None:
    """Fill in what depends on the device."""
    import torch

    gpu = given.device != "cpu" and torch.cuda.is_available()
    given.device = "cuda" if gpu else "cpu"
    given.batch = given.batch or given.cpu_batch * (8 if gpu else 1)
    given.steps = given.steps or (20 if gpu else 1)
    name = torch.cuda.get_device_name() if gpu else f"CPU, {given.threads} threads"
    if given.peak_tflops is None and gpu:
        given.peak_tflops = next((peak for part, peak in PEAK_TFLOPS.items() if part in name), None)
    load = f"; load before the run {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(
        f"{Path(sys.argv[0]).stem}: {given.batch} pairs on {name}; torch {torch.__version__}; median of {given.turns} "
        f"turns of {given.steps} steps{load}",
        flush=True,
    )


def again(given: argparse.Namespace, architecture: str, side: str, *more: str) -> list[str]:
    """The arguments for a process of ``side``."""
    return [
        "--models", architecture, "--device", given.device, "--batch", str(given.batch), "--threads",
        str(given.threads), "--steps", str(given.steps), f"--side={side}", *more,
    ]  # fmt: skip


def _start(arguments: Sequence[str], more: Mapping[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, sys.argv[0], *arguments]
    complaints = tempfile.TemporaryFile("w+")  # noqa: SIM115
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, text=True,
        env={**os.environ, **more},
    )  # fmt: skip
    _complaints[process.pid] = complaints
    return process


def _ask(processes: Sequence[subprocess.Popen[str]], question: str) -> list[dict[str, Any]]:
    for process in processes:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # then there is no answer either
            print(question, file=process.stdin, flush=True)
    return [_answer(process) for process in processes]


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        complaints = _complaints[process.pid]
        complaints.seek(0)
        raise SystemExit(f"{complaints.read()}a side has died (exit code {process.wait()}): {process.args!r}")
    answer: dict[str, Any] = json.loads(line)
    return answer


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize()


def _processor() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
