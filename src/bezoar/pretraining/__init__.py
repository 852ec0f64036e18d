"""Pre-training methods, one file each."""

from bezoar.pretraining.clip import ClipPretraining
from bezoar.pretraining.clip_ssl import ClipSSL
from bezoar.training.method import Method

METHODS: tuple[type[Method], ...] = (ClipPretraining, ClipSSL)

__all__ = ["METHODS", "ClipPretraining", "ClipSSL"]
