"""What is locked stays as it is, bit by bit, through real steps; what is not does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import open_clip
import pytest
import torch
from tests import tiny
from torch import nn

from bezoar.models.clip import Clip
from bezoar.training.locking import lock
from bezoar.training.optimizer import adamw


@dataclass(frozen=True, kw_only=True)
class Strong:
    """AdamW with decay enough to move whatever is not locked."""

    lr: float = 0.01
    weight_decay: float = 0.5
    decay_embeddings: bool = True
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8


def custom() -> Clip:
    """The micro model with its text tower in a module of its own."""
    return Clip(open_clip.create_model("micro-cnn-32", force_custom_text=True), "micro-cnn-32")


def moved(model: Clip, what: Sequence[str]) -> set[str]:
    """Everything in the tower, running statistics too, that three steps under a lock change."""
    before = {name: value.clone() for name, value in model.tower.state_dict().items()}
    locks = lock(model, what)
    optimizer = adamw(model, Strong())
    images = torch.arange(4 * 3 * 32 * 32).remainder(251).to(torch.uint8).view(4, 3, 32, 32)
    tokens = model.tokenize(["a dog", "two cats", "the sea at night", "a red roof"])
    for _ in range(3):
        model.train()
        locks.hold()
        logits = model.scale * model.encode_image(images) @ model.encode_text(tokens).T
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, torch.arange(4)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        model.eval()
    return {name for name, value in model.tower.state_dict().items() if not torch.equal(value, before[name])}


def names(model: Clip) -> set[str]:
    return set(model.tower.state_dict())


def of_image(model: Clip) -> set[str]:
    return {name for name in names(model) if name.startswith("visual.")}


@pytest.mark.parametrize("make", [tiny.clip, custom])
def test_a_locked_tower_stays_with_its_statistics(make: Callable[[], Clip]) -> None:
    model = make()
    assert any("running_mean" in name for name in of_image(model))
    assert any("num_batches_tracked" in name for name in of_image(model))
    assert moved(make(), ()) == names(model), "without a lock everything moves"
    assert moved(make(), ("image",)) == names(model) - of_image(model)
    assert moved(make(), ("text",)) == of_image(model) | {"logit_scale"}
    assert moved(make(), ("text", "logit_scale")) == of_image(model)


def test_layers_by_pattern() -> None:
    model = tiny.clip()
    blocks = {name for name in names(model) if name.startswith(("visual.trunk.stem.", "visual.trunk.blocks.0."))}
    assert len(blocks) > 15
    assert moved(model, ("visual.trunk.stem.*", "visual.trunk.blocks.0.*")) == names(model) - blocks
    embeddings = {"token_embedding.weight", "positional_embedding"}
    assert moved(tiny.clip(), ("*_embedding*",)) == names(model) - embeddings


def test_a_norm_that_is_locked_in_part_goes_on_counting() -> None:
    shift = "visual.trunk.blocks.1.bn1.bias"
    assert moved(tiny.clip(), (shift,)) == names(tiny.clip()) - {shift}
    locks = lock(tiny.clip(), ("visual.trunk.blocks.1.bn1.*", "visual.trunk.blocks.1.bn2.weight"))
    assert locks.norms == ("visual.trunk.blocks.1.bn1",)
    assert lock(tiny.clip(), ("visual.trunk.blocks.1.conv1.*",)).norms == ()
    assert lock(tiny.clip("micro-vit-32"), ("image",)).norms == (), "layer norm has no statistics"


def test_norms_are_held_that_took_the_place_of_others() -> None:
    model = tiny.clip()
    locks = lock(model, ("image",))
    model.tower = nn.SyncBatchNorm.convert_sync_batchnorm(model.tower)  # type: ignore[no-untyped-call]
    model.train()
    locks.hold()
    kinds = [module for module in model.modules() if isinstance(module, nn.SyncBatchNorm)]
    assert len(kinds) == len(locks.norms) > 10
    assert not any(norm.training for norm in kinds)
    assert model.tower.get_submodule("visual").training, "only the norms rest"


def test_released_is_as_before() -> None:
    model = tiny.clip()
    model.tower.get_parameter("text_projection").requires_grad_(False)
    locks = lock(model, ("text",))
    again = lock(model, ("text",))  # what is locked may be locked again
    assert again.names == ()
    assert "text_projection" not in locks.names
    locks.release()
    assert {name for name, one in model.tower.named_parameters() if not one.requires_grad} == {"text_projection"}
    assert lock(model, ()).names == ()


MESSAGES = [
    ("imge", r"no parameter is named 'imge'; did you mean 'image'\? \(choices: .*image, .*text, .*visual\.\*\)"),
    ("visual.trunk.blocs.0.*", r"no parameter is named '.*'; did you mean 'visual\.trunk\.blocks\.\*'\? "
     r"\(choices: visual\.trunk\.blocks\.\*, visual\.trunk\.fc\.\*, visual\.trunk\.stem\.\*\)"),
    ("visual.trunk", r"no parameter is named 'visual\.trunk'; did you mean 'visual\.trunk\.\*'\? "
     r"\(choices: visual\.trunk\.\*\)"),
    ("visual.trunk.fc.wight", r".* did you mean 'visual\.trunk\.fc\.weight'\? "
     r"\(choices: visual\.trunk\.fc\.bias, visual\.trunk\.fc\.weight\)"),
    ("logit_scale.x", r"no parameter is named 'logit_scale\.x'; did you mean 'logit_scale'\? .*"),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "message"), MESSAGES)
def test_a_name_that_nothing_has(pattern: str, message: str) -> None:
    model = tiny.clip()
    with pytest.raises(ValueError, match=rf"^lock: {message}$"):
        lock(model, ("text", pattern))
    assert all(one.requires_grad for one in model.parameters()), "nothing is locked then"


@pytest.mark.parametrize("what", [("*",), ("image", "text", "logit_scale")])
def test_everything_locked_is_refused(what: tuple[str, ...]) -> None:
    model = tiny.clip()
    with pytest.raises(ValueError, match=r"^lock: .*: everything is locked, so there is nothing to train$"):
        lock(model, what)
    assert all(one.requires_grad for one in model.parameters())
