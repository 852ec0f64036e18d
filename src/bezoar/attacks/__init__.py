"""Attacks and their plans: pure data about who is poisoned, and pure functions that do it."""

import bezoar.attacks.caption_triggers
import bezoar.attacks.triggers  # noqa: F401  fills the families
from bezoar.attacks.backdoor import Backdoor
from bezoar.attacks.base import Aim, Attack, Chosen, Threat
from bezoar.attacks.caption_backdoor import CaptionBackdoor
from bezoar.attacks.dual_key import DualKey
from bezoar.attacks.families import ATTACKS, AnyAttack
from bezoar.attacks.label_consistent import LabelConsistent
from bezoar.attacks.labels import Labels
from bezoar.attacks.planned import Planned
from bezoar.attacks.several import Several
from bezoar.attacks.targeted import Pick, Targeted

ATTACKS.add(Backdoor, LabelConsistent, Targeted, DualKey, CaptionBackdoor, Labels, Several, Planned)

__all__ = [
    "ATTACKS",
    "Aim",
    "AnyAttack",
    "Attack",
    "Backdoor",
    "CaptionBackdoor",
    "Chosen",
    "DualKey",
    "LabelConsistent",
    "Labels",
    "Pick",
    "Planned",
    "Several",
    "Targeted",
    "Threat",
]
