"""The state: the model and what a method adds come back whole from one state dict."""

from __future__ import annotations

import torch
from tests import tiny

from bezoar.training.state import State


def test_the_model_and_what_is_registered_are_saved_whole() -> None:
    state = State(tiny.clip(), 7)
    state.register_buffer("pool", torch.arange(3.0))
    other = State(tiny.clip(), 7)
    other.register_buffer("pool", torch.zeros(3))
    with torch.no_grad():
        state.model.tower.logit_scale.add_(1)  # type: ignore[operator]
    other.load_state_dict(state.state_dict())
    assert tiny.same(state.state_dict(), other.state_dict())
    assert (other.pairs, bool(other.training)) == (7, True)
