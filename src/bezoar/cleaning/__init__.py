"""Cleaning methods, one file each."""

from bezoar.cleaning.adp import ADP
from bezoar.cleaning.cleanclip import CleanCLIP
from bezoar.cleaning.declip_cleanclip import DeclipCleanCLIP
from bezoar.cleaning.declip_finetune import DeclipFinetune
from bezoar.cleaning.deep_clustering import DeepClustering
from bezoar.cleaning.finetune import Finetune
from bezoar.cleaning.in_modal import InModalCleaning
from bezoar.cleaning.nad import NAD
from bezoar.cleaning.progressive import Progressive
from bezoar.cleaning.pseudo_labels import PseudoLabels
from bezoar.cleaning.supervised import Supervised
from bezoar.cleaning.unlearn import Unlearn
from bezoar.training.method import Method

METHODS: tuple[type[Method], ...] = (
    Finetune, InModalCleaning, CleanCLIP, Supervised, Unlearn, Progressive, DeepClustering, PseudoLabels, NAD,
    ADP, DeclipFinetune, DeclipCleanCLIP,
)  # fmt: skip

__all__ = [
    "ADP",
    "METHODS",
    "NAD",
    "CleanCLIP",
    "DeclipCleanCLIP",
    "DeclipFinetune",
    "DeepClustering",
    "Finetune",
    "InModalCleaning",
    "Progressive",
    "PseudoLabels",
    "Supervised",
    "Unlearn",
]
