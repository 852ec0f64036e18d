"""Pre-training methods, one file each."""

from bezoar.pretraining.clip import ClipPretraining
from bezoar.pretraining.clip_ssl import ClipSSL
from bezoar.pretraining.cyclip import CyCLIP
from bezoar.pretraining.declip import DeCLIP
from bezoar.pretraining.legacy_siglip import LegacySigLIP
from bezoar.pretraining.roclip import RoCLIP
from bezoar.pretraining.safeclip import SafeCLIP
from bezoar.pretraining.siglip import SigLIP
from bezoar.training.method import Method

METHODS: tuple[type[Method], ...] = (ClipPretraining, ClipSSL, CyCLIP, SigLIP, LegacySigLIP, RoCLIP, SafeCLIP, DeCLIP)

__all__ = ["METHODS", "ClipPretraining", "ClipSSL", "CyCLIP", "DeCLIP", "LegacySigLIP", "RoCLIP", "SafeCLIP", "SigLIP"]
