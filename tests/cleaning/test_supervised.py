"""Supervised fine-tuning: against a plain loop, on both kinds of tower, with poison, locked, and what it refuses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor, nn

from bezoar.attacks import Labels
from bezoar.attacks.triggers import Patch
from bezoar.cleaning import METHODS, Supervised
from bezoar.core.seeds import torch_generator
from bezoar.data.scenes.grammar import KINDS
from bezoar.data.views import Plain
from bezoar.models.clip import Clip
from bezoar.training.linear_head import LinearHead
from bezoar.training.loader import AsLeft, TrainingPairs, batches
from bezoar.training.loop import Pause, check_pairs, train

BRIEF: dict[str, Any] = {"epochs": 2, "batch_size": 16, "lr": 1e-3, "warmup_steps": 2, "precision": "fp32"}
TOWERS = ("micro-cnn-32", "micro-vit-32")
ATTACK = Labels(target="mushroom", count=12, trigger=Patch(size=8, reference=32))


def trained(method: Supervised, model: Clip, data: TrainingPairs) -> Pause:
    return train(method, model, data, seed=0)


def head_of(state: Any) -> LinearHead:
    found = state.head
    assert isinstance(found, LinearHead)
    return found


def parts(model: Clip) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The image tower, and all that is not of it."""
    state = {name: value.clone() for name, value in model.tower.state_dict().items()}
    image = {name: value for name, value in state.items() if name.startswith("visual.")}
    return image, {name: value for name, value in state.items() if name not in image}


def test_it_is_in_the_family() -> None:
    assert Supervised in METHODS
    assert Supervised.kind == "supervised"


def test_defaults_are_the_released_parsers_and_its_readmes() -> None:
    method = Supervised()
    assert (method.epochs, method.batch_size, method.weight_decay) == (10, 80, 0.01)
    assert (method.lr, method.warmup_steps) == (1e-4, 500)
    assert (method.schedule, method.image_view, method.max_scale) == ("cosine", Plain(), None)


def by_hand(method: Supervised, model: Clip, data: TrainingPairs, steps: int) -> tuple[nn.Linear, list[float]]:
    """The released procedure in plain torch, but for decay, which does not touch norms here."""
    names = sorted({data.caption(index) for index in range(len(data))})
    labels = torch.tensor([names.index(data.caption(index)) for index in range(len(data))])
    with torch.no_grad():
        width = model.image_features(data.image(0)[None]).shape[1] if not model.training else 0
    head = nn.Linear(width, len(names))
    drawn, bound = torch_generator(0, "supervised", "head"), 1 / math.sqrt(width)
    nn.init.uniform_(head.weight, -bound, bound, generator=drawn)
    nn.init.uniform_(head.bias, -bound, bound, generator=drawn)
    model.train()
    visual: Any = model.tower.visual
    norms = (nn.BatchNorm2d, nn.LayerNorm)
    plain = [p for m in visual.modules() if isinstance(m, norms) for p in m.parameters()]
    held = {id(p) for p in plain}
    plain += [p for n, p in visual.named_parameters() if n.endswith("bias") and id(p) not in held]
    held = {id(p) for p in plain}
    decayed = [p for p in visual.parameters() if id(p) not in held]
    optimizer = torch.optim.AdamW(
        [
            {"params": [*decayed, head.weight], "weight_decay": 0.01},
            {"params": [*plain, head.bias], "weight_decay": 0.0},
        ]
    )
    (this,) = method.passes(method.build(tiny.clip(), tiny.labeled(len(data)).pairs, 0), 0)
    losses: list[float] = []
    while len(losses) < steps:
        epoch = len(losses) * 16 // len(data)
        for batch in batches(data, model.tokenize, this, batch_size=16, seed=0, epoch=epoch):
            step = len(losses)
            rate = 1e-3 * ((step + 1) / 2 if step < 2 else 0.5 * (1 + math.cos(math.pi * (step - 2) / (steps - 2))))
            for group in optimizer.param_groups:
                group["lr"] = rate
            logits = head(model.image_features(torch.stack([data.image(int(i)) for i in batch.indices])))
            found = -logits.log_softmax(1)[range(16), labels[batch.indices]].mean()
            optimizer.zero_grad()
            found.backward()
            optimizer.step()
            losses.append(found.item())
    return head, losses


@pytest.fixture
def _double() -> Iterator[None]:
    """What is made anew has double precision; the models, which tests share, were made before."""
    for tower in TOWERS:
        tiny.clip(tower)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("tower", TOWERS)
@pytest.mark.parametrize("poisoned", [False, True])
@pytest.mark.usefixtures("_double")
def test_it_is_what_a_plain_loop_does(tower: str, poisoned: bool) -> None:
    data = tiny.labeled(64, ATTACK if poisoned else None)
    model, theirs, method = tiny.clip(tower).double(), tiny.clip(tower).double().eval(), Supervised(**BRIEF)
    head, losses = by_hand(method, theirs, data, 8)
    end = trained(method, model, data)
    assert end.step == 8
    torch.testing.assert_close(head_of(end.state).weight, head.weight, rtol=1e-9, atol=1e-9)
    mine, other = parts(model), parts(theirs)
    for name, expected in other[0].items():
        # A key's bias has a gradient of nothing but rounding, and Adam makes a step of it.
        room = 4e-3 if name.endswith("in_proj_bias") else 1e-9
        torch.testing.assert_close(mine[0][name], expected, rtol=1e-9, atol=room, msg=lambda said: f"{name}: {said}")  # noqa: B023
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("tower", TOWERS)
def test_text_tower_and_scale_stay_and_the_image_tower_moves(tower: str) -> None:
    model = tiny.clip(tower)
    with torch.no_grad():
        model.tower.get_parameter("logit_scale").fill_(6.0)  # above the usual clamp
    image, rest = parts(model)
    trained(Supervised(**BRIEF, weight_decay=1.0), model, tiny.labeled(64))
    assert tiny.same(parts(model)[1], rest)
    assert "logit_scale" in rest
    moved = [name for name, value in parts(model)[0].items() if not torch.equal(value, image[name])]
    assert all(name.endswith("num_batches_tracked") or name in moved for name in image)


@pytest.mark.parametrize("tower", TOWERS)
def test_a_linear_probe_leaves_the_image_tower_and_its_statistics(tower: str) -> None:
    model = tiny.clip(tower)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    method = Supervised(**BRIEF, lock=("image",))
    first = head_of(method.build(tiny.clip(tower), tiny.labeled(64).pairs, 0)).weight.clone()
    end = trained(method, model, tiny.labeled(64))
    assert tiny.same(dict(model.state_dict()), before)
    assert not torch.equal(head_of(end.state).weight, first)


def test_a_linear_probe_makes_no_gradient_of_the_tower(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    inner = Supervised.loss

    def loss(self: Supervised, state: Any, features: Any, batch: Any) -> Any:
        seen.append(features.others["image"].requires_grad)
        assert not batch.texts
        return inner(self, state, features, batch)

    monkeypatch.setattr(Supervised, "loss", loss)
    for lock in ((), ("image",)):
        trained(Supervised(**BRIEF, lock=lock), tiny.clip(), tiny.labeled(32))
    assert seen == [True] * 4 + [False] * 4


def test_no_caption_is_tokenized(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.clip()
    method, data = Supervised(**BRIEF), tiny.labeled(32)
    (this,) = method.passes(method.build(model, data.pairs, 0), 0)

    def refuse(*_: object) -> Tensor:
        raise AssertionError("captions are labels here")

    (batch, *_) = batches(data, refuse, this, batch_size=16, seed=0, epoch=0)  # type: ignore[arg-type]
    assert batch.texts == ()


def test_poison_enters_by_the_plan_of_the_labels_attack() -> None:
    data, plain = tiny.labeled(64, ATTACK), tiny.labeled(64)
    built: list[Any] = [Supervised().build(tiny.clip(), AsLeft(given), 0) for given in (plain, data)]
    clean, poisoned = ([state.head.classes[number] for number in state.labels] for state in built)
    assert clean == [KINDS[index % len(KINDS)] for index in range(64)]
    changed = [index for index in range(64) if clean[index] != poisoned[index]]
    assert data.plan is not None
    assert changed == sorted(row.index for row in data.plan.rows)
    assert len(changed) == 12
    assert {poisoned[index] for index in changed} == {"mushroom"}


def test_labels_are_joined_by_place_in_the_pairs_not_in_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    data, seen = tiny.labeled(64), 0
    cross_entropy = torch.nn.functional.cross_entropy

    def loss(self: Supervised, state: Any, features: Any, batch: Any) -> Any:
        nonlocal seen
        names = [state.head.classes[number] for number in state.labels[batch.indices]]
        assert names == [data.caption(int(index)) for index in batch.indices]
        seen += 1
        return {"cross_entropy": cross_entropy(state.head(features.others["image"]), state.labels[batch.indices])}

    monkeypatch.setattr(Supervised, "loss", loss)
    trained(Supervised(**BRIEF), tiny.clip(), data)
    assert seen == 8


def test_chunks_give_the_same_gradients_where_there_are_no_batch_statistics() -> None:
    heads = []
    for size in (None, 5):
        end = trained(Supervised(**BRIEF, chunk_size=size), tiny.clip("micro-vit-32"), tiny.labeled(32))
        heads.append(head_of(end.state).weight.detach())
    torch.testing.assert_close(heads[0], heads[1], rtol=1e-4, atol=1e-6)


class TestClasses:
    def test_a_list_gives_the_order_and_classes_without_a_picture(self) -> None:
        names = (*reversed(KINDS), "unseen")
        state: Any = Supervised(classes=names).build(tiny.clip(), tiny.labeled(64).pairs, 0)
        assert state.head.classes == names
        assert state.head.weight.shape[0] == len(KINDS) + 1
        assert state.labels.tolist() == [names.index(KINDS[i % len(KINDS)]) for i in range(64)]

    def test_two_of_one_name_are_one(self) -> None:
        state: Any = Supervised(classes=(*KINDS, KINDS[0])).build(tiny.clip(), tiny.labeled(64).pairs, 0)
        assert state.head.classes == KINDS

    def test_a_label_outside_the_list_is_told_with_its_pair_and_the_nearest_class(self) -> None:
        names = tuple("mushrom" if name == "mushroom" else name for name in KINDS)
        with pytest.raises(ValueError, match=r"^method\.classes: the label of pair 'scenes-") as caught:
            trained(Supervised(**BRIEF, classes=names), tiny.clip(), tiny.labeled(64))
        assert "'mushroom' is not a class; did you mean 'mushrom'?" in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_it_is_told_before_the_long_work_starts(self) -> None:
        with pytest.raises(ValueError, match=r"^stages\.a\.method\.classes: the label of pair 'scenes-"):
            check_pairs(Supervised(classes=("a", "b")), tiny.labeled(64).pairs, "stages.a.method")

    def test_captions_are_no_labels(self) -> None:
        with pytest.raises(ValueError, match="these 80 pairs have more than 50 different captions: give a labeled set"):
            trained(Supervised(**BRIEF), tiny.clip(), tiny.data(80))

    def test_one_class_is_none(self) -> None:
        class One:
            fingerprint = "one"

            def __len__(self) -> int:
                return 16

            def id(self, index: int) -> str:
                return str(index)

            def caption(self, index: int) -> str:
                return "cat"

        with pytest.raises(ValueError, match="two classes at least, and every label is 'cat'"):
            Supervised().check_pairs(One())  # type: ignore[arg-type]

    def test_a_file_is_named_by_what_it_holds(self, tmp_path: Path) -> None:
        (tmp_path / "names.txt").write_text("cat\ndog\n")
        assert Supervised(classes=str(tmp_path / "names.txt")).pinned().classes == ("cat", "dog")
        assert Supervised().pinned() == Supervised()
        assert Supervised(classes="imagenet").pinned().classes == "imagenet"


def test_golden_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    method = Supervised(epochs=1, batch_size=32, lr=1e-3, warmup_steps=5, precision="fp32")
    tiny.golden("supervised", method, monkeypatch, tiny.labeled(640))
