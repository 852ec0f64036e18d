"""Bezoar: attack, pre-train, clean and measure CLIP-style image–text models under data poisoning and backdoors.

The verbs (``poison``, ``train``, ``clean``, ``evaluate``, ``run``) and the settings values they take can
be had from here; each is imported when it is first asked for, so that ``import bezoar`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from bezoar.attacks import Backdoor, Planned
    from bezoar.attacks.triggers import Patch
    from bezoar.cleaning import CleanCLIP, Finetune
    from bezoar.data import (
        Captioned,
        ImageFolder,
        LabeledFolder,
        LabeledPart,
        LabeledTable,
        Mined,
        PairsPart,
        SceneClasses,
        Scenes,
        Table,
    )
    from bezoar.data.captions import Eda
    from bezoar.data.inspection import inspect
    from bezoar.data.views import AutoAugment, SimClr
    from bezoar.evaluation import AttackSuccess, Retrieval, ZeroShot
    from bezoar.experiment.experiment import Experiment, Stage
    from bezoar.experiment.run import run
    from bezoar.experiment.verbs import clean, evaluate, planned, poison, train
    from bezoar.pretraining import ClipPretraining
    from bezoar.training.method import Method

_HOMES = {
    "bezoar.attacks": ("Backdoor", "Planned"),
    "bezoar.attacks.triggers": ("Patch",),
    "bezoar.cleaning": ("CleanCLIP", "Finetune"),
    "bezoar.data": (
        "Captioned", "ImageFolder", "LabeledFolder", "LabeledPart", "LabeledTable", "Mined", "PairsPart",
        "SceneClasses", "Scenes", "Table",
    ),
    "bezoar.data.captions": ("Eda",),
    "bezoar.data.inspection": ("inspect",),
    "bezoar.data.views": ("AutoAugment", "SimClr"),
    "bezoar.evaluation": ("AttackSuccess", "Retrieval", "ZeroShot"),
    "bezoar.experiment.experiment": ("Experiment", "Stage"),
    "bezoar.experiment.run": ("run",),
    "bezoar.experiment.verbs": ("clean", "evaluate", "planned", "poison", "train"),
    "bezoar.pretraining": ("ClipPretraining",),
    "bezoar.training.method": ("Method",),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AttackSuccess",
    "AutoAugment",
    "Backdoor",
    "Captioned",
    "CleanCLIP",
    "ClipPretraining",
    "Eda",
    "Experiment",
    "Finetune",
    "ImageFolder",
    "LabeledFolder",
    "LabeledPart",
    "LabeledTable",
    "Method",
    "Mined",
    "PairsPart",
    "Patch",
    "Planned",
    "Retrieval",
    "SceneClasses",
    "Scenes",
    "SimClr",
    "Stage",
    "Table",
    "ZeroShot",
    "__version__",
    "clean",
    "evaluate",
    "inspect",
    "planned",
    "poison",
    "run",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'bezoar' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME_OF[name]), name)
