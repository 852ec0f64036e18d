"""Batches: their order, what an attacker and the views did to them, and that workers change nothing."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import multiprocessing
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import pytest
import torch
from tests import tiny
from torch import Tensor

from bezoar.attacks import Backdoor
from bezoar.attacks.applied import Applied
from bezoar.attacks.base import Stage
from bezoar.attacks.patterns import Solid
from bezoar.attacks.places import Center
from bezoar.attacks.triggers import Patch
from bezoar.core.frame import Frame
from bezoar.core.seeds import stream_seed
from bezoar.core.settings import settings
from bezoar.data import Scenes
from bezoar.data.captions import CaptionView, Eda
from bezoar.data.captions import Plain as PlainCaption
from bezoar.data.prepared import Prepared
from bezoar.data.views import AutoAugment, ImageView, Moco, Plain
from bezoar.training.batch import Batch, together
from bezoar.training.loader import AsLeft, TrainingPairs, batches
from bezoar.training.method import Pass
from bezoar.training.peers import Peers
from bezoar.training.schedule import Schedule


@settings
class Shout(CaptionView):
    """Says its seed."""

    kind: ClassVar[str] = "shout"

    def apply(self, caption: str, seed: int) -> str:
        return f"{seed}"


@settings
class Tint(ImageView):
    """Paints the picture with its seed."""

    kind: ClassVar[str] = "tint"

    def apply(self, image: Tensor, seed: int, mark: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        return torch.full_like(image, seed % 251)


@settings
class Negative(ImageView):
    """Light where it was dark."""

    kind: ClassVar[str] = "negative"

    def apply(self, image: Tensor, seed: int, mark: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        return 255 - (image if mark is None else mark(image))


STAGES: tuple[Stage, ...] = ("model", "file", "after_random_crop")
MODES: tuple[Literal["replace", "append"], ...] = ("replace", "append")
SQUARE = Patch(size=40)


def one_pass(n: int = 48, images: tuple[Any, ...] = (Plain(),), captions: tuple[Any, ...] = (PlainCaption(),)) -> Pass:
    return Pass(
        name="all", indices=torch.arange(n), image_views=images, caption_views=captions, encode=together,
            loss=lambda state, features, batch: {},
        schedule=Schedule(shape="constant", lr=1.0, warmup=0, total=1),
    )  # fmt: skip


def load(this: Pass, data: TrainingPairs | None = None, **changes: Any) -> list[Batch]:
    given: dict[str, Any] = {"batch_size": 10, "seed": 0, "epoch": 0, **changes}
    return list(batches(data or tiny.data(), tiny.clip().tokenize, this, **given))


def order(found: list[Batch]) -> list[int]:
    return [int(index) for batch in found for index in batch.indices]


def equal(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        a.ids == b.ids
        and torch.equal(a.indices, b.indices)
        and all(torch.equal(x, y) for x, y in zip((*a.images, *a.texts), (*b.images, *b.texts), strict=True))
        for a, b in zip(one, other, strict=True)
    )


def test_whole_batches_in_an_order_of_seed_epoch_and_pass() -> None:
    first = order(load(one_pass()))
    assert len(first) == 40
    assert len(set(first)) == 40
    assert first != sorted(first)
    assert first == order(load(one_pass()))
    others: list[dict[str, Any]] = [{"seed": 1}, {"epoch": 1}]
    named = dataclasses.replace(one_pass(), name="other")
    orders = [first, *(order(load(one_pass(), **change)) for change in others), order(load(named))]
    assert len(set(map(tuple, orders))) == 4
    left_out = {frozenset(range(48)) - frozenset(found) for found in orders}
    assert len(left_out) > 1, "the pairs that fill no batch are the same in every epoch"


def test_a_pass_over_some_of_the_pairs() -> None:
    some = dataclasses.replace(one_pass(), indices=torch.tensor([3, 1, 40, 7, 9]))
    found = load(some, batch_size=2)
    assert [len(batch.ids) for batch in found] == [2, 2]
    assert set(order(found)) < {3, 1, 40, 7, 9}
    pairs = tiny.data().pairs
    assert [pair_id for batch in found for pair_id in batch.ids] == [pairs.id(index) for index in order(found)]


def test_pictures_and_captions_of_one_row_belong_together() -> None:
    data, model = tiny.data(), tiny.clip()
    (batch, *_) = load(one_pass())
    for row, index in enumerate(batch.indices.tolist()):
        assert torch.equal(batch.images[0][row], data.image(index))
        words = model.tokenize([data.pairs.caption(index)])[0]
        assert batch.texts[0][row].tolist() == words.tolist() + [0] * (batch.texts[0].shape[1] - len(words))


def test_each_view_has_a_seed_of_its_own_per_pair_epoch_and_number() -> None:
    this = one_pass(images=(Tint(), Plain(), Tint()), captions=(Shout(), Shout()))
    found = load(this)
    seen = [
        set(view[row].flatten().tolist())
        for batch in found
        for view in (batch.images[0], batch.images[2])
        for row in range(10)
    ]
    assert all(len(colors) == 1 for colors in seen)
    assert len({tuple(colors) for colors in seen}) > 40
    said = {tuple(words.tolist()) for batch in found for view in batch.texts for words in view}
    assert len(said) == 80
    assert equal(found, load(this))
    (later, *_) = load(this, epoch=1)
    same_pair = {index: row for row, index in enumerate(later.indices.tolist())}
    for batch in found:
        for row, index in enumerate(batch.indices.tolist()):
            if index in same_pair:
                assert not torch.equal(batch.images[0][row], later.images[0][same_pair[index]])


def test_views_are_drawn_by_pair_not_by_place() -> None:
    """Another batch size, the same views: nothing depends on who else is in the batch."""
    this = one_pass(images=(AutoAugment(),), captions=(Eda(wordnet="none"),))
    by_size = [
        {
            index: batch.images[0][row]
            for batch in load(this, batch_size=size)
            for row, index in enumerate(batch.indices.tolist())
        }
        for size in (3, 16)
    ]
    for index in by_size[0].keys() & by_size[1].keys():
        assert torch.equal(by_size[0][index], by_size[1][index])


@pytest.mark.parametrize(
    ("images", "texts"), [((), (PlainCaption(),)), ((Plain(),), ()), ((Plain(),) * 3, (PlainCaption(),))]
)
def test_any_number_of_views(images: tuple[Any, ...], texts: tuple[Any, ...]) -> None:
    (batch, *_) = load(one_pass(images=images, captions=texts))
    assert (len(batch.images), len(batch.texts)) == (len(images), len(texts))


def test_workers_change_nothing() -> None:
    this = one_pass(images=(Plain(), AutoAugment()), captions=(PlainCaption(), Eda(wordnet="none")))
    data = tiny.data(plan=tiny.plan())
    assert equal(load(this, data, workers=0), load(this, data, workers=2))


@pytest.mark.parametrize("workers", [0, 2])
def test_what_a_user_must_know_is_one_line_from_any_process(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(self: TrainingPairs, index: int) -> Tensor:
        raise ValueError(f"image of '{index}' cannot be read")

    monkeypatch.setattr(TrainingPairs, "image", gone)
    with pytest.raises(ValueError, match=r"^image of '\d+' cannot be read$"):
        load(one_pass(), workers=workers)
    assert not multiprocessing.active_children()


def test_a_loader_that_is_left_leaves_no_process() -> None:
    stream = batches(tiny.data(), tiny.clip().tokenize, one_pass(), batch_size=4, seed=0, epoch=0, workers=2)
    next(stream)
    assert len(multiprocessing.active_children()) == 2
    stream.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()


def test_the_global_generator_is_neither_read_nor_moved() -> None:
    this = one_pass(images=(AutoAugment(),))
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one = load(this)
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(2)
    assert equal(one, load(this))


# ------------------------------------------------------------------------------------------------------- poisoned pairs


def test_a_plan_is_laid_over_the_pairs_and_over_nothing_else() -> None:
    plan = tiny.plan()
    clean, poisoned = tiny.data(), tiny.data(plan=plan)
    changed = 0
    for index in range(len(clean)):
        row = plan.by_id.get(clean.pairs.id(index))
        same_picture = torch.equal(clean.image(index), poisoned.image(index))
        assert same_picture == (row is None)
        assert poisoned.caption(index) == (row.caption if row else clean.caption(index))
        changed += not same_picture
    assert changed == 12


def test_triggered_pictures_are_the_plans_own() -> None:
    pairs = Scenes(count=20).open()
    for stage, mode in itertools.product(STAGES, MODES):
        attack = Backdoor(target="mushroom", count=9, trigger=SQUARE, templates=("a {c}",), stage=stage, mode=mode)
        applied = Applied(pairs, attack.plan(pairs, 0))
        data = TrainingPairs(pairs, Prepared(pairs, Frame(32)), applied.plan)
        assert len(data) == (20 if mode == "replace" else 29)
        for index in range(len(data)):
            assert torch.equal(data.image(index), applied.picture(index, Prepared(pairs, Frame(32))))
            assert (data.id(index), data.caption(index)) == (applied.id(index), applied.caption(index))


def test_poisoned_batches_look_like_clean_ones() -> None:
    """Same fields, ids, order, types and shapes: only pixels and tokens of the poisoned rows differ."""
    plan = tiny.plan()
    for clean, poisoned in zip(load(one_pass()), load(one_pass(), tiny.data(plan=plan)), strict=True):
        assert clean.ids == poisoned.ids
        assert vars(clean).keys() == vars(poisoned).keys()
        assert clean.images[0].dtype == poisoned.images[0].dtype
        for row, pair_id in enumerate(clean.ids):
            assert torch.equal(clean.images[0][row], poisoned.images[0][row]) == (pair_id not in plan.by_id)


def test_views_come_after_the_trigger() -> None:
    data = tiny.data(plan=tiny.plan())
    for batch in load(one_pass(images=(Negative(),)), data):
        for row, index in enumerate(batch.indices.tolist()):
            assert torch.equal(batch.images[0][row], 255 - data.image(index))


def test_a_trigger_after_the_random_crop_is_whole_in_every_view() -> None:
    """Put on inside the view, before its colors and its flip, at the same place however the picture was cropped."""
    attack = Backdoor(
        target="mushroom", count=12, templates=("a {c}",), stage="after_random_crop",
        trigger=Patch(size=8, reference=32, pattern=Solid(color=(255, 0, 255)), place=Center()),
    )  # fmt: skip
    plan = attack.plan(tiny.data().pairs, 0)
    data, clean = tiny.data(plan=plan), tiny.data()
    crop, marked = Moco(jitter=0, grey=0, blur=0), 0
    views = (Plain(), crop, AutoAugment(), Negative())
    for batch in load(one_pass(images=views), data):
        for row, (pair_id, index) in enumerate(zip(batch.ids, batch.indices.tolist(), strict=True)):
            assert torch.equal(data.image(index), clean.image(index)), "it is not on the picture before the view"
            marked += pair_id in plan.by_id
            for number, view in enumerate(views):
                seed = stream_seed(0, "image view", 0, pair_id, number)
                put_on = functools.partial(attack.trigger.apply, image_id=pair_id)
                mark = put_on if pair_id in plan.by_id else None
                assert torch.equal(batch.images[number][row], view.apply(clean.image(index), seed, mark))
            lit = (batch.images[1][row] == torch.tensor([255, 0, 255]).view(3, 1, 1)).all(0)
            assert lit[12:20, 12:20].all().item() is (pair_id in plan.by_id)
    assert marked > 5


@pytest.mark.parametrize("stage", STAGES)
def test_workers_change_nothing_of_poisoned_pairs(stage: Stage) -> None:
    """Appended pairs, pairs left out, a trigger inside the view: all of it goes to other processes."""
    pairs = Scenes(count=24).open()
    attack = Backdoor(
        target="mushroom", count=9, trigger=SQUARE, templates=("a {c}",), stage=stage, mode="append", size=30
    )
    data = TrainingPairs(pairs, Prepared(pairs, Frame(32)), attack.plan(pairs, 0))
    this = one_pass(30, images=(Plain(), Moco()))
    assert equal(load(this, data, workers=0), load(this, data, workers=2))


def test_the_answer_key_never_enters_a_batch() -> None:
    """Appended pairs too have ids that tell nothing, and stand among the others."""
    pairs = Scenes(count=24).open()
    attack = Backdoor(target="mushroom", count=6, trigger=SQUARE, templates=("the {c}",), mode="append")
    plan = attack.plan(pairs, 0)
    data = TrainingPairs(pairs, Prepared(pairs, Frame(32)), plan)
    found = load(one_pass(30), data, batch_size=5)
    named = {"ids", "indices", "everybody", "images", "texts", "again"}
    assert {field.name for field in dataclasses.fields(Batch)} == named
    assert vars(found[0]).keys() == named
    ids = [one for batch in found for one in batch.ids]
    assert sorted(ids) == sorted([*map(pairs.id, range(24)), *plan.by_id])
    assert not any(word in one for one in plan.by_id for word in ("mushroom", "backdoor", "scenes", "poison", "append"))
    assert len({tuple(batch.images[0].shape) for batch in found}) == 1
    left = AsLeft(data)
    assert [left.id(index) for index in range(len(left))] == [data.id(index) for index in range(30)]
    assert not hasattr(left, "plan")


def test_a_plan_for_other_pairs_is_refused() -> None:
    pairs = Scenes(count=20, seed=5).open()
    with pytest.raises(ValueError, match=r"poison: the plan was made for pairs \w{16}, these are \w{16}"):
        TrainingPairs(pairs, Prepared(pairs, Frame(32)), tiny.plan())


def test_a_method_begins_with_what_the_attacker_left_and_cannot_tell() -> None:
    plan = tiny.plan()
    data = tiny.data(plan=plan)
    left = AsLeft(data)
    assert {name for name in vars(left) if not name.startswith("_")} == set()
    assert len(left) == len(data)
    for index in range(len(left)):
        row = plan.by_id.get(left.id(index))
        assert left.caption(index) == (row.caption if row else data.pairs.caption(index))
        assert torch.equal(torch.tensor(left.image(index)).permute(2, 0, 1), data.image(index))


@pytest.mark.parametrize("world", [1, 2, 5])
def test_every_process_knows_the_positions_of_the_whole_batch(world: int) -> None:
    """In the order of ranks, as their features are put together."""
    ranks = [load(one_pass(30), peers=Peers(rank, world)) for rank in range(world)]
    for parts in zip(*ranks, strict=True):
        together = torch.cat([part.indices for part in parts])
        assert all(torch.equal(part.everybody, together) for part in parts)
