"""What every source of data looks like: pairs of image and caption, and labeled images, both with stable string ids."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from bezoar.core.progress import Listener, silent
from bezoar.core.settings import Settings, settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]


@runtime_checkable
class Images(Protocol):
    """Indexable images with stable ids."""

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with the content; the same source has the same fingerprint."""
        ...

    def __len__(self) -> int: ...

    def id(self, index: int) -> str:
        """The id of image ``index``; unique in its source and stable from run to run."""
        ...

    def image(self, index: int) -> Pixels:
        """The picture at its native size: uint8 RGB of shape ``(height, width, 3)``."""
        ...


@runtime_checkable
class Pairs(Images, Protocol):
    """Indexable image–caption pairs with stable string ids."""

    def caption(self, index: int) -> str:
        """The caption as it stands in the source; never empty."""
        ...


@runtime_checkable
class LabeledSet(Images, Protocol):
    """Images with one class each, for zero-shot classification."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the labels."""
        ...

    @property
    def templates(self) -> tuple[str, ...]:
        """The set's own prompt templates, ``{c}`` for the class name; empty where it has none."""
        ...

    def label(self, index: int) -> int:
        """Index of the image's class in ``classes``."""
        ...


@runtime_checkable
class Shrinkable(Protocol):
    """Images that can be had smaller than they are for less work: what training reads, evaluation does not."""

    def shrunk(self, index: int, least: int) -> Pixels:
        """The picture, perhaps already smaller; its shorter side is at least ``least``, or what it always was."""
        ...


@runtime_checkable
class Findable(Protocol):
    """Images that find ids without looking at each."""

    def find(self, ids: Collection[str]) -> dict[str, int]:
        """Where each of ``ids`` stands, of those that are here."""
        ...


@runtime_checkable
class PartOf(Protocol):
    """Some images of others, under their ids."""

    @property
    def whole(self) -> Images:
        """Those others."""
        ...


@runtime_checkable
class SharesPictures(Protocol):
    """Pairs some of which show one picture, as the five captions of a photograph do."""

    @property
    def pictures(self) -> int:
        """How many pictures there are."""
        ...

    def picture(self, index: int) -> int:
        """The number of the picture that pair ``index`` shows."""
        ...

    def first(self, picture: int) -> int:
        """The first pair that shows ``picture``."""
        ...


@dataclass(frozen=True, kw_only=True)
class Skips:
    """What of a source was passed over, and why."""

    rows: int
    """Rows or files that the source has."""
    reasons: Mapping[str, int]
    """How many were passed over for each reason."""
    listed: str | None
    """A CSV file that names each of them."""

    @property
    def count(self) -> int:
        """How many were passed over."""
        return sum(self.reasons.values())


@runtime_checkable
class Checked(Protocol):
    """Images from a source in which some may have been passed over."""

    @property
    def skips(self) -> Skips: ...


@settings
class Source(Settings):
    """Where images come from."""

    def ingest(self, listen: Listener = silent) -> None:
        """What must be done once before ``open`` is quick; ``open`` does it too, without telling."""

    def open(self) -> Images:
        """The images; raises ``ValueError`` when the source is missing or malformed."""
        raise NotImplementedError

    def notes(self) -> tuple[str, ...]:
        """What must be said beside every number that rests on the source: whole sentences."""
        return ()


@settings
class PairsSource(Source):
    """Where pairs come from; its verb is ``open``."""

    def open(self) -> Pairs:
        """The pairs; raises ``ValueError`` when the source is missing or malformed."""
        raise NotImplementedError


@settings
class LabeledSource(Source):
    """Where a labeled set comes from; its verb is ``open``."""

    def open(self) -> LabeledSet:
        """The labeled set; raises ``ValueError`` when the source is missing or malformed."""
        raise NotImplementedError


def places_of(images: Images, ids: Collection[str]) -> dict[str, int]:
    """Where each of ``ids`` stands among ``images``, of those that are there; no picture is read."""
    if isinstance(images, Findable):
        return images.find(ids)
    wanted = set(ids)
    return {found: index for index in range(len(images)) if (found := images.id(index)) in wanted}


def check_caption(caption: object, source: str, pair_id: str) -> str:
    """``caption`` if it is a string with something in it, else a ``ValueError`` that names source, id and value."""
    if not isinstance(caption, str) or not caption.strip():
        raise ValueError(f"{source}: caption of pair '{pair_id}' must be a non-empty string, got {caption!r}")
    return caption


def class_index(name: str, classes: tuple[str, ...], field: str = "target") -> int:
    """The index of class ``name``; raises ``ValueError`` with the nearest name."""
    import difflib

    from bezoar.core.settings import nearest

    if name not in classes:
        # The nearest of all, the first few of which are shown.
        shown = dict.fromkeys([*difflib.get_close_matches(name, classes, n=1), *classes[:40]])
        more = f" and {len(classes) - len(shown)} more" if len(classes) > len(shown) else ""
        raise ValueError(f"{field}: '{name}' is not a class{nearest(name, shown)}{more}")
    return classes.index(name)
