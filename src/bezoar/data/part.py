"""A part of a source: some of its pairs or labeled images, the same ones every time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from bezoar.core.progress import Listener, silent
from bezoar.core.seeds import torch_generator
from bezoar.core.settings import digest, settings
from bezoar.data.families import AnyLabeledSource, AnyPairsSource
from bezoar.data.pairs import Checked, LabeledSource, PairsSource, SharesPictures, Shrinkable, Skips

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bezoar.data.pairs import Images, LabeledSet, Pairs, Pixels

Place = Annotated[int, Field(ge=0)]


@settings
class PairsPart(PairsSource):
    """Pairs ``start`` to ``stop`` of another source, in its order or shuffled; parts of one shuffle are disjoint."""

    kind: ClassVar[str] = "part"
    of: AnyPairsSource
    start: Place = 0
    stop: Place | None = None
    """The first that is left out; the end where it is not given."""
    shuffle: int | None = None
    """Seed of a shuffle before the cut."""

    def ingest(self, listen: Listener = silent) -> None:
        self.of.ingest(listen)

    def notes(self) -> tuple[str, ...]:
        return self.of.notes()

    def open(self) -> PartOfPairs:
        whole = self.of.open()
        return PartOfPairs(whole, chosen(len(whole), self.start, self.stop, self.shuffle))


@settings
class LabeledPart(LabeledSource):
    """Images ``start`` to ``stop`` of another labeled set, in its order or shuffled; its classes stay."""

    kind: ClassVar[str] = "part"
    of: AnyLabeledSource
    start: Place = 0
    stop: Place | None = None
    """The first that is left out; the end where it is not given."""
    shuffle: int | None = None
    """Seed of a shuffle before the cut."""

    def ingest(self, listen: Listener = silent) -> None:
        self.of.ingest(listen)

    def notes(self) -> tuple[str, ...]:
        return self.of.notes()

    def open(self) -> PartOfLabels:
        whole = self.of.open()
        return PartOfLabels(whole, chosen(len(whole), self.start, self.stop, self.shuffle))


def chosen(count: int, start: int, stop: int | None, shuffle: int | None) -> list[int]:
    """Which of ``count`` are taken, ascending; raises ``ValueError`` where there are none, or not so many."""
    import torch

    end = count if stop is None else stop
    if end > count:
        raise ValueError(f"stop: {end} is more than the {count} there are")
    if start >= end:
        raise ValueError(f"start: {start} leaves nothing before {end}")
    if shuffle is None:
        return list(range(start, end))
    order = torch.randperm(count, generator=torch_generator(shuffle, "part"))
    found: list[int] = order[start:end].sort().values.tolist()
    return found


class _Part:
    """Some images of a source, under their own ids."""

    def __init__(self, whole: Images, indices: Sequence[int]) -> None:
        self._images, self._indices = whole, indices
        self.fingerprint = digest(whole.fingerprint, list(indices))

    def __len__(self) -> int:
        return len(self._indices)

    def id(self, index: int) -> str:
        return self._images.id(self._indices[index])

    def image(self, index: int) -> Pixels:
        return self._images.image(self._indices[index])

    @property
    def skips(self) -> Skips:
        """What was passed over of the whole source."""
        if isinstance(self._images, Checked):
            return self._images.skips
        return Skips(rows=len(self._images), reasons={}, listed=None)


class PartOfPairs(_Part):
    """Some pairs of a source; those of one picture share it as they did there."""

    def __init__(self, whole: Pairs, indices: Sequence[int]) -> None:
        super().__init__(whole, indices)
        self._pairs = whole
        self._number: dict[int, int] = {}
        self._first: list[int] = []
        self._picture: list[int] = []
        for place, index in enumerate(indices):
            picture = whole.picture(index) if isinstance(whole, SharesPictures) else index
            if picture not in self._number:
                self._number[picture] = len(self._first)
                self._first.append(place)
            self._picture.append(self._number[picture])

    @property
    def pictures(self) -> int:
        return len(self._first)

    def picture(self, index: int) -> int:
        return self._picture[index]

    def first(self, picture: int) -> int:
        return self._first[picture]

    def caption(self, index: int) -> str:
        return self._pairs.caption(self._indices[index])

    def shrunk(self, index: int, least: int) -> Pixels:
        inner = self._indices[index]
        return self._pairs.shrunk(inner, least) if isinstance(self._pairs, Shrinkable) else self._pairs.image(inner)


class PartOfLabels(_Part):
    """Some images of a labeled set."""

    def __init__(self, whole: LabeledSet, indices: Sequence[int]) -> None:
        super().__init__(whole, indices)
        self._labeled = whole
        self.classes = whole.classes
        self.templates = whole.templates

    def label(self, index: int) -> int:
        return self._labeled.label(self._indices[index])
