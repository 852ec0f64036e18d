"""SimSiam's loss by loops, its range, and what it leaves without a gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bezoar.core.seeds import torch_generator
from bezoar.losses import simsiam


def drawn() -> list[torch.Tensor]:
    random = torch_generator(0, "simsiam")
    return [torch.randn(5, 7, generator=random).requires_grad_() for _ in range(4)]


def test_by_loops() -> None:
    p1, z1, p2, z2 = (view.detach().double().numpy() for view in drawn())
    cosines = []
    for predicted, target in ((p1, z2), (p2, z1)):
        each = [a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) for a, b in zip(predicted, target, strict=True)]
        cosines.append(sum(each) / 5)
    assert simsiam(*drawn()).item() == pytest.approx(-(cosines[0] + cosines[1]) / 2, rel=1e-6)


def test_nothing_flows_back_through_projections() -> None:
    views = drawn()
    torch.autograd.backward(simsiam(*views))
    assert [view.grad is not None for view in views] == [True, False, True, False]


def test_the_best_is_minus_one_and_it_stays_precise_in_half_precision() -> None:
    one = drawn()[0].detach()
    assert simsiam(one, one, 3 * one, one).item() == pytest.approx(-1)
    half = simsiam(*(view.bfloat16() for view in drawn()))
    assert half.dtype == torch.float32
