"""Where on an image a patch is put, one file each."""

from bezoar.attacks.families import PLACES, AnyPlace
from bezoar.attacks.place import Place
from bezoar.attacks.places.at import At
from bezoar.attacks.places.center import Center
from bezoar.attacks.places.corner import Corner
from bezoar.attacks.places.four_corners import FourCorners
from bezoar.attacks.places.random import Random

PLACES.add(Random, Center, Corner, FourCorners, At)

__all__ = ["PLACES", "AnyPlace", "At", "Center", "Corner", "FourCorners", "Place", "Random"]
