"""Synthetic photographs for the benchmarks: smooth colors with detail on every scale, as JPEG files."""

import io

import numpy as np
from PIL import Image


def photo(seed: int, width: int = 500, height: int = 375, roughness: float = 0.3) -> np.ndarray:
    """uint8 ``(height, width, 3)``: noise on scales of 1, 2, 4 … pixels, the larger the stronger, mostly grey."""
    draw = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for scale in (2**power for power in range(8)):
        shape = max(2, height // scale), max(2, width // scale), 3
        noise = draw.normal(size=shape)
        noise = noise.mean(-1, keepdims=True) * 1.3 + noise * 0.3
        grown = [Image.fromarray(noise[..., c].astype(np.float32)).resize((width, height), 3) for c in range(3)]
        total += np.stack([np.asarray(channel) for channel in grown], -1) * scale ** (1 - roughness)
    low, high = np.percentile(total, [1, 99])
    return ((total - low) / (high - low) * 255).clip(0, 255).astype(np.uint8)


def jpeg(pixels: np.ndarray, quality: int) -> bytes:
    """The picture as a JPEG file with halved color planes (4:2:0), as cameras and the web write them."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality, subsampling=2)
    return stream.getvalue()
