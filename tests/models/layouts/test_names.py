"""Names that wrappers change, the order of tensors, and where a state dict stands."""

from __future__ import annotations

import pytest
import torch

from bezoar.models.architecture import on_meta
from bezoar.models.compared import registered
from bezoar.models.layouts.names import bare, first_spot, in_openai_order, nested, order, plain, spot, tower_name

SHOWN = dict(on_meta(registered("micro-vit-32")).state_dict())


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("module.visual.proj", "visual.proj"),
        ("_orig_mod.module.visual.proj", "visual.proj"),
        ("module.visual._orig_mod.proj", "visual.proj"),
        ("module", "module"),
    ],
)
def test_wrappers_are_taken_off(key: str, name: str) -> None:
    assert bare(key) == name


def test_text_names_go_both_ways() -> None:
    assert nested("transformer.resblocks.0.ln_1.bias") == "text.transformer.resblocks.0.ln_1.bias"
    assert [nested(name) for name in ("visual.transformer.x", "logit_scale")] == ["visual.transformer.x", "logit_scale"]
    assert all(plain(nested(name)) == name for name in SHOWN)


def test_what_is_no_part_of_a_tower_has_no_name() -> None:
    assert tower_name("module.projector.linear1.weight") is None
    assert tower_name("transformer.resblocks.0.attn_mask") is None


def test_the_order_tells_whose_code_it_was() -> None:
    theirs = in_openai_order(SHOWN)
    assert (order(SHOWN), order(theirs), order(sorted(SHOWN))) == ("open_clip", "openai", None)
    assert set(theirs) == set(SHOWN)
    assert [name for name in theirs if "resblocks" not in name] == [name for name in SHOWN if "resblocks" not in name]
    block = [name.rpartition("resblocks.1.")[2] for name in theirs if name.startswith("transformer.resblocks.1.")]
    assert [name.partition(".")[0] for name in block] == ["attn"] * 4 + ["ln_1"] * 2 + ["mlp"] * 4 + ["ln_2"] * 2


@pytest.mark.parametrize("path", [(), ("state_dict",), ("model",), ("model_state_dict",)])
def test_a_state_dict_is_found_where_training_puts_it(path: tuple[str, ...]) -> None:
    found = first_spot({path[0]: SHOWN} if path else SHOWN, tower_name)
    assert found is not None
    assert found.path == path


def test_one_tensor_under_two_names_is_refused() -> None:
    twice = {**SHOWN, "module.visual.proj": SHOWN["visual.proj"]}
    with pytest.raises(ValueError, match=r"visual\.proj twice: as visual\.proj and as module\.visual\.proj"):
        spot(twice, (), tower_name)


def test_what_is_left_is_grouped() -> None:
    found = spot({**SHOWN, "head.a": torch.empty(1), "head.b": torch.empty(1), "note": "x"}, (), tower_name)
    assert found is not None
    assert found.unused == ("head.*",)


def test_counters_that_old_files_lack_are_made() -> None:
    shown = dict(on_meta(registered("RN50")).state_dict())
    old = {name: tensor for name, tensor in shown.items() if not name.endswith("num_batches_tracked")}
    found = spot(old, (), tower_name)
    assert found is not None
    assert found.tensors(old).keys() == shown.keys()
