"""Losses: features → one scalar tensor. Pure functions, one file each; they do not import each other."""

from bezoar.losses.in_modal import in_modal
from bezoar.losses.info_nce import info_nce

__all__ = ["in_modal", "info_nce"]
