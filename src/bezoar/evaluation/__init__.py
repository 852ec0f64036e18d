"""Evaluators, one file each."""

from typing import Annotated

from bezoar.core.settings import Family
from bezoar.evaluation.attack_success import AttackSuccess
from bezoar.evaluation.base import Context, Evaluation, Evaluator, LabeledImages, names_of
from bezoar.evaluation.zero_shot import ZeroShot

EVALUATORS = Family("evaluator", Evaluator, (ZeroShot, AttackSuccess))
AnyEvaluator = Annotated[Evaluator, EVALUATORS]

__all__ = [
    "EVALUATORS",
    "AnyEvaluator",
    "AttackSuccess",
    "Context",
    "Evaluation",
    "Evaluator",
    "LabeledImages",
    "ZeroShot",
    "names_of",
]
