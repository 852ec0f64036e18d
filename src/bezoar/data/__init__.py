"""Pairs, labeled sets, views and prompts: everything that is read before a model sees it."""

from typing import Annotated

from bezoar.core.settings import Family
from bezoar.data.pairs import Images, LabeledSet, LabeledSource, Pairs, PairsSource
from bezoar.data.scenes import SceneClasses, Scenes

PAIRS_SOURCES = Family("source of pairs", PairsSource, (Scenes,))
LABELED_SOURCES = Family("labeled set", LabeledSource, (SceneClasses,))

AnyPairsSource = Annotated[PairsSource, PAIRS_SOURCES]
AnyLabeledSource = Annotated[LabeledSource, LABELED_SOURCES]

__all__ = [
    "LABELED_SOURCES",
    "PAIRS_SOURCES",
    "AnyLabeledSource",
    "AnyPairsSource",
    "Images",
    "LabeledSet",
    "LabeledSource",
    "Pairs",
    "PairsSource",
    "SceneClasses",
    "Scenes",
]
