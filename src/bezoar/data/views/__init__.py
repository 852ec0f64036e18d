"""Image views: random changes of a picture, each a pure function of the picture and a seed."""

from typing import Annotated

from bezoar.core.settings import Family
from bezoar.data.views.auto_augment import AutoAugment
from bezoar.data.views.base import ImageView
from bezoar.data.views.light import Light
from bezoar.data.views.moco import Moco
from bezoar.data.views.moco_noise import MocoNoise
from bezoar.data.views.plain import Plain
from bezoar.data.views.rand_augment import RandAugment
from bezoar.data.views.simclr import SimClr

IMAGE_VIEWS = Family(
    "image view",
    ImageView,
    (
        AutoAugment,
        Light,
        Moco,
        MocoNoise,
        Plain,
        RandAugment,
        SimClr,
    ),
)

AnyImageView = Annotated[ImageView, IMAGE_VIEWS]

__all__ = [
    "IMAGE_VIEWS",
    "AnyImageView",
    "AutoAugment",
    "ImageView",
    "Light",
    "Moco",
    "MocoNoise",
    "Plain",
    "RandAugment",
    "SimClr",
]
