"""Features far apart, as those of an untrained tower are not, and what a method makes of them, in plain numbers."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from tests import tiny
from torch.nn import functional as F

from bezoar.core.rows import rows
from bezoar.core.seeds import torch_generator
from bezoar.core.settings import Family
from bezoar.pretraining import METHODS
from bezoar.training.batch import Batch, Features
from bezoar.training.method import Method

FAMILY = Family("method", Method, METHODS)
SCALE = tiny.clip().scale.item()


def drawn(views: int = 2) -> Features:
    """Of six pairs, under one view or two of each modality."""
    random = torch_generator(0, "by hand")
    four = [rows(F.normalize(torch.randn(6, 5, generator=random), dim=1)) for _ in range(4)]
    return Features(images=tuple(four[:views]), texts=tuple(four[2 : 2 + views]))


def terms(method: Method) -> dict[str, float]:
    """The terms of the drawn features, as many views as the method's pass has."""
    state = method.build(tiny.clip(), tiny.data().pairs, 0)
    (whole,) = method.passes(state, 0)
    given = drawn(len(whole.image_views))
    nothing = Batch(ids=(), indices=torch.arange(0), everybody=torch.arange(0), images=(), texts=())
    return {name: term.item() for name, term in whole.loss(state, given, nothing).items()}


def matrices() -> list[NDArray[np.float64]]:
    """Pictures, their views, captions, their views."""
    return [view.own.double().numpy() for modality in (drawn().images, drawn().texts) for view in modality]


def find(queries: NDArray[np.float64], keys: NDArray[np.float64], scale: float = SCALE) -> float:
    """How hard it is for the queries to find their keys: CE(s Q Kᵗ, 1…n)."""
    return float(np.mean([np.log(np.exp(scale * keys @ q).sum()) - scale * keys[i] @ q for i, q in enumerate(queries)]))
