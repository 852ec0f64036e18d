"""Image triggers, one file each; those of a released code, as it draws them, share one."""

import bezoar.attacks.patterns
import bezoar.attacks.places  # noqa: F401  fills the families
from bezoar.attacks.families import TRIGGERS, AnyTrigger
from bezoar.attacks.trigger import Trigger
from bezoar.attacks.triggers.blended import Blended
from bezoar.attacks.triggers.legacy_cleanclip import (
    LegacyCleanClipBlended,
    LegacyCleanClipPatch,
    LegacyCleanClipSig,
    LegacyCleanClipWarped,
    LegacyCleanClipYellow,
)
from bezoar.attacks.triggers.legacy_declip import LegacyDeclip
from bezoar.attacks.triggers.legacy_par import LegacyParBlended, LegacyParPatch
from bezoar.attacks.triggers.patch import Patch
from bezoar.attacks.triggers.pool import Pool
from bezoar.attacks.triggers.sinusoidal import Sinusoidal
from bezoar.attacks.triggers.warp import Warp

TRIGGERS.add(
    Patch, Blended, Sinusoidal, Warp, Pool, LegacyCleanClipPatch, LegacyCleanClipYellow, LegacyCleanClipBlended,
    LegacyCleanClipSig, LegacyCleanClipWarped, LegacyParPatch, LegacyParBlended, LegacyDeclip,
)  # fmt: skip

__all__ = [
    "TRIGGERS",
    "AnyTrigger",
    "Blended",
    "LegacyCleanClipBlended",
    "LegacyCleanClipPatch",
    "LegacyCleanClipSig",
    "LegacyCleanClipWarped",
    "LegacyCleanClipYellow",
    "LegacyDeclip",
    "LegacyParBlended",
    "LegacyParPatch",
    "Patch",
    "Pool",
    "Sinusoidal",
    "Trigger",
    "Warp",
]
