"""The momentum iterative attack by loops, inside its bound, and up the gradient."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bezoar.core.seeds import torch_generator
from bezoar.training.adversarial import adversarial


def drawn(count: int = 2, seed: int = 0) -> tuple[Tensor, Tensor]:
    random = torch_generator(seed, "adversarial")
    one, other = (torch.randint(0, 256, (count, 3, 4, 4), generator=random, dtype=torch.uint8) for _ in range(2))
    return one, other


def rise(views: tuple[Tensor, ...]) -> Tensor:
    """Smooth, of both views, and with a gradient that changes its sign on the way."""
    return sum((torch.sin(view / 7).sum() + (view * view.roll(1, 0)).sum() / 900 for view in views), torch.zeros(()))


@pytest.mark.parametrize("step", [0.05, 0.004])
def test_by_loops(step: float) -> None:
    views = drawn()
    found = adversarial(views, rise, steps=5, decay=0.9, step=step, bound=0.0125)
    now, momenta = [view.clone().double() for view in views], [torch.zeros(2, 3, 4, 4).double() for _ in views]
    for _ in range(5):
        asked = [view.clone().requires_grad_() for view in now]
        slopes = torch.autograd.grad(rise(tuple(asked)), asked)
        for which, slope in enumerate(slopes):
            for picture in range(2):
                mean = float(slope[picture].abs().mean())
                momenta[which][picture] = 0.9 * momenta[which][picture] + slope[picture] / mean
                for channel in range(3):
                    values = views[which][picture, channel].double()
                    span = float(values.max() - values.min())
                    moved = now[which][picture, channel] + step * span * momenta[which][picture, channel].sign()
                    inside = moved.clamp(values - 0.0125 * span, values + 0.0125 * span)
                    now[which][picture, channel] = inside.clamp(0, 255)
    for one, expected in zip(found, now, strict=True):
        torch.testing.assert_close(one.double(), expected, rtol=0, atol=1e-3)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 99), bound=st.floats(0.001, 0.5), step=st.floats(0.001, 0.5), steps=st.integers(0, 4),
)  # fmt: skip
def test_it_stays_inside_its_bound(seed: int, bound: float, step: float, steps: int) -> None:
    views = drawn(seed=seed)
    found = adversarial(views, rise, steps=steps, decay=0.9, step=step, bound=bound)
    for view, changed in zip(views, found, strict=True):
        span = (view.amax((2, 3)) - view.amin((2, 3))).float()[..., None, None]
        assert ((changed - view.float()).abs() <= bound * span + 1e-3).all()
        assert changed.min() >= 0
        assert changed.max() <= 255
        assert bool((changed == view).all()) == (steps == 0)


def test_it_climbs_without_gradient_around_it() -> None:
    views = drawn()
    with torch.no_grad():
        found = adversarial(views, rise, steps=5, decay=0.9, step=0.05, bound=0.0125)
        assert rise(found) > rise(tuple(view.float() for view in views))
    assert not any(view.requires_grad for view in found)


def test_gradients_that_would_be_zeros_in_fp16() -> None:
    """A loss whose way leads through fp16, as under autocast: most of its gradient is below the least number there."""
    views = drawn()

    def small(given: tuple[Tensor, ...]) -> Tensor:
        return sum((1e-9 * rise((view.half().float(),)) for view in given), torch.zeros(()))

    found = adversarial(views, small, steps=1, decay=0.9, step=0.05, bound=0.0125)
    expected = adversarial(views, rise, steps=1, decay=0.9, step=0.05, bound=0.0125)
    for one, other in zip(found, expected, strict=True):
        assert (one == other).float().mean() > 0.9


def test_gradients_that_are_not_finite_count_as_none() -> None:
    views, calls = drawn(), list[int]()

    def broken(given: tuple[Tensor, ...]) -> Tensor:
        calls.append(1)
        never = (given[0][1] - given[0][1]).sqrt().sum() if len(calls) == 1 else torch.zeros(())
        return rise(given) + never + float("inf") * given[1][0, 0, 0, 0]

    one, other = adversarial(views, broken, steps=2, decay=0.9, step=0.05, bound=0.0125)
    assert not torch.equal(one[1], views[0][1].float())  # in the second step
    assert other[0, 0, 0, 0] == views[1][0, 0, 0, 0]
    assert not torch.equal(other[0], views[1][0].float())
