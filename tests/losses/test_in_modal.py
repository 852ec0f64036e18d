"""The in-modal term against loops over the formula, and against the symmetric loss it is half of."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bezoar.core.seeds import torch_generator
from bezoar.losses import in_modal, info_nce


def unit(n: int, d: int, name: str, dtype: torch.dtype = torch.float64) -> Tensor:
    drawn = torch.randn(n, d, generator=torch_generator(0, "in_modal", name, n, d), dtype=torch.float64)
    return F.normalize(drawn, dim=1).to(dtype)


def by_loops(views: Tensor, others: Tensor, scale: float) -> float:
    total = 0.0
    for i, view in enumerate(views.double().tolist()):
        logits = [scale * sum(a * b for a, b in zip(view, other, strict=True)) for other in others.double().tolist()]
        total -= math.log(math.exp(logits[i]) / sum(math.exp(logit) for logit in logits))
    return total / len(views)


@pytest.mark.parametrize("n", [2, 3, 7])
@pytest.mark.parametrize("scale", [0.0, 1.0, 14.3, 100.0])
def test_equals_the_loops(n: int, scale: float) -> None:
    views, others = unit(n, 5, "views"), unit(n, 5, "others")
    assert in_modal(views, others, torch.tensor(scale)).item() == pytest.approx(by_loops(views, others, scale))


def test_goes_one_way_and_both_ways_make_the_symmetric_loss() -> None:
    views, others, scale = unit(6, 4, "views"), unit(6, 4, "others"), torch.tensor(10.0)
    forth, back = in_modal(views, others, scale), in_modal(others, views, scale)
    assert not torch.isclose(forth, back)
    torch.testing.assert_close((forth + back) / 2, info_nce(views, others, scale))


def test_other_originals_are_no_negatives() -> None:
    """Pair 0's share of the loss does not see the other originals."""
    others, scale = unit(3, 4, "others"), torch.tensor(10.0, dtype=torch.float64)
    views = unit(3, 4, "views").requires_grad_()
    swapped = torch.cat([views[:1], others[1:]])
    (gradient,) = torch.autograd.grad(in_modal(views, others, scale), views)
    (after,) = torch.autograd.grad(in_modal(swapped, others, scale), views)
    torch.testing.assert_close(gradient[0], after[0])


def test_gradient_is_that_of_finite_differences() -> None:
    views, others = unit(4, 3, "views").requires_grad_(), unit(4, 3, "others").requires_grad_()
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(in_modal, (views, others, scale))


def test_a_batch_of_one_has_nothing_to_confuse() -> None:
    assert in_modal(unit(1, 8, "views"), unit(1, 8, "others"), torch.tensor(100.0)).item() == 0


def test_order_of_the_pairs_moves_gradients_along_and_leaves_the_loss() -> None:
    order, scale = torch.tensor([3, 0, 4, 1, 2]), torch.tensor(5.0, dtype=torch.float64)
    views, others = unit(5, 4, "views").requires_grad_(), unit(5, 4, "others").requires_grad_()
    moved_views, moved_others = views.detach()[order].requires_grad_(), others.detach()[order].requires_grad_()
    loss, moved_loss = in_modal(views, others, scale), in_modal(moved_views, moved_others, scale)
    torch.testing.assert_close(loss, moved_loss)
    gradients = torch.autograd.grad(loss, (views, others))
    moved_gradients = torch.autograd.grad(moved_loss, (moved_views, moved_others))
    for gradient, moved_gradient in zip(gradients, moved_gradients, strict=True):
        torch.testing.assert_close(gradient[order], moved_gradient)


def test_autocast_does_not_touch_the_logits() -> None:
    views, others = unit(16, 32, "views", torch.float32), unit(16, 32, "others", torch.float32)
    scale = torch.tensor(100.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = in_modal(views, others, scale)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, in_modal(views, others, scale))


@pytest.mark.parametrize(
    ("views", "others", "scale"),
    [((3, 4), (2, 4), ()), ((3, 4), (3, 5), ()), ((4,), (4,), ()), ((3, 4), (3, 4), (1,))],
)
def test_odd_shapes_are_a_bug_of_the_caller(
    views: tuple[int, ...], others: tuple[int, ...], scale: tuple[int, ...]
) -> None:
    with pytest.raises(AssertionError):
        in_modal(torch.zeros(views), torch.zeros(others), torch.ones(scale))
