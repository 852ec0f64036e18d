"""Cleaning methods, one file each."""

from bezoar.cleaning.cleanclip import CleanCLIP
from bezoar.cleaning.finetune import Finetune
from bezoar.training.method import Method

METHODS: tuple[type[Method], ...] = (Finetune, CleanCLIP)

__all__ = ["METHODS", "CleanCLIP", "Finetune"]
