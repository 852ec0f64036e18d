"""CleanCLIP's ``finetune.pt``: the model inside the classifier."""

from __future__ import annotations

import pytest
import torch
from tests import foreign
from torch import Tensor

from bezoar.models.layouts import find
from bezoar.models.layouts.supervised import Supervised
from bezoar.models.reading import Beside


def tree(seed: int = 3) -> dict[str, dict[str, Tensor]]:
    head = {"linear.weight": torch.ones(10, 64), "linear.bias": torch.ones(10)}
    return {"state_dict": head | foreign.weights(foreign.victim(seed), "model.")}


def test_the_model_is_found_and_the_classifier_named() -> None:
    tower = find(tree(), Beside(), "finetune.pt")
    own = foreign.weights(foreign.victim())
    assert (tower.layout, tower.unused, tower.config) == ("supervised", ("linear.*",), foreign.victim().config)
    assert tower.weights.keys() == own.keys()
    assert all(torch.equal(tensor, tower.weights[name]) for name, tensor in own.items())


def test_without_a_classifier_it_is_something_else() -> None:
    state = {name: tensor for name, tensor in tree()["state_dict"].items() if not name.startswith("linear.")}
    with pytest.raises(ValueError, match="no image-text model"):
        find({"state_dict": state}, Beside(), "x")


def test_a_tower_goes_back_under_its_classifier() -> None:
    old, new = tree(), foreign.victim(seed=5)
    back = Supervised().put(new, old)["state_dict"]
    assert torch.equal(back["linear.weight"], torch.ones(10, 64))
    assert all(torch.equal(back[f"model.{name}"], tensor) for name, tensor in new.tower.state_dict().items())


def test_none_is_written_afresh() -> None:
    with pytest.raises(ValueError, match="holds a classifier too"):
        Supervised().check(foreign.victim())
