"""Files that hold weights, looked at and read so that nothing in them is ever executed."""

from bezoar.models.reading.beside import Beside
from bezoar.models.reading.skim import Part, Skim, skim
from bezoar.models.reading.weights import read

__all__ = ["Beside", "Part", "Skim", "read", "skim"]
