"""Pre-training methods, one file each."""

from bezoar.pretraining.clip import ClipPretraining
from bezoar.training.method import Method

METHODS: tuple[type[Method], ...] = (ClipPretraining,)

__all__ = ["METHODS", "ClipPretraining"]
