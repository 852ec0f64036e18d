"""Labels from captions: images whose captions name one class of a list and no other."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from bezoar.core.progress import Listener, silent
from bezoar.core.settings import digest, nearest, settings
from bezoar.data.class_names import classes_of, twins, wordings_of
from bezoar.data.families import AnyPairsSource
from bezoar.data.pairs import Checked, LabeledSource, SharesPictures, Skips
from bezoar.data.words import names

if TYPE_CHECKING:
    from bezoar.data.pairs import Pairs, Pixels

NOTE = (
    "The labels are mined from captions by whole words: an image whose captions leave its class unsaid is missing, "
    "and a word may be said of something else."
)
Word = Annotated[str, Field(pattern=r"\S")]


@settings
class Mined(LabeledSource):
    """The images of which ``least`` captions name one class, and none names another; a word counts in the plural too.

    For data with captions and no labels. Each image is taken once, however many captions it has.
    """

    kind: ClassVar[str] = "mined"
    of: AnyPairsSource
    classes: str | tuple[Word, ...]
    """Class names: a list, a JSON or text file, or a list by name."""
    synonyms: dict[str, tuple[Word, ...]] = Field(default_factory=dict)
    """Other words for a class: ``{bicycle: [bike, cyclist]}``."""
    least: Annotated[int, Field(ge=1)] = 1
    """How many captions must name the class."""
    templates: str | tuple[str, ...] = ""
    """The set's own prompt templates with ``{c}``: a list, a JSON or text file, or a set by name."""

    def ingest(self, listen: Listener = silent) -> None:
        self.of.ingest(listen)

    def notes(self) -> tuple[str, ...]:
        return (NOTE, *self.of.notes())

    def open(self) -> MinedLabels:
        classes = classes_of(self.classes)
        if len(classes) < 2:
            raise ValueError(f"classes: zero-shot classification needs two classes at least, got {list(classes)}")
        if twins(classes):
            raise ValueError(f"classes: '{twins(classes)[0]}' stands twice: a caption cannot tell them apart")
        odd = next((name for name in self.synonyms if name not in classes), None)
        if odd is not None:
            raise ValueError(f"synonyms: '{odd}' is not a class{nearest(odd, classes)}")
        words = tuple((name, *self.synonyms.get(name, ())) for name in classes)
        found = MinedLabels(self.of.open(), classes, words, self.least, wordings_of(self.templates))
        if not len(found):
            raise ValueError(f"classes: no image has {self.least} captions that name one of them and no other")
        return found


class MinedLabels:
    """Images with the class that their captions name."""

    def __init__(
        self,
        pairs: Pairs,
        classes: tuple[str, ...],
        words: tuple[tuple[str, ...], ...],
        least: int,
        templates: tuple[str, ...],
    ) -> None:
        self._pairs = pairs
        self.classes, self.templates = classes, templates
        self.fingerprint = digest("mined", 1, pairs.fingerprint, words, least, templates)
        everything = tuple(word for these in words for word in these)
        shared = pairs if isinstance(pairs, SharesPictures) else None
        named: dict[int, Counter[int]] = {}
        for index in range(len(pairs)):
            text = pairs.caption(index)
            if names(text, everything):
                first = shared.first(shared.picture(index)) if shared else index
                found = (label for label, these in enumerate(words) if names(text, these))
                named.setdefault(first, Counter()).update(found)
        self._found = sorted(
            (first, label)
            for first, counts in named.items()
            for label, count in counts.items()
            if len(counts) == 1 and count >= least
        )

    def __len__(self) -> int:
        return len(self._found)

    def id(self, index: int) -> str:
        return self._pairs.id(self._found[index][0])

    def image(self, index: int) -> Pixels:
        return self._pairs.image(self._found[index][0])

    def label(self, index: int) -> int:
        return self._found[index][1]

    @property
    def skips(self) -> Skips:
        """What was passed over of the pairs; images without a class are no skips."""
        return self._pairs.skips if isinstance(self._pairs, Checked) else Skips(rows=len(self), reasons={}, listed=None)
