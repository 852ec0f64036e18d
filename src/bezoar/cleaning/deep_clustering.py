"""CleanCLIP with deep clustering: the image tower also learns to tell groups of pictures apart that it sees itself.

An ablation of "Effective Backdoor Mitigation Depends on the Pre-training Objective".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from bezoar.core.settings import settings
from bezoar.training.method import BatchSize, Count, Rate, Warmup, Weight
from bezoar.training.two_views import TwoViews

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from bezoar.data.pairs import Pairs
    from bezoar.models.clip import Clip
    from bezoar.training.batch import Batch, Features
    from bezoar.training.head import Headed
    from bezoar.training.method import Terms
    from bezoar.training.scorer import Scorer


@settings
class DeepClustering(TwoViews):
    """CleanCLIP's loss + ``deep_clustering_weight`` · cross-entropy of a linear head on the image features, whose right
    answer is the nearest of the centroids.

    Before each epoch the pictures are clustered by spherical k-means on their features, and the head begins anew.
    Learning rate and budget are those of the released command.
    """

    kind: ClassVar[str] = "deep_clustering"
    revision: ClassVar[int] = 2
    epochs: Count = 10
    batch_size: BatchSize = 64
    lr: Rate = 1e-4
    warmup_steps: Warmup = 50
    deep_clustering_weight: Weight = 5.0
    """With 0 nothing is clustered."""
    centroids: Annotated[int, Field(ge=2)] = 1000
    iterations: Count = 20
    """Rounds of k-means."""

    def check_pairs(self, pairs: Pairs) -> None:
        from bezoar.data.pairs import SharesPictures

        images = pairs.pictures if isinstance(pairs, SharesPictures) else len(pairs)
        if self.deep_clustering_weight and self.centroids > images:
            raise ValueError(f"centroids: {self.centroids} clusters are more than the {images} images there are")

    def build(self, model: Clip, pairs: Pairs, seed: int) -> Headed:
        import torch

        from bezoar.training.head import Headed

        state = Headed(model, len(pairs), self.centroids, seed)
        state.register_buffer("centroids", torch.zeros_like(state.head.weight))
        return state

    def begin_epoch(self, state: Any, epoch: int, scorer: Scorer) -> None:
        """Cluster the pictures as the model sees them now, without augmentation, and begin a new head."""
        import torch

        from bezoar.core.seeds import torch_generator

        if self.deep_clustering_weight:
            images = scorer.images()
            order = torch.randperm(len(images), generator=torch_generator(state.seed, "centroids", epoch))
            start = images[order[: self.centroids]].to(state.centroids)
            state.centroids.copy_(scorer.peers.led(lambda: self._clustered(images, start)))
            state.begin_head(epoch)

    def renewed(self, state: Headed) -> Sequence[nn.Parameter]:
        return tuple(state.head.parameters()) if self.deep_clustering_weight else ()

    def loss(self, state: Any, features: Features, batch: Batch) -> Terms:
        """``contrastive``, ``in_modal_image``, ``in_modal_text`` and ``deep_clustering``, each with its weight."""
        from torch.nn import functional as F

        from bezoar.training.spherical_k_means import nearest

        terms = super().loss(state, features, batch)
        if not self.deep_clustering_weight:
            return terms
        image = features.images[0].own
        clustering = F.cross_entropy(state.head(image), nearest(image.detach(), state.centroids))
        return {**terms, "deep_clustering": self.deep_clustering_weight * clustering}

    def _clustered(self, images: Tensor, start: Tensor) -> Tensor:
        from bezoar.training.spherical_k_means import spherical_k_means

        return spherical_k_means(images, start, self.iterations).cpu()
