"""Mixed precision where it pays: bf16 autocast on devices that compute in bf16, fp16 with a scaled loss on request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch

from bezoar.training.method import Precision

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def resolve(precision: Precision, device: torch.device) -> Literal["bf16", "fp16", "fp32"]:
    """``auto`` is bf16 on a GPU that has it and on a CPU with bf16 units (AVX-512 BF16 or AMX), else fp32.

    Raises ``ValueError`` for fp16 where no GPU scales the loss for it.
    """
    if precision == "fp16" and device.type != "cuda":
        raise ValueError(
            f"precision: 'fp16' needs a CUDA device, this one is {device.type} (choices: auto, bf16, fp32)"
        )
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "cpu":
        # Not every release and platform has both questions.
        units = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
        return "bf16" if any(has is not None and has() for has in units) else "fp32"
    return "fp32"


def autocast_for(precision: Precision, device: torch.device) -> Callable[[], torch.autocast]:
    """A function that opens the autocast region of a forward pass."""
    found = resolve(precision, device)
    return lambda: torch.autocast(device.type, dtype=_TYPES[found], enabled=found != "fp32")
