"""The defense of backdoored DeCLIP: who comes again, changed how, and each part left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from tests import tiny
from tests.training.test_resume import _each_step, broken, equal, run

from bezoar.cleaning import ADP, METHODS, NAD
from bezoar.data import Scenes, Table
from bezoar.data.captions import Eda
from bezoar.data.views import Light, Moco, MocoNoise
from bezoar.experiment.experiment import METHODS as FAMILY
from bezoar.models.clip import create
from bezoar.training.declip import DeclipLoss
from bezoar.training.loader import AsLeft, batches
from bezoar.training.loop import check, check_pairs, train
from bezoar.training.objective import ClipLoss

__all__ = ["_each_step"]
BRIEF = tiny.TAUGHT
DECLIP = DeclipLoss(
    caption_view=Eda(wordnet="none"), image_view=Light(), queue_size=20, projector_width=12, predictor_width=5
)


def enlarged(method: ADP, name: str = "micro-vit-32") -> tuple[Any, Any, Any, Any]:
    """State, the pass, a batch, and what is learned from in its place."""
    state = method.build(tiny.clip(name), AsLeft(tiny.data(48)), 0)
    method.teach(state, create(name, 1).eval())
    (this,) = method.passes(state, 0)
    batch = next(batches(tiny.data(48), state.model.tokenize, this, batch_size=8, seed=0, epoch=0))
    return state, this, batch, method.enlarged(method.objective.encoder(0), state, batch)


def test_it_is_in_the_family() -> None:
    assert ADP in METHODS
    assert FAMILY.parse({"kind": "adp", "attack_steps": 3}) == ADP(attack_steps=3)


def test_defaults_are_those_of_the_released_code() -> None:
    method = ADP()
    assert (method.attack_steps, method.attack_decay, method.attack_step, method.attack_bound) == (5, 0.9, 0.05, 0.0125)
    assert (method.repeated, method.beta, method.steps) == (0.5, 1, 1500)
    assert (method.objective, method.image_view) == (DeclipLoss(), MocoNoise())
    view = MocoNoise()
    assert (view.least, view.noise, view.noise_from, view.sigmas) == (0.2, 0.3, 0.6, (0.08, 0.12))
    assert set(method.views()) >= {view, method.objective.caption_views[1]}


def test_the_noise_is_there_however_the_objective_is_spelled_out() -> None:
    for objective in ("declip", {"kind": "declip", "queue_size": 20, "image_view": "light"}, {"kind": "clip"}):
        method: Any = FAMILY.parse({"kind": "adp", **BRIEF, "objective": objective})
        assert set(method.image_views) == {MocoNoise()}
        assert len(method.image_views) == len(method.objective.image_views)
        assert MocoNoise() in method.views()
        assert Moco() not in method.views()


def test_another_view_or_the_objectives_own() -> None:
    for given, expected in ((None, Light()), (Moco(), Moco())):
        method = ADP(**BRIEF, objective=DECLIP, image_view=given)
        (this,) = method.passes(method.build(tiny.clip(), AsLeft(tiny.data(48)), 0), 0)
        assert this.image_views == (expected, expected)
        assert expected in method.views()


@pytest.mark.parametrize("objective", [ClipLoss(), DECLIP], ids=["clip", "declip"])
def test_half_of_the_pairs_come_again_with_pictures_inside_the_bound(objective: Any) -> None:
    state, _, batch, found = enlarged(ADP(**BRIEF, objective=objective))
    assert found.ids == (*batch.ids, *batch.ids[::2])
    assert torch.equal(found.indices, torch.cat([batch.indices, batch.indices[::2]]))
    assert (batch.again, found.again) == (0, 4)
    for before, after in zip(batch.texts, found.texts, strict=True):
        assert torch.equal(after, torch.cat([before, before[::2]]))
    for before, after in zip(batch.images, found.images, strict=True):
        assert torch.equal(after[:8], before.float())
        span = (before.amax((2, 3)) - before.amin((2, 3)))[::2, :, None, None]
        moved = (after[8:] - before[::2]).abs()
        assert (moved <= 0.0125 * span + 1e-3).all()
        # A step is larger than the bound: but for values at the ends of the range, all lie on it.
        inner = (before[::2] > 4) & (before[::2] < 251) & (span > 20)
        assert (moved[inner] > 0.5 * (0.0125 * span.expand_as(moved))[inner]).float().mean() > 0.9
    assert all(weights.grad is None for weights in state.parameters())


def test_the_teacher_does_worse_on_them() -> None:
    method = ADP(**BRIEF, objective=ClipLoss(), repeated=1.0)
    state, this, batch, found = enlarged(method)
    encode = method.objective.encoder(0)
    terms = []
    for images in (batch.images, tuple(view[8:] for view in found.images)):
        with torch.no_grad():
            features = encode(state.tutors[0], replace(batch, images=images))
        terms.append(method.objective.terms(state.tutors[0], features)["contrastive"].item())
    assert terms[1] > terms[0]
    assert this.name == "all"


def test_the_queue_and_the_teachers_heads_are_left_as_they_are() -> None:
    state, _, _, _ = enlarged(ADP(**BRIEF, objective=DECLIP))
    assert int(state.queue.filled) == 0
    assert state.tutors[0].queue is state.queue
    assert not state.tutors[0].training
    assert not [name for name in state.state_dict() if "tutor" in name or "teacher" in name]


@pytest.mark.parametrize(("changes", "other"), [({"repeated": 0.0}, 8), ({"attack_steps": 0}, 12)])
def test_parts_can_be_left_out(changes: dict[str, Any], other: int) -> None:
    _, _, batch, found = enlarged(ADP(**BRIEF, objective=ClipLoss(), **changes))
    assert len(found) == other
    for before, after in zip(batch.images, found.images, strict=True):
        assert torch.equal(after[8:].float(), before[:: 2 if other > 8 else 9][: other - 8].float())


@pytest.mark.parametrize("changes", [{"repeated": 0.0}, {"attack_steps": 0}])
def test_a_teacher_whose_loss_is_not_asked_for_has_none(changes: dict[str, Any]) -> None:
    state, *_ = enlarged(ADP(**BRIEF, objective=DECLIP, **changes))
    assert not hasattr(state, "tutors")


def test_pictures_that_are_not_there_or_of_others(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^method\.pictures\.path: \S+ does not exist"):
        check_pairs(
            ADP(**BRIEF, objective=DECLIP, pictures=Table(path=str(tmp_path / "none.csv"))), tiny.data(48).pairs
        )
    other = Scenes(split="clean", count=24)
    with pytest.raises(ValueError, match=r"^method\.pictures: 48 of 48 pairs have none .* is read with id_key: id$"):
        check_pairs(ADP(**BRIEF, objective=DECLIP, pictures=other), tiny.data(48).pairs)


def test_without_its_own_parts_it_is_nad() -> None:
    models = []
    for method in (ADP(**BRIEF, objective=ClipLoss(), repeated=0.0, image_view=None), NAD(**BRIEF)):
        model = tiny.clip()
        train(method, model, tiny.data(32), seed=0, teacher=tiny.teacher(method))
        models.append(dict(model.state_dict()))
    assert tiny.same(*models)


def test_a_killed_training_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    method = ADP(**BRIEF, objective=DECLIP, attack_steps=2)
    whole = run(method, tmp_path / "whole")
    broken(method, tmp_path / "broken", 6)
    assert equal(run(method, tmp_path / "broken"), whole)


def test_chunks_only_of_pictures_that_are_there() -> None:
    with pytest.raises(
        ValidationError, match=r"chunk_size: 4 pairs at a time could not be .* \(choices: null; or name"
    ):
        ADP(**BRIEF, chunk_size=4)
    assert ADP(**BRIEF, chunk_size=4, repeated=0.0).chunk_size == 4


def test_a_queue_larger_than_the_data() -> None:
    said = r"method\.objective\.queue_size: 65,536 captions are more than the 48 that 24 pairs have"
    with pytest.raises(ValueError, match=said):
        check_pairs(ADP(**BRIEF), tiny.data(24).pairs)


def test_golden_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {**BRIEF, "epochs": 1, "batch_size": 32, "lr": 1e-4, "warmup_steps": 5}
    tiny.golden("adp", ADP(**given, objective=DECLIP, image_view=None, attack_steps=2), monkeypatch)


def test_a_loss_that_sees_no_picture_cannot_change_one() -> None:
    blind = replace(DECLIP, clip_weight=0.0, nearest_weight=0.0, simsiam_weight=0.0)
    method = ADP(**BRIEF, objective=blind)
    with pytest.raises(ValueError, match=r"objective: no term of it sees a picture, so that none can be changed"):
        check(method, tiny.clip(), 48)
    for without in ({"attack_steps": 0}, {"repeated": 0.0}):
        check(replace(method, **without), tiny.clip(), 48)
