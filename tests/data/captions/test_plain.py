"""The view that changes nothing."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from bezoar.data.captions.plain import Plain

relaxed = settings(deadline=None)


@relaxed
@given(caption=st.text(), seed=st.integers(0, 2**63 - 1))
def test_the_caption_comes_back(caption: str, seed: int) -> None:
    assert Plain().apply(caption, seed) == caption
