"""CleanCLIP with pseudo-labels: the image tower also learns what another model takes the pictures for.

An ablation of "Effective Backdoor Mitigation Depends on the Pre-training Objective", whose labels came from SigLIP.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from bezoar.core.settings import settings
from bezoar.data.class_names import classes_of
from bezoar.training.method import BatchSize, Count, Rate, Warmup, Weight
from bezoar.training.two_views import TwoViews

if TYPE_CHECKING:
    from typing import Self

    from bezoar.data.label_file import LabelFile
    from bezoar.data.pairs import Images, Pairs
    from bezoar.models.clip import Clip
    from bezoar.training.batch import Batch, Features
    from bezoar.training.head import Headed
    from bezoar.training.method import Terms


@settings
class PseudoLabels(TwoViews):
    """CleanCLIP's loss + ``deep_clustering_weight`` · cross-entropy of a linear head on the image features with the
    label of each picture, which stands in a file and is found by the pair's id.

    ``bezoar data label`` makes the file. Learning rate and budget are those of the released command.
    """

    kind: ClassVar[str] = "pseudo_labels"
    places: ClassVar[Mapping[str, str]] = {"labels": "digest"}
    epochs: Count = 10
    batch_size: BatchSize = 64
    lr: Rate = 1e-4
    warmup_steps: Warmup = 50
    deep_clustering_weight: Weight = 5.0
    labels: str
    """A table with the columns ``id`` and ``label``: Parquet, CSV, TSV or JSON lines."""
    digest: str = ""
    """Of the file's content; a run names it so, whatever the path holds later."""
    classes: str | tuple[str, ...] = ""
    """The classes of the head: a list, a JSON or text file, or ``imagenet``, …; by default those of the file. Two of
    one name are one class."""

    def pinned(self) -> Self:
        from bezoar.core.files import file_digest
        from bezoar.data.label_file import file_of

        content = self.digest or file_digest(file_of(self.labels))
        return dataclasses.replace(self, digest=content, classes=classes_of(self.classes) or "")

    def check_pairs(self, pairs: Pairs) -> None:
        found = self._read()
        if found.source not in ("", *_fingerprints(pairs)):
            raise ValueError(
                f"labels: {self.labels} was made of other pairs ({found.source}, these are {pairs.fingerprint}): label "
                "these with 'bezoar data label'"
            )
        found.of(pairs)

    def build(self, model: Clip, pairs: Pairs, seed: int) -> Headed:
        import torch

        from bezoar.training.head import Headed

        found = self._read()
        state = Headed(model, len(pairs), len(found.classes), seed)
        state.register_buffer("labels", torch.from_numpy(found.of(pairs)))
        return state

    def loss(self, state: Any, features: Features, batch: Batch) -> Terms:
        """``contrastive``, ``in_modal_image``, ``in_modal_text`` and ``pseudo_labels``, each with its weight."""
        from torch.nn import functional as F

        labeled = F.cross_entropy(state.head(features.images[0].own), state.labels[batch.indices])
        return {**super().loss(state, features, batch), "pseudo_labels": self.deep_clustering_weight * labeled}

    def _read(self) -> LabelFile:
        from bezoar.core.files import file_digest
        from bezoar.data.label_file import file_of, read

        if self.digest and file_digest(file_of(self.labels)) != self.digest:
            raise ValueError(f"labels: {self.labels} is not the file it was: its content is not {self.digest}")
        return read(self.labels, classes_of(self.classes))


def _fingerprints(images: Images) -> list[str]:
    """Of a set, and of those that it is a part of."""
    from bezoar.data.pairs import PartOf

    found = [images.fingerprint]
    while isinstance(images, PartOf):
        images = images.whole
        found.append(images.fingerprint)
    return found
