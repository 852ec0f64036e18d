"""Losses: features → one scalar tensor. Pure functions, one file each; they do not import each other."""

from bezoar.losses.attention import attention_map, attention_transfer
from bezoar.losses.cosine_target import cosine_target
from bezoar.losses.cyclic import cyclic_cross_modal, cyclic_in_modal
from bezoar.losses.in_modal import in_modal
from bezoar.losses.info_nce import info_nce
from bezoar.losses.masked_words import masked_words
from bezoar.losses.siglip import legacy_siglip, siglip
from bezoar.losses.simsiam import simsiam

__all__ = [
    "attention_map",
    "attention_transfer",
    "cosine_target",
    "cyclic_cross_modal",
    "cyclic_in_modal",
    "in_modal",
    "info_nce",
    "legacy_siglip",
    "masked_words",
    "siglip",
    "simsiam",
]
