"""Evaluators, one file each."""

from typing import Annotated

from bezoar.core.settings import Family
from bezoar.evaluation.attack_success import AttackSuccess
from bezoar.evaluation.attack_success_by_class import AttackSuccessByClass
from bezoar.evaluation.base import Context, Evaluation, Evaluator, looks_of, names_of, others_of
from bezoar.evaluation.caption_success import CaptionSuccess
from bezoar.evaluation.captioner import CAPTIONERS, AnyCaptioner, Captioner, RetrievalCaptioner
from bezoar.evaluation.captioning import Captioning
from bezoar.evaluation.contrastive_loss import ContrastiveLoss
from bezoar.evaluation.linear_head import LinearHead
from bezoar.evaluation.linear_probe import LinearProbe
from bezoar.evaluation.pictures import HeldOut, LabeledImages, Look
from bezoar.evaluation.removed_poison import RemovedPoison
from bezoar.evaluation.retrieval import Retrieval
from bezoar.evaluation.safe_set import SafeSet
from bezoar.evaluation.targeted_success import TargetedSuccess
from bezoar.evaluation.trained_probe import TrainedProbe
from bezoar.evaluation.trigger_survival import TriggerSurvival
from bezoar.evaluation.zero_shot import ZeroShot

EVALUATORS = Family(
    "evaluator",
    Evaluator,
    (
        ZeroShot, AttackSuccess, AttackSuccessByClass, TargetedSuccess, CaptionSuccess, TriggerSurvival, RemovedPoison,
        SafeSet, LinearHead, LinearProbe, TrainedProbe, Retrieval, ContrastiveLoss,
        Captioning,
    ),
)  # fmt: skip
AnyEvaluator = Annotated[Evaluator, EVALUATORS]

__all__ = [
    "CAPTIONERS",
    "EVALUATORS",
    "AnyCaptioner",
    "AnyEvaluator",
    "AttackSuccess",
    "AttackSuccessByClass",
    "CaptionSuccess",
    "Captioner",
    "Captioning",
    "Context",
    "ContrastiveLoss",
    "Evaluation",
    "Evaluator",
    "HeldOut",
    "LabeledImages",
    "LinearHead",
    "LinearProbe",
    "Look",
    "RemovedPoison",
    "Retrieval",
    "RetrievalCaptioner",
    "SafeSet",
    "TargetedSuccess",
    "TrainedProbe",
    "TriggerSurvival",
    "ZeroShot",
    "looks_of",
    "names_of",
    "others_of",
]
