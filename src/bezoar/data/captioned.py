"""Captions from labels: a labeled set made into pairs by sentences with the name of the class in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import BeforeValidator

from bezoar.core.progress import Listener, silent
from bezoar.core.seeds import python_random
from bezoar.core.settings import digest, settings
from bezoar.data.class_names import wordings_of
from bezoar.data.families import LABELED_SOURCES, AnyLabeledSource
from bezoar.data.pairs import Checked, LabeledSource, PairsSource, Skips
from bezoar.data.prompts import fill

if TYPE_CHECKING:
    from bezoar.data.pairs import LabeledSet, Pixels

NOTE = (
    "The captions are templates filled with class names: closed-set supervision by labels, far easier than captions "
    "that people wrote."
)
WORDING = ("{c}",)
"""The template of captions that are class names."""


@settings
class Captioned(PairsSource):
    """Each image of a labeled set with one of the templates, drawn by its id, filled with the name of its class."""

    kind: ClassVar[str] = "captioned"
    of: AnyLabeledSource
    templates: str | tuple[str, ...] = "openai"
    """Sentences with ``{c}``: a list, a JSON or text file, or a set by name."""
    seed: int = 0

    def ingest(self, listen: Listener = silent) -> None:
        self.of.ingest(listen)

    def notes(self) -> tuple[str, ...]:
        return (NOTE, *self.of.notes())

    def open(self) -> CaptionedLabels:
        wordings = wordings_of(self.templates)
        if not wordings:
            raise ValueError("templates: need at least one template, or a name")
        return CaptionedLabels(self.of.open(), wordings, self.seed)


def _typed(given: object) -> object:
    """A word as on the command line, where a path may stand for the kind of source it is."""
    return LABELED_SOURCES.parse_text(given) if isinstance(given, str) else given


@settings
class LabelPairs(PairsSource):
    """A labeled set as pairs whose captions are the names of the classes, for what learns or poisons labels."""

    kind: ClassVar[str] = "labels"
    shorthand: ClassVar[str] = "of"
    of: Annotated[LabeledSource, LABELED_SOURCES, BeforeValidator(_typed)]
    """A labeled set; a path alone will do."""

    def ingest(self, listen: Listener = silent) -> None:
        self.of.ingest(listen)

    def notes(self) -> tuple[str, ...]:
        return self.of.notes()

    def open(self) -> CaptionedLabels:
        return CaptionedLabels(self.of.open(), WORDING, Captioned.seed)


class CaptionedLabels:
    """A labeled set as pairs."""

    def __init__(self, labeled: LabeledSet, wordings: tuple[str, ...], seed: int) -> None:
        self._labeled, self._wordings, self._seed = labeled, wordings, seed
        self.fingerprint = digest("captioned", 1, labeled.fingerprint, wordings, seed)

    def __len__(self) -> int:
        return len(self._labeled)

    def id(self, index: int) -> str:
        return self._labeled.id(index)

    def image(self, index: int) -> Pixels:
        return self._labeled.image(index)

    def caption(self, index: int) -> str:
        wording = python_random(self._seed, "captioned", self.id(index)).choice(self._wordings)
        return fill(wording, self._labeled.classes[self._labeled.label(index)])

    @property
    def skips(self) -> Skips:
        """What was passed over of the labeled set."""
        if isinstance(self._labeled, Checked):
            return self._labeled.skips
        return Skips(rows=len(self), reasons={}, listed=None)
