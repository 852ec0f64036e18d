"""A part of a source: some of its pairs or labeled images, the same ones every time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from bezoar.core.progress import Listener, silent
from bezoar.core.seeds import torch_generator
from bezoar.core.settings import digest, settings
from bezoar.data.families import AnyLabeledSource, AnyPairsSource
from bezoar.data.pairs import Checked, LabeledSource, PairsSource, SharesPictures, Shrinkable, Skips, Source, places_of

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy as np
    from numpy.typing import NDArray

    from bezoar.data.pairs import Images, LabeledSet, Pairs, Pixels

    Numbers = NDArray[np.int64]

Place = Annotated[int, Field(ge=0)]


@settings
class _Cut(Source):
    """Where a part begins and ends in its source."""

    of: Source
    start: Place = 0
    stop: Place | None = None
    """The first that is left out; the end where it is not given."""
    shuffle: int | None = None
    """Seed of a shuffle before the cut."""

    def ingest(self, listen: Listener = silent) -> None:
        self.of.ingest(listen)

    def notes(self) -> tuple[str, ...]:
        return self.of.notes()


@settings
class PairsPart(_Cut, PairsSource):
    """Pairs ``start`` to ``stop`` of another source, in its order or shuffled; parts of one shuffle are disjoint."""

    kind: ClassVar[str] = "part"
    of: AnyPairsSource

    def open(self) -> PartOfPairs:
        whole = self.of.open()
        return PartOfPairs(whole, chosen(len(whole), self.start, self.stop, self.shuffle))


@settings
class LabeledPart(_Cut, LabeledSource):
    """Images ``start`` to ``stop`` of another labeled set, in its order or shuffled; its classes stay."""

    kind: ClassVar[str] = "part"
    of: AnyLabeledSource

    def open(self) -> PartOfLabels:
        whole = self.of.open()
        return PartOfLabels(whole, chosen(len(whole), self.start, self.stop, self.shuffle))


def chosen(count: int, start: int, stop: int | None, shuffle: int | None) -> Numbers:
    """Which of ``count`` are taken, ascending; raises ``ValueError`` where there are none, or not so many."""
    import numpy as np
    import torch

    end = count if stop is None else stop
    if end > count:
        raise ValueError(f"stop: {end} is more than the {count} there are")
    if start >= end:
        raise ValueError(f"start: {start} leaves nothing before {end}")
    if shuffle is None:
        return np.arange(start, end)
    order = torch.randperm(count, generator=torch_generator(shuffle, "part"))
    found: Numbers = order[start:end].sort().values.numpy()
    return found


class _Part:
    """Some images of a source, under their own ids."""

    def __init__(self, whole: Images, indices: Numbers) -> None:
        self._images, self._indices = whole, indices
        self.fingerprint = digest(whole.fingerprint, indices.tolist())

    def __len__(self) -> int:
        return len(self._indices)

    def id(self, index: int) -> str:
        return self._images.id(self._of(index))

    def find(self, ids: Collection[str]) -> dict[str, int]:
        """Where each of ``ids`` stands, of those that are here."""
        import numpy as np

        found = places_of(self._images, ids)
        places = np.searchsorted(self._indices, np.fromiter(found.values(), np.int64, len(found))).tolist()
        return {
            name: place
            for (name, inner), place in zip(found.items(), places, strict=True)
            if place < len(self) and self._of(place) == inner
        }

    @property
    def whole(self) -> Images:
        """What it is a part of."""
        return self._images

    def image(self, index: int) -> Pixels:
        return self._images.image(self._of(index))

    def _of(self, index: int) -> int:
        """Its place in the whole."""
        return int(self._indices[index])

    @property
    def skips(self) -> Skips:
        """What was passed over of the whole source."""
        if isinstance(self._images, Checked):
            return self._images.skips
        return Skips(rows=len(self._images), reasons={}, listed=None)


class PartOfPairs(_Part):
    """Some pairs of a source; those of one picture share it as they did there."""

    def __init__(self, whole: Pairs, indices: Numbers) -> None:
        import numpy as np

        super().__init__(whole, indices)
        self._pairs = whole
        shown = map(whole.picture, indices.tolist()) if isinstance(whole, SharesPictures) else indices
        _, first, numbers = np.unique(
            np.fromiter(shown, np.int64, len(indices)), return_index=True, return_inverse=True
        )
        order = np.argsort(first)
        self._first = first[order]
        self._picture = np.argsort(order)[numbers]

    @property
    def pictures(self) -> int:
        return len(self._first)

    def picture(self, index: int) -> int:
        return int(self._picture[index])

    def first(self, picture: int) -> int:
        return int(self._first[picture])

    def caption(self, index: int) -> str:
        return self._pairs.caption(self._of(index))

    def shrunk(self, index: int, least: int) -> Pixels:
        inner = self._of(index)
        return self._pairs.shrunk(inner, least) if isinstance(self._pairs, Shrinkable) else self._pairs.image(inner)


class PartOfLabels(_Part):
    """Some images of a labeled set."""

    def __init__(self, whole: LabeledSet, indices: Numbers) -> None:
        super().__init__(whole, indices)
        self._labeled = whole
        self.classes = whole.classes
        self.templates = whole.templates

    def label(self, index: int) -> int:
        return self._labeled.label(self._of(index))
