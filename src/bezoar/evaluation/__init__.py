"""Evaluators, one file each."""

from typing import Annotated

from bezoar.core.settings import Family
from bezoar.evaluation.attack_success import AttackSuccess
from bezoar.evaluation.base import Context, Evaluation, Evaluator, HeldOut, LabeledImages, Look, looks_of, names_of
from bezoar.evaluation.retrieval import Retrieval
from bezoar.evaluation.zero_shot import ZeroShot

EVALUATORS = Family("evaluator", Evaluator, (ZeroShot, AttackSuccess, Retrieval))
AnyEvaluator = Annotated[Evaluator, EVALUATORS]

__all__ = [
    "EVALUATORS",
    "AnyEvaluator",
    "AttackSuccess",
    "Context",
    "Evaluation",
    "Evaluator",
    "HeldOut",
    "LabeledImages",
    "Look",
    "Retrieval",
    "ZeroShot",
    "looks_of",
    "names_of",
]
