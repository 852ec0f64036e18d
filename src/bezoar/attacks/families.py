"""The families of what attacks are made of; they stand before their members, some of which hold others."""

from __future__ import annotations

from typing import Annotated

from bezoar.attacks.base import Attack
from bezoar.attacks.caption_trigger import CaptionTrigger
from bezoar.attacks.pattern import Pattern
from bezoar.attacks.place import Place
from bezoar.attacks.trigger import Trigger
from bezoar.core.settings import Family

PATTERNS = Family("pattern", Pattern, ())
PLACES = Family("place", Place, ())
TRIGGERS = Family("trigger", Trigger, ())
CAPTION_TRIGGERS = Family("caption trigger", CaptionTrigger, ())
ATTACKS = Family("attack", Attack, ())

AnyPattern = Annotated[Pattern, PATTERNS]
AnyPlace = Annotated[Place, PLACES]
AnyTrigger = Annotated[Trigger, TRIGGERS]
AnyCaptionTrigger = Annotated[CaptionTrigger, CAPTION_TRIGGERS]
AnyAttack = Annotated[Attack, ATTACKS]
