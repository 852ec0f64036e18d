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
    from bezoar.data import SceneClasses, Scenes
    from bezoar.evaluation import AttackSuccess, ZeroShot
    from bezoar.experiment.experiment import Experiment, Stage
    from bezoar.experiment.run import run
    from bezoar.experiment.verbs import clean, evaluate, planned, poison, train
    from bezoar.pretraining import ClipPretraining
    from bezoar.training.method import Method

_HOMES = {
    "bezoar.attacks": ("Backdoor", "Planned"),
    "bezoar.attacks.triggers": ("Patch",),
    "bezoar.cleaning": ("CleanCLIP", "Finetune"),
    "bezoar.data": ("SceneClasses", "Scenes"),
    "bezoar.evaluation": ("AttackSuccess", "ZeroShot"),
    "bezoar.experiment.experiment": ("Experiment", "Stage"),
    "bezoar.experiment.run": ("run",),
    "bezoar.experiment.verbs": ("clean", "evaluate", "planned", "poison", "train"),
    "bezoar.pretraining": ("ClipPretraining",),
    "bezoar.training.method": ("Method",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AttackSuccess",
    "Backdoor",
    "CleanCLIP",
    "ClipPretraining",
    "Experiment",
    "Finetune",
    "Method",
    "Patch",
    "Planned",
    "SceneClasses",
    "Scenes",
    "Stage",
    "ZeroShot",
    "__version__",
    "clean",
    "evaluate",
    "planned",
    "poison",
    "run",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'bezoar' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME_OF[name]), name)
