"""What a patch or a blend puts on an image, one file each."""

from bezoar.attacks.families import PATTERNS, AnyPattern
from bezoar.attacks.pattern import Pattern
from bezoar.attacks.patterns.binary import Binary
from bezoar.attacks.patterns.checkerboard import Checkerboard
from bezoar.attacks.patterns.fresh_noise import FreshNoise
from bezoar.attacks.patterns.noise import Noise
from bezoar.attacks.patterns.picture import Picture
from bezoar.attacks.patterns.solid import Solid
from bezoar.attacks.patterns.sparse_checkerboard import SparseCheckerboard
from bezoar.attacks.patterns.stripes import Stripes
from bezoar.attacks.patterns.triangles import Triangles
from bezoar.attacks.patterns.watermark import Watermark

PATTERNS.add(Noise, Binary, FreshNoise, Solid, Checkerboard, SparseCheckerboard, Stripes, Triangles, Watermark, Picture)

__all__ = [
    "PATTERNS",
    "AnyPattern",
    "Binary",
    "Checkerboard",
    "FreshNoise",
    "Noise",
    "Pattern",
    "Picture",
    "Solid",
    "SparseCheckerboard",
    "Stripes",
    "Triangles",
    "Watermark",
]
