"""Where the time of a step goes: its floating-point operations, its phases, its operators."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from bezoar.training.batch import Batch
from bezoar.training.method import Pass
from bezoar.training.stepping import Stepper

LARGEST = 6
"""Operators that are named."""


def flops(step: Callable[[], object]) -> int:
    """Operations of the products, convolutions and attention in one step, a multiply-add counted as two."""
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())


def operators(step: Callable[[], object], device: torch.device) -> dict[str, float]:
    """The largest shares of the time of one step by operator, each without what it calls."""
    gpu = device.type == "cuda"
    activity = torch.profiler.ProfilerActivity.CUDA if gpu else torch.profiler.ProfilerActivity.CPU
    with torch.profiler.profile(activities=[activity]) as profile:
        step()
        if gpu:
            torch.cuda.synchronize()
    own = {
        event.key: event.self_device_time_total if gpu else event.self_cpu_time_total
        for event in profile.key_averages()
    }
    total = sum(own.values())
    largest = sorted(own, key=lambda key: -own[key])[:LARGEST]
    return {key.removeprefix("aten::")[:60]: own[key] / total for key in largest}


def phases(stepper: Stepper, this: Pass, batch: Batch, number: int) -> dict[str, float]:
    """Shares of one step; the device is waited for between them, so it is slower than a step in training."""
    model, optimizer = stepper.state.model, stepper.optimizer
    took: dict[str, float] = {}
    ends: dict[str, float] = {}

    def now() -> float:
        if model.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def timed(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            began = now()
            result = work(*given)
            ends[name] = now()
            took[name] = took.get(name, 0.0) + ends[name] - began
            return result

        return call

    def begin_update(*_: Any) -> None:
        ends["backward"] = now()
        took["backward"] = ends["backward"] - ends["loss"]

    def end_update(*_: Any) -> None:
        took["optimizer"] = now() - ends["backward"]

    hooks = [optimizer.register_step_pre_hook(begin_update), optimizer.register_step_post_hook(end_update)]
    # On the instance, where a method's encoder finds them first.
    vars(model).update(
        encode_image=timed("image forward", model.encode_image), encode_text=timed("text forward", model.encode_text)
    )
    try:
        began = now()
        stepper(dataclasses.replace(this, loss=timed("loss", this.loss)), batch, number)
        total = now() - began
    finally:
        del vars(model)["encode_image"], vars(model)["encode_text"]
        for hook in hooks:
            hook.remove()
    took["rest"] = total - sum(took.values())
    return {name: seconds / total for name, seconds in took.items()}
