"""What DeCLIP trains beside the towers: a projector and a predictor of pictures, a guesser of words, a text queue."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from bezoar.core.seeds import stream_seed, torch_generator
from bezoar.models.heads import lacking, parts, take_up
from bezoar.models.words import mask_of, ordinary, text_tower
from bezoar.training.head import width_of
from bezoar.training.pool import Pool, PoolEnd, PoolStart
from bezoar.training.state import State

if TYPE_CHECKING:
    from bezoar.models.clip import Clip

_said: set[str] = set()


class Projector(nn.Module):
    """SimSiam's projection: three linear layers with batch normalization, ReLU after the first two."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.linear1, self.bn1 = nn.Linear(width, hidden), nn.BatchNorm1d(hidden)
        self.linear2, self.bn2 = nn.Linear(hidden, hidden), nn.BatchNorm1d(hidden)
        self.linear3, self.bn3 = nn.Linear(hidden, hidden), nn.BatchNorm1d(hidden)

    def forward(self, features: Tensor) -> Tensor:
        first = torch.relu(self.bn1(self.linear1(features)))
        second = torch.relu(self.bn2(self.linear2(first)))
        found: Tensor = self.bn3(self.linear3(second))
        return found


class Predictor(nn.Module):
    """SimSiam's prediction: a bottleneck of two linear layers."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.linear1, self.bn1 = nn.Linear(width, hidden), nn.BatchNorm1d(hidden)
        self.layer2 = nn.Linear(hidden, width)

    def forward(self, projected: Tensor) -> Tensor:
        found: Tensor = self.layer2(torch.relu(self.bn1(self.linear1(projected))))
        return found


class DeclipHeads(nn.Module):
    """The heads of DeCLIP's losses under the names of its code, so that its checkpoints go on where they were."""

    mask: nn.Parameter | None
    """What stands for a masked word, ``[width]``, where the text tower has no token for it."""

    def __init__(self, model: Clip, width: int, hidden: int, bottleneck: int) -> None:
        """``width``: of the features of ``model``."""
        super().__init__()
        self.projector = Projector(width, hidden)
        self.predictor = Predictor(hidden, bottleneck)
        words = text_tower(model).token_embedding
        self.text_label_predictor = nn.Linear(text_tower(model).ln_final.normalized_shape[0], words.num_embeddings)
        own = mask_of(model) is None
        # As tokens begin.
        self.register_parameter("mask", nn.Parameter(0.02 * torch.randn(words.embedding_dim)) if own else None)


def say_anew(model: Clip, hidden: int, bottleneck: int, where: str = "model") -> None:
    """Warn, once a process, of heads that begin anew though there is a model to begin with: one with weights that were
    read from somewhere, or with heads."""
    width = width_of(model)
    with torch.device("meta"):
        heads = DeclipHeads(model, width, hidden, bottleneck)
    brought = model.heads.state_dict()
    anew = lacking(heads, brought)
    if not anew or not (brought or model.source):
        return
    found = ", ".join(parts(brought)) or "nothing"
    line = (
        f"{where}: {model.source or model.title}: what it has beside its towers ({found}) does not hold "
        f"{', '.join(anew)} as DeCLIP's loss needs it; begun anew"
    )
    if line not in _said:
        _said.add(line)
        logging.getLogger(__name__).warning(line)


class Declip(State):
    """A model with DeCLIP's heads, which go along with it, and the captions it has lately seen."""

    words: Tensor
    """The tokens that are words or parts of words."""

    def __init__(
        self, model: Clip, pairs: int, seed: int, *, hidden: int, bottleneck: int, queue: int, start: PoolStart,
        end: PoolEnd,
    ) -> None:  # fmt: skip
        super().__init__(model, pairs)
        self.seed, width = seed, width_of(model)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(stream_seed(seed, "declip heads"))
            heads = DeclipHeads(model, width, hidden, bottleneck)
        take_up(heads, model.heads.state_dict())
        model.heads = heads
        self.queue = Pool(queue, width, generator=torch_generator(seed, "text queue"), start=start, end=end)
        self.register_buffer("words", ordinary(model), persistent=False)

    @property
    def heads(self) -> DeclipHeads:
        """Those of the model."""
        heads = self.model.heads
        assert isinstance(heads, DeclipHeads)
        return heads

    @property
    def mask(self) -> Tensor:
        """What stands for a masked word: of the tower where it has one, else of the heads."""
        own = mask_of(self.model)
        if own is not None:
            return own
        assert self.heads.mask is not None
        return self.heads.mask
