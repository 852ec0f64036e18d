"""Losses: features → one scalar tensor. Pure functions, one file each; they do not import each other."""

from bezoar.losses.cosine_target import cosine_target
from bezoar.losses.cyclic import cyclic_cross_modal, cyclic_in_modal
from bezoar.losses.in_modal import in_modal
from bezoar.losses.info_nce import info_nce
from bezoar.losses.siglip import legacy_siglip, siglip

__all__ = ["cosine_target", "cyclic_cross_modal", "cyclic_in_modal", "in_modal", "info_nce", "legacy_siglip", "siglip"]
