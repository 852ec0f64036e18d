"""The view that changes nothing."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bezoar.data.views.plain import Plain

relaxed = settings(deadline=None)


@relaxed
@given(seed=st.integers(0, 2**63 - 1))
def test_the_picture_comes_back(seed: int) -> None:
    image = torch.arange(48, dtype=torch.uint8).reshape(3, 4, 4)
    assert torch.equal(Plain().apply(image, seed), torch.arange(48, dtype=torch.uint8).reshape(3, 4, 4))
