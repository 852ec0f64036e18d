"""Bezoar: attack, pre-train, clean and measure CLIP-style image–text models under data poisoning and backdoors.

The verbs (``poison``, ``train``, ``clean``, ``evaluate``, ``run``) and the settings values they take can
be had from here; each is imported when it is first asked for, so that ``import bezoar`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from bezoar.attacks import (
        Backdoor,
        CaptionBackdoor,
        DualKey,
        LabelConsistent,
        Labels,
        Pick,
        Planned,
        Several,
        Targeted,
        patterns,
        places,
    )
    from bezoar.attacks.caption_triggers import Phrase
    from bezoar.attacks.triggers import Blended, Patch, Pool, Sinusoidal, Warp
    from bezoar.cleaning import (
        ADP,
        NAD,
        CleanCLIP,
        DeclipCleanCLIP,
        DeclipFinetune,
        DeepClustering,
        Finetune,
        InModalCleaning,
        Progressive,
        PseudoLabels,
        Supervised,
        Unlearn,
    )
    from bezoar.data import (
        Captioned,
        ImageFolder,
        LabeledFolder,
        LabeledPart,
        LabeledTable,
        LabelPairs,
        Mined,
        PairsPart,
        SceneClasses,
        Scenes,
        Table,
    )
    from bezoar.data.captions import Eda
    from bezoar.data.inspection import inspect
    from bezoar.data.views import AutoAugment, Light, Moco, MocoNoise, RandAugment, SimClr
    from bezoar.evaluation import (
        AttackSuccess,
        AttackSuccessByClass,
        Captioning,
        CaptionSuccess,
        ContrastiveLoss,
        LinearHead,
        LinearProbe,
        RemovedPoison,
        Retrieval,
        RetrievalCaptioner,
        SafeSet,
        TargetedSuccess,
        TrainedProbe,
        TriggerSurvival,
        ZeroShot,
    )
    from bezoar.experiment.experiment import Experiment, Stage
    from bezoar.experiment.labeling import label
    from bezoar.experiment.run import run
    from bezoar.experiment.verbs import clean, draft, evaluate, materialize, planned, poison, train
    from bezoar.experiment.zoo import zoo
    from bezoar.experiment.zoo_models import ZooModel, zoo_models
    from bezoar.models.converting import convert_model
    from bezoar.models.inspecting import inspect_model
    from bezoar.models.opening import load_model
    from bezoar.pretraining import ClipPretraining, ClipSSL, CyCLIP, DeCLIP, LegacySigLIP, RoCLIP, SafeCLIP, SigLIP
    from bezoar.training.method import Method

_HOMES = {
    "bezoar.attacks": (
        "Backdoor", "CaptionBackdoor", "DualKey", "LabelConsistent", "Labels", "Pick", "Planned", "Several", "Targeted",
        "patterns", "places",
    ),
    "bezoar.attacks.caption_triggers": ("Phrase",),
    "bezoar.attacks.triggers": ("Blended", "Patch", "Pool", "Sinusoidal", "Warp"),
    "bezoar.cleaning": (
        "ADP", "CleanCLIP", "DeclipCleanCLIP", "DeclipFinetune", "DeepClustering", "Finetune", "InModalCleaning", "NAD",
        "Progressive", "PseudoLabels", "Supervised", "Unlearn",
    ),
    "bezoar.data": (
        "Captioned", "ImageFolder", "LabelPairs", "LabeledFolder", "LabeledPart", "LabeledTable", "Mined", "PairsPart",
        "SceneClasses", "Scenes", "Table",
    ),
    "bezoar.data.captions": ("Eda",),
    "bezoar.data.inspection": ("inspect",),
    "bezoar.data.views": ("AutoAugment", "Light", "Moco", "MocoNoise", "RandAugment", "SimClr"),
    "bezoar.evaluation": (
        "AttackSuccess", "AttackSuccessByClass", "CaptionSuccess", "Captioning", "ContrastiveLoss", "LinearHead",
        "LinearProbe", "RemovedPoison", "Retrieval", "RetrievalCaptioner", "SafeSet", "TargetedSuccess",
        "TrainedProbe", "TriggerSurvival", "ZeroShot",
    ),
    "bezoar.experiment.experiment": ("Experiment", "Stage"),
    "bezoar.experiment.labeling": ("label",),
    "bezoar.experiment.run": ("run",),
    "bezoar.experiment.verbs": ("clean", "draft", "evaluate", "materialize", "planned", "poison", "train"),
    "bezoar.experiment.zoo": ("zoo",),
    "bezoar.experiment.zoo_models": ("ZooModel", "zoo_models"),
    "bezoar.models.converting": ("convert_model",),
    "bezoar.models.inspecting": ("inspect_model",),
    "bezoar.models.opening": ("load_model",),
    "bezoar.pretraining": (
        "ClipPretraining", "ClipSSL", "CyCLIP", "DeCLIP", "LegacySigLIP", "RoCLIP", "SafeCLIP", "SigLIP",
    ),
    "bezoar.training.method": ("Method",),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "ADP",
    "NAD",
    "AttackSuccess",
    "AttackSuccessByClass",
    "AutoAugment",
    "Backdoor",
    "Blended",
    "CaptionBackdoor",
    "CaptionSuccess",
    "Captioned",
    "Captioning",
    "CleanCLIP",
    "ClipPretraining",
    "ClipSSL",
    "ContrastiveLoss",
    "CyCLIP",
    "DeCLIP",
    "DeclipCleanCLIP",
    "DeclipFinetune",
    "DeepClustering",
    "DualKey",
    "Eda",
    "Experiment",
    "Finetune",
    "ImageFolder",
    "InModalCleaning",
    "LabelConsistent",
    "LabelPairs",
    "LabeledFolder",
    "LabeledPart",
    "LabeledTable",
    "Labels",
    "LegacySigLIP",
    "Light",
    "LinearHead",
    "LinearProbe",
    "Method",
    "Mined",
    "Moco",
    "MocoNoise",
    "PairsPart",
    "Patch",
    "Phrase",
    "Pick",
    "Planned",
    "Pool",
    "Progressive",
    "PseudoLabels",
    "RandAugment",
    "RemovedPoison",
    "Retrieval",
    "RetrievalCaptioner",
    "RoCLIP",
    "SafeCLIP",
    "SafeSet",
    "SceneClasses",
    "Scenes",
    "Several",
    "SigLIP",
    "SimClr",
    "Sinusoidal",
    "Stage",
    "Supervised",
    "Table",
    "Targeted",
    "TargetedSuccess",
    "TrainedProbe",
    "TriggerSurvival",
    "Unlearn",
    "Warp",
    "ZeroShot",
    "ZooModel",
    "__version__",
    "clean",
    "convert_model",
    "draft",
    "evaluate",
    "inspect",
    "inspect_model",
    "label",
    "load_model",
    "materialize",
    "patterns",
    "places",
    "planned",
    "poison",
    "run",
    "train",
    "zoo",
    "zoo_models",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'bezoar' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME_OF[name]), name)
