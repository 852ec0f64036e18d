"""Pairs, labeled sets, views and prompts: everything that is read before a model sees it."""

from bezoar.data.captioned import Captioned, LabelPairs
from bezoar.data.families import LABELED_SOURCES, PAIRS_SOURCES, AnyLabeledSource, AnyPairsSource
from bezoar.data.files import ImageFolder, LabeledFolder, LabeledTable, Table
from bezoar.data.mined import Mined
from bezoar.data.pairs import (
    Checked,
    Images,
    LabeledSet,
    LabeledSource,
    Pairs,
    PairsSource,
    SharesPictures,
    Shrinkable,
    Skips,
)
from bezoar.data.part import LabeledPart, PairsPart
from bezoar.data.scenes import SceneClasses, Scenes

PAIRS_SOURCES.add(Scenes, Table, ImageFolder, Captioned, LabelPairs, PairsPart)
LABELED_SOURCES.add(SceneClasses, LabeledTable, LabeledFolder, Mined, LabeledPart)

__all__ = [
    "LABELED_SOURCES",
    "PAIRS_SOURCES",
    "AnyLabeledSource",
    "AnyPairsSource",
    "Captioned",
    "Checked",
    "ImageFolder",
    "Images",
    "LabelPairs",
    "LabeledFolder",
    "LabeledPart",
    "LabeledSet",
    "LabeledSource",
    "LabeledTable",
    "Mined",
    "Pairs",
    "PairsPart",
    "PairsSource",
    "SceneClasses",
    "Scenes",
    "SharesPictures",
    "Shrinkable",
    "Skips",
    "Table",
]
