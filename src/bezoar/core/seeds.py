"""Named randomness: every random choice draws from a stream that has a name and a seed.

``stream_seed(seed, "poison", pair_id)`` is a 63-bit integer that depends on nothing but its arguments:
not on the process, the worker, the order of calls or the platform.
"""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch


def stream_seed(seed: int, *names: str | int) -> int:
    """The integer seed of the stream called ``names`` under ``seed``, in [0, 2**63)."""
    text = "\x1f".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def python_random(seed: int, *names: str | int) -> random.Random:
    """A fresh Python generator for the named stream."""
    return random.Random(stream_seed(seed, *names))


def numpy_generator(seed: int, *names: str | int) -> np.random.Generator:
    """A fresh NumPy generator for the named stream."""
    import numpy as np

    return np.random.default_rng(stream_seed(seed, *names))


def torch_generator(seed: int, *names: str | int) -> torch.Generator:
    """A fresh CPU torch generator for the named stream."""
    import torch

    return torch.Generator().manual_seed(stream_seed(seed, *names))


def uniform(seed: int, *counters: torch.Tensor) -> torch.Tensor:
    """One number in [0, 1) for each place in which ``counters`` (int64, broadcast) meet, float32 with 24 random bits.

    It depends on ``seed`` and on the counters in its place alone: not on the device, nor on what else is drawn, so
    that each of several processes can draw for its own rows what one process would draw for all. SplitMix64 (Steele et
    al. 2014, "Fast Splittable Pseudorandom Number Generators") over the counters, one after the other.
    """
    import torch

    state = torch.full((), _signed(seed), dtype=torch.int64, device=counters[0].device)
    for counter in counters:
        state = _mixed(_mixed(state + _signed(0x9E3779B97F4A7C15)) ^ counter)
    return (_shifted(_mixed(state), 40)).to(torch.float32) / (1 << 24)


def _mixed(state: torch.Tensor) -> torch.Tensor:
    state = (state ^ _shifted(state, 30)) * _signed(0xBF58476D1CE4E5B9)
    state = (state ^ _shifted(state, 27)) * _signed(0x94D049BB133111EB)
    return state ^ _shifted(state, 31)


def _shifted(state: torch.Tensor, by: int) -> torch.Tensor:
    """A shift to the right that fills with zeros: torch's fills with the sign."""
    return (state >> by) & ((1 << (64 - by)) - 1)


def _signed(number: int) -> int:
    """The 64 bits of ``number`` as torch's int64 reads them."""
    return (number & (2**64 - 1)) - (2**64 if number >> 63 & 1 else 0)
