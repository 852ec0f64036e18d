"""Metrics: scores, labels and pictures → numbers, with intervals. Importing this does not import torch."""

from bezoar.metrics.cider import cider
from bezoar.metrics.image_quality import linf, psnr, ssim
from bezoar.metrics.intervals import Interval, paired_difference, student_t, unpaired_difference, wilson
from bezoar.metrics.ranks import choices, rank_of, within
from bezoar.metrics.retrieval import RetrievalRanks, recall, retrieval_ranks
from bezoar.metrics.separation import auroc
from bezoar.metrics.shares import accuracy, attack_success, destroyed, pooled, takes

__all__ = [
    "Interval",
    "RetrievalRanks",
    "accuracy",
    "attack_success",
    "auroc",
    "choices",
    "cider",
    "destroyed",
    "linf",
    "paired_difference",
    "pooled",
    "psnr",
    "rank_of",
    "recall",
    "retrieval_ranks",
    "ssim",
    "student_t",
    "takes",
    "unpaired_difference",
    "wilson",
    "within",
]
