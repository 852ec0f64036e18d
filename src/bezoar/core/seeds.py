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
