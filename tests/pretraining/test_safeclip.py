"""SafeCLIP: phases, losses by lists and loops, splits, schedules (ours and the released), resume, what is refused."""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from tests import tiny
from tests.pretraining.by_hand import FAMILY, SCALE, find
from tests.training import ranks
from tests.training.test_resume import _each_step, broken, equal, run
from torch import Tensor
from torch.nn import functional as F

from bezoar.attacks import Aim
from bezoar.core import yaml
from bezoar.core.records import read_lines
from bezoar.core.rows import Rows, rows
from bezoar.core.seeds import torch_generator
from bezoar.core.settings import dump, validate
from bezoar.data.captions import Eda
from bezoar.data.captions import Plain as PlainCaption
from bezoar.data.views import Light, Plain, SimClr
from bezoar.evaluation import Context, SafeSet
from bezoar.experiment.experiment import parse
from bezoar.experiment.run import run as run_experiment
from bezoar.pretraining import METHODS, SafeCLIP
from bezoar.training import steplog
from bezoar.training.batch import Batch, Features, apart, together
from bezoar.training.loader import TrainingPairs
from bezoar.training.loop import Pause, check_pairs, train
from bezoar.training.peers import ALONE
from bezoar.training.precision import autocast_for
from bezoar.training.safe_split import Parted
from bezoar.training.scorer import Scorer

__all__ = ["_each_step"]
EDA = Eda(wordnet="none")
BRIEF: dict[str, Any] = {
    "epochs": 4, "in_modal_epochs": 1, "slow_epochs": 1, "batch_size": 8, "bank_size": 12, "lr": 1e-3,
    "warmup_steps": 2, "precision": "fp32", "caption_view": EDA, "image_view": Light(),
}  # fmt: skip
NOTHING = Batch(ids=(), indices=torch.arange(0), everybody=torch.arange(0), images=(), texts=())


def begun(method: SafeCLIP, pairs: int = 48, first: int = 0) -> Parted:
    """A state whose first split, where there was one, found the first ``first`` pairs safe."""
    state = Parted(tiny.clip(), pairs, 0, method.bank_size, method.bank_start, method.bank_end)
    state.first.fill_(first)
    state.safe[:first] = True
    return state


class Scores:
    """A scorer that says what it is told."""

    peers = ALONE

    def __init__(self, found: Tensor) -> None:
        self.found = found

    def cosines(self) -> Tensor:
        return self.found


def split(method: SafeCLIP, state: Parted, cosines: Tensor, epoch: int) -> None:
    method.begin_epoch(state, epoch, cast("Scorer", Scores(cosines)))


# ------------------------------------------------------------------------------------------------------------- settings


def test_it_is_in_the_family() -> None:
    assert SafeCLIP in METHODS
    assert FAMILY.parse({"kind": "safeclip", "ratio_max": 0.5}) == SafeCLIP(ratio_max=0.5)


def test_defaults_are_the_papers_and_the_released_parsers() -> None:
    """The fact sheet's section 5.1; the batch is the paper's, the parser has 128."""
    method = SafeCLIP()
    assert (method.epochs, method.batch_size, method.warmup_steps, method.weight_decay) == (32, 512, 10_000, 0.1)
    assert (method.lr, method.in_modal_lr, method.slow_lr) == (5e-4, 5e-4, 5e-6)
    assert (method.in_modal_epochs, method.slow_epochs) == (5, 1)
    assert (method.safe_posterior, method.ratio_step, method.ratio_max) == (0.9, 0.01, 0.85)
    assert (method.bank_size, method.fallback_ratio) == (256, 0.15)
    assert (method.image_view, method.caption_view) == (SimClr(), Eda())
    assert (method.cross_views, method.cross_in_modal, method.score_views) == ("same", True, False)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": 6}, "epochs: 6 leave none after the 5 of in_modal_epochs and the 1 of slow_epochs: no pairs would"),
        ({"ratio_max": 1.5}, "ratio_max: Input should be less than or equal to 1, got 1.5"),
        ({"ratio_max": 0}, "ratio_max: Input should be greater than 0, got 0"),
        (
            {"ratio_max": 0.1},
            "fallback_ratio: 0.15 of the pairs would be safe first, more than at most, 0.1 (ratio_max)",
        ),
        ({"fallback_ratio": 0}, "fallback_ratio: Input should be greater than 0, got 0"),
        ({"ratio_step": -0.1}, "ratio_step: Input should be greater than or equal to 0, got -0.1"),
        ({"ratio_step": 1.1}, "ratio_step: Input should be less than or equal to 1, got 1.1"),
        ({"safe_posterior": 1}, "safe_posterior: Input should be less than 1, got 1"),
        ({"safe_posterior": 0}, "safe_posterior: Input should be greater than 0, got 0"),
        ({"bank_size": -1}, "bank_size: Input should be greater than or equal to 0, got -1"),
        ({"cross_views": "mixed"}, "cross_views: Input should be 'same', 'crossed' or 'plain', got 'mixed'"),
    ],
)
def test_what_it_cannot_be(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        validate(SafeCLIP, changes)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_pairs_that_are_too_few() -> None:
    with pytest.raises(ValueError, match=r"s\.bank_size: 49 features are more than the 48 pairs of the source$"):
        check_pairs(SafeCLIP(**{**BRIEF, "bank_size": 49}), tiny.data(48).pairs, "s")
    with pytest.raises(ValueError, match=r"s\.ratio_max: 0.15 of the 48 pairs of the source are fewer than a batch"):
        check_pairs(SafeCLIP(**BRIEF, ratio_max=0.15), tiny.data(48).pairs, "s")
    with pytest.raises(ValueError, match=r"^method\.bank_size: 256 features are more than the 32 pairs of the source$"):
        train(SafeCLIP(**{**BRIEF, "bank_size": 256}), tiny.clip(), tiny.data(32), seed=0)
    for changes in ({"bank_size": 48}, {"bank_size": 0}, {"ratio_max": 0.17}):
        check_pairs(SafeCLIP(**{**BRIEF, **changes}), tiny.data(48).pairs, "s")
    # 0.29 * 100 is a hair below 29
    check_pairs(SafeCLIP(**{**BRIEF, "batch_size": 29, "ratio_max": 0.29}), tiny.data(100).pairs, "s")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bank_size": 48}, "bank_size: 48 features are more than the 16 pairs of the source"),
        ({"ratio_max": 0.3}, "ratio_max: 0.3 of the 16 pairs of the source are fewer than a batch of 8"),
        ({"ratio_max": 0.3, "steps": 40, "cross_in_modal": False}, "ratio_max: 0.3 of the 16 pairs"),
    ],
)
def test_pairs_of_which_an_attacker_leaves_too_few(changes: dict[str, Any], said: str) -> None:
    data, method = tiny.data(48, tiny.fewer()), SafeCLIP(**{**BRIEF, **changes})
    check_pairs(method, data.pairs)
    with pytest.raises(ValueError, match=rf"^method\.{said}"):
        train(method, tiny.clip(), data, seed=0)


def test_captions_that_only_ask_the_bank_have_no_gradient_and_change_none() -> None:
    """Against both captions through the text tower at once."""
    method, grads = SafeCLIP(**BRIEF), list[Any]()
    for at_once in (False, True):
        state, random = begun(method), torch_generator(0, "pictures")
        (one,) = method.passes(state, 0)
        places = torch.arange(4)
        images = tuple((torch.rand(4, 3, 32, 32, generator=random) * 255).byte() for _ in range(2))
        texts = tuple(state.model.tokenize([f"a {word} {n}" for n in "abcd"]) for word in ("box", "cat"))
        batch = Batch(ids=tuple("abcd"), indices=places, everybody=places, images=images, texts=texts)
        features = (together if at_once else one.encode)(state, batch)
        assert features.texts[0].own.requires_grad is at_once
        torch.autograd.backward([*method.in_modal(state, features, batch).values()])
        grads.append({name: p.grad for name, p in state.named_parameters() if p.grad is not None})
    assert grads[0].keys() == grads[1].keys()
    for name, grad in grads[0].items():
        torch.testing.assert_close(grad, grads[1][name], rtol=1e-4, atol=1e-7)


def test_which_views_are_drawn() -> None:
    own = (Light(), EDA)
    assert SafeCLIP(**BRIEF).views() == own
    plain = {**BRIEF, "cross_views": "plain", "cross_in_modal": False}
    assert SafeCLIP(**plain).views() == own, "in the warm-up"
    assert SafeCLIP(**{**plain, "in_modal_epochs": 0}).views() == ()
    assert SafeCLIP(**{**plain, "in_modal_epochs": 0, "score_views": True}).views() == own


# --------------------------------------------------------------------------------------------------------------- phases


def test_the_phases() -> None:
    method = SafeCLIP(**{**BRIEF, "in_modal_epochs": 2, "epochs": 5})
    state = begun(method)
    for epoch, name in enumerate(("in_modal", "in_modal", "slow")):
        split(method, state, cast("Tensor", None), epoch)  # nobody is scored
        (this,) = method.passes(state, epoch)
        assert (this.name, this.indices.tolist()) == (name, list(range(48)))
        assert (this.image_views, this.caption_views) == ((Light(),) * (2 - epoch // 2), (EDA,) * (2 - epoch // 2))
        asks = cast("Any", this.encode)
        assert asks.args == (together,) if name == "in_modal" else asks is together
        assert method.diagnostics(state).keys() == {"dropped"}
        assert (state.dropped == -1).all()
    cosines = torch.where(torch.arange(48) % 3 == 0, 0.0, 0.4) + torch.arange(48) / 480
    for epoch in (3, 4):
        split(method, state, cosines, epoch)
        risky, safe = method.passes(state, epoch)
        assert (risky.name, safe.name) == ("risky", "safe")
        assert (len(risky.image_views), len(risky.caption_views)) == (2, 2)
        assert (safe.image_views, safe.caption_views) == ((Light(),), (EDA,))
        assert sorted([*risky.indices.tolist(), *safe.indices.tolist()]) == list(range(48))
        told = method.diagnostics(state)
        assert told.keys() == {"dropped", "safe", "safe_share", "cosine", "mixture"}
        assert cast("Tensor", told["safe"]).nonzero().flatten().tolist() == safe.indices.tolist()
        assert told["safe_share"] == len(safe.indices) / 48


@pytest.mark.parametrize("cross", ["same", "crossed", "plain"])
def test_views_across(cross: Any) -> None:
    method = SafeCLIP(**BRIEF, cross_views=cross, joint_views=False)
    expected = {
        "same": ((Light(),), (EDA,)),
        "crossed": ((Light(),) * 2, (EDA,) * 2),
        "plain": ((Plain(),), (PlainCaption(),)),
    }
    (slow,), (_, safe) = (method.passes(begun(method, first=first), epoch) for first, epoch in ((0, 1), (16, 2)))
    for this in (slow, safe):
        assert (this.image_views, this.caption_views) == expected[cross]
        assert this.encode is apart


def test_without_in_modal_training_the_risky_are_left_out() -> None:
    method = SafeCLIP(**BRIEF, cross_in_modal=False)
    (safe,) = method.passes(begun(method, first=16), 2)
    assert safe.indices.tolist() == list(range(16))


def test_a_model_that_is_trained_already_is_split_at_once() -> None:
    """Fine-tuning: no phase comes before."""
    method = SafeCLIP(**{**BRIEF, "in_modal_epochs": 0, "slow_epochs": 0, "epochs": 1})
    model, data = tiny.clip(), tiny.data(48)
    cosines = Scorer(model, data, autocast_for("fp32", model.device)).cosines()
    end = train(method, model, data, seed=0)
    assert isinstance(end.state, Parted)
    assert torch.equal(end.state.cosine, cosines)
    assert set(end.state.dropped.tolist()) == {-1, 0}


def test_where_it_is_asked_the_split_goes_by_views() -> None:
    method = SafeCLIP(**{**BRIEF, "in_modal_epochs": 0, "slow_epochs": 0, "epochs": 1}, score_views=True)
    model, data = tiny.clip(), tiny.data(48)
    scorer = Scorer(model, data, autocast_for("fp32", model.device))
    plain, viewed = scorer.cosines(), scorer.cosines_under(method.image_view, method.caption_view, 5, 0)
    end = train(method, model, data, seed=5)
    assert isinstance(end.state, Parted)
    assert torch.equal(end.state.cosine, viewed)
    assert not torch.equal(viewed, plain)


def test_it_goes_on_from_a_stage_before(tmp_path: Path) -> None:
    plain = tiny.experiment()
    phases = {"epochs": 1, "in_modal_epochs": 0, "slow_epochs": 0}
    method = dump(SafeCLIP(**{**BRIEF, **phases, "image_view": Plain(), "caption_view": PlainCaption()}))
    plain["stages"] = [plain["stages"][0], {"name": "robust", "start": "victim", "pairs": "clean", "method": method}]
    run_experiment(parse(plain), tmp_path / "out")
    found = {(line["stage"], line["after"]) for line in read_lines(tmp_path / "out" / "records.jsonl")}
    assert found == {("victim", "clip"), ("robust", "safeclip")}


def test_with_loader_processes_the_training_itself_makes_no_picture_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    method = SafeCLIP(**{**BRIEF, "in_modal_epochs": 0, "slow_epochs": 0, "epochs": 1})
    alone, ours, image = train(method, tiny.clip(), tiny.data(32), seed=0), os.getpid(), TrainingPairs.image

    def elsewhere(self: TrainingPairs, index: int) -> Tensor:
        assert os.getpid() != ours
        return image(self, index)

    monkeypatch.setattr(TrainingPairs, "image", elsewhere)
    end = train(method, tiny.clip(), tiny.data(32), seed=0, workers=2)
    assert tiny.same(alone.state.state_dict(), end.state.state_dict())


# -------------------------------------------------------------------------------------------------------------- splits


def test_poison_of_low_cosine_is_never_among_the_safe_and_the_share_grows() -> None:
    method = SafeCLIP(**{**BRIEF, "epochs": 40}, ratio_step=0.03, ratio_max=0.7)
    state, random = begun(method, 200), torch_generator(0, "cosines")
    sizes = []
    for epoch in range(2, 20):
        means = torch.where(torch.arange(200) < 50, 0.05, 0.35)
        split(method, state, means + 0.03 * torch.randn(200, generator=random), epoch)
        assert not state.safe[:50].any()
        assert (state.dropped[:50] == 2).all(), "since the first split"
        sizes.append(int(state.safe.sum()))
    # The first split takes all that are above the threshold, here more than ratio_max; then the ratio is in force.
    assert sizes[0] > 140
    assert sizes[1:] == [140] * 17


@pytest.mark.parametrize(("pairs", "first"), [(200, 30), (1_000_000, 150_000), (48, 11), (997, 100)])
def test_the_share_by_adding(pairs: int, first: int) -> None:
    method = SafeCLIP(**{**BRIEF, "epochs": 100})
    for epoch in range(2, 100):
        # In hundredths of a pair, as whole numbers: what repeated adding of 0.01 in floating point may miss by one.
        expected = min(100 * first + (epoch - 2) * pairs, 85 * pairs) // 100 if epoch > 2 else first
        assert method._safe(pairs, first, epoch) == expected


def test_on_towers_whose_captions_cannot_be_cut() -> None:
    """SigLIP's: all phases in the full context, both towers moved."""
    model, data = tiny.clip("micro-siglip-32"), tiny.data(24)
    assert not model.cuts_captions
    before = {name: value.clone() for name, value in model.tower.named_parameters()}
    method = SafeCLIP(
        **{**BRIEF, "epochs": 3, "warmup_steps": 1, "fallback_ratio": 0.4, "caption_view": PlainCaption()}
    )
    end = train(method, model, data, seed=0)
    assert isinstance(end.state, Parted)
    assert 8 <= int(end.state.safe.sum()) < 24
    for tower in ("visual.", "text."):
        moved = [
            not torch.equal(before[n], value) for n, value in model.tower.named_parameters() if n.startswith(tower)
        ]
        assert set(moved) == {True}, tower


def test_too_few_safe_pairs_become_a_batch(caplog: pytest.LogCaptureFixture) -> None:
    method, cosines = SafeCLIP(**BRIEF, fallback_ratio=0.05), torch.zeros(48)
    cosines[5] = 1.0
    state = begun(method)
    split(method, state, cosines, 2)
    assert state.safe.nonzero().flatten().tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert "fewer than a batch of 8: the 8 pairs of highest cosine are taken as safe" in caplog.text


def test_a_warm_up_that_does_not_end_is_told_of_each_kind_of_pass(caplog: pytest.LogCaptureFixture) -> None:
    """48 pairs are 6 batches; 36 safe ones, in two epochs, 8, and the 12 and 11 others 2; before, 8 count as safe."""
    method = SafeCLIP(**{**BRIEF, "warmup_steps": 9, "lr": 2e-3, "in_modal_lr": 1e-3})
    state, cosines = begun(method), torch.cat([torch.linspace(0.9, 0.91, 36), torch.linspace(-0.1, 0.0, 12)])
    split(method, state, cosines, 0)
    assert "warm-up of 9 steps does not end within the 6 that are counted for 'in_modal' in all epochs" in caplog.text
    assert "ends at 0.00067 instead of 0.001" in caplog.text
    assert "the 2 that are counted for 'safe' in all epochs if 0.15 of the pairs are safe first: its" in caplog.text
    assert "'risky'" not in caplog.text, "as 40 pairs they make 10 steps"
    caplog.clear()
    split(method, state, cosines, 2)
    assert int(state.first) == 36
    assert "within the 2 that are counted for 'risky' in all epochs: its" in caplog.text
    assert "'safe'" not in caplog.text, "that was told before the first step"
    caplog.clear()
    at_once = dataclasses.replace(method, in_modal_epochs=0, slow_epochs=0, epochs=2)
    split(at_once, begun(at_once), cosines, 0)
    assert "within the 8 that are counted for 'safe' in all epochs: its" in caplog.text
    assert "ends at 0.0018 instead of 0.002" in caplog.text
    caplog.clear()
    split(method, state, cosines, 3)
    assert "warm-up" not in caplog.text, "once"


def test_of_the_released_schedules_it_is_told_by_what_they_count(caplog: pytest.LogCaptureFixture) -> None:
    """They run ahead: the one epoch within modalities ends at 12 where 6 steps were taken, and reaches the rate."""
    for warmup, said in ((12, False), (13, True)):
        method = SafeCLIP(**{**BRIEF, "warmup_steps": warmup}, legacy_schedule=True)
        split(method, begun(method), torch.zeros(48), 0)
        assert ("'in_modal'" in caplog.text) is said
    assert "the warm-up of 13 steps does not end within the 12 that are counted for 'in_modal'" in caplog.text


def test_pairs_that_an_attacker_adds_are_split_too() -> None:
    """To 48 pairs come 10, which the evaluator finds in both parts; a budget that they use up is refused."""
    data, method = tiny.data(48, tiny.added()), SafeCLIP(**{**BRIEF, "epochs": 3, "fallback_ratio": 0.5})
    with pytest.raises(ValueError, match=r"^method\.steps: 13 leave none after the 14 of the 2 epochs before the spl"):
        train(dataclasses.replace(method, steps=13), tiny.clip(), data, seed=0)
    end = train(method, tiny.clip(), data, seed=0)
    assert isinstance(end.state, Parted)
    assert end.state.safe.shape == end.state.cosine.shape == (58,)
    context = Context(
        sets={}, aim=Aim(), autocast=autocast_for("fp32", torch.device("cpu")), pairs=data.pairs, plan=data.plan,
        diagnostics=method.diagnostics(end.state),
    )  # fmt: skip
    found = {one.metric: one.value for one in SafeSet().evaluate(end.model, context).measures}
    safe, poison = end.state.safe, data.poisoned()
    assert poison.nonzero().flatten().tolist() == list(range(48, 58))
    assert found["poison_in_safe_by_chance"] == pytest.approx(10 / 58)
    assert found["safe_share"] == pytest.approx(float(safe.float().mean()))
    assert found["poison_called_safe"] == pytest.approx(float(safe[48:].float().mean()))
    assert found["poison_in_safe"] == pytest.approx(int(safe[48:].sum()) / int(safe.sum()))


def test_the_seed_of_the_mixture(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []

    def note(values: Any, seed: int) -> None:
        seeds.append(seed)

    monkeypatch.setattr("bezoar.training.safe_split.fit", note)  # no mixture, as of cosines that are all the same
    for given in (None, 0):
        method = SafeCLIP(**BRIEF, mixture_seed=given)
        state = begun(method)
        for epoch in (2, 3):
            split(method, state, torch.arange(48) / 48, epoch)
    assert seeds[2:] == [0, 0]
    assert len(set(seeds)) == 3


def told(method: SafeCLIP, count: int = 48, poisoned: bool = False) -> list[dict[str, Any]]:
    """The diagnostics after every epoch."""
    found: list[dict[str, Any]] = []

    def on_pause(pause: Pause) -> None:
        known = method.diagnostics(pause.state)  # type: ignore[arg-type]
        found.append({name: value.clone() if isinstance(value, Tensor) else value for name, value in known.items()})

    train(method, tiny.clip(), tiny.data(count, tiny.plan(count) if poisoned else None), seed=0, on_pause=on_pause)
    return found


def test_who_is_trained_on_how(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, list[int], Tensor]] = []

    def watch(name: str) -> None:
        inner = getattr(SafeCLIP, name)

        def loss(self: SafeCLIP, state: Parted, features: Features, batch: Batch) -> Any:
            seen.append((name, batch.indices.tolist(), state.safe.clone()))
            return inner(self, state, features, batch)

        monkeypatch.setattr(SafeCLIP, name, loss)

    for name in ("in_modal", "across"):
        watch(name)
    after = told(SafeCLIP(**BRIEF, ratio_step=0.2), poisoned=True)
    assert [one[0] for one in seen[:12]] == ["in_modal"] * 6 + ["across"] * 6
    for name, indices, safe in seen[12:]:
        assert safe[indices].tolist() == [name == "across"] * 8
    first, second = (int(one["safe"].sum()) for one in after[2:])
    assert second == int(first + 0.2 * 48)
    sizes = [(48 - first) // 8, first // 8, (48 - second) // 8, second // 8]
    names = [name for size, name in zip(sizes, ["in_modal", "across"] * 2, strict=True) for _ in range(size)]
    assert [one[0] for one in seen[12:]] == names, "the risky come first"


# -------------------------------------------------------------------------------------------------------------- losses


def drawn(seed: int, count: int = 6, width: int = 128) -> list[Tensor]:
    """Pictures, their other views, captions, their other views."""
    random = torch_generator(seed, "safeclip")
    return [F.normalize(torch.randn(count, width, generator=random), dim=1) for _ in range(4)]


def features(four: list[Tensor]) -> Features:
    image, other_image, text, other_text = (rows(one) for one in four)
    return Features(images=(image, other_image), texts=(text, other_text))


def plain(tensor: Tensor) -> Any:
    return tensor.double().numpy()


def test_within_a_modality_without_a_bank_by_hand() -> None:
    method = SafeCLIP(**{**BRIEF, "bank_size": 0})
    four = [one.requires_grad_() for one in drawn(0)]
    terms = method.in_modal(begun(method), features(four), NOTHING)
    image, other_image, text, other_text = (plain(one.detach()) for one in four)
    expected = {"in_modal_image": find(other_image, image) / 2, "in_modal_text": find(other_text, text) / 2}
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-5)
    torch.autograd.backward(sum(terms.values()))  # type: ignore[arg-type]
    assert all(one.grad is not None and one.grad.any() for one in four), "the gradient flows to both views"


@pytest.mark.parametrize("size", [4, 9, 13])
@pytest.mark.parametrize("end", ["wrap", "cut"])
@pytest.mark.parametrize("start", ["empty", "random"])
def test_within_a_modality_with_banks_by_lists(size: int, end: Any, start: Any) -> None:
    """Five batches of six; a bank is a list of slots, asked before it is told."""
    method = SafeCLIP(**{**BRIEF, "bank_size": size}, bank_end=end, bank_start=start)
    state = begun(method)
    assert state.image_bank is not None
    assert state.text_bank is not None
    lists: list[list[Any]] = [
        [row.double().numpy() for row in bank.entries] if start == "random" else [None] * size
        for bank in (state.image_bank, state.text_bank)
    ]
    places = [0, 0]
    for number in range(5):
        four = [one.requires_grad_() for one in drawn(number)]
        terms = method.in_modal(state, features(four), NOTHING)
        for kind, (name, slots) in enumerate(zip(("in_modal_image", "in_modal_text"), lists, strict=True)):
            view, other = (plain(one.detach()) for one in four[2 * kind : 2 * kind + 2])
            known = [slot for slot in slots if slot is not None]
            nearest = np.stack([known[np.argmax([row @ slot for slot in known])] if known else row for row in view])
            assert terms[name].item() == pytest.approx(find(other, nearest) / 2, rel=1e-5)
            for row in view:
                if end == "cut" and places[kind] == size:
                    break
                slots[places[kind] % size] = row
                places[kind] += 1
            places[kind] = 0 if places[kind] == size else places[kind] % size if end == "wrap" else places[kind]
        torch.autograd.backward(sum(terms.values()))  # type: ignore[arg-type]
        view, other = four[0], four[1]
        assert view.grad is None or not view.grad.any(), "what is found carries no gradient"
        assert other.grad is not None
        assert other.grad.any()


def test_the_rows_of_two_ranks_make_the_loss_of_the_whole_batch() -> None:
    method, four = SafeCLIP(**BRIEF), drawn(3)
    whole = method.in_modal(begun(method), features(four), NOTHING)
    parts = []
    for start in (0, 3):
        state = begun(method)
        image, other_image, text, other_text = (Rows(one[start : start + 3], one, start) for one in four)
        given = Features(images=(image, other_image), texts=(text, other_text))
        parts.append(method.in_modal(state, given, NOTHING))
        assert state.image_bank is not None
        assert int(state.image_bank.filled) == 6, "what all have seen"
    for name, term in whole.items():
        torch.testing.assert_close((parts[0][name] + parts[1][name]) / 2, term)


@pytest.mark.parametrize("cross", ["same", "crossed", "plain"])
def test_across_by_hand(cross: Any) -> None:
    method, four = SafeCLIP(**BRIEF, cross_views=cross), drawn(1)
    (term,) = method.across(begun(method), features(four), NOTHING).values()
    image, other_image, text, other_text = map(plain, four)
    same, crossed = (find(image, text), find(text, image)), (find(image, other_text), find(text, other_image))
    assert term.item() == pytest.approx(sum(crossed if cross == "crossed" else same) / 2, rel=1e-5)
    assert SCALE > 10, "far enough from 1 to be seen"


# ------------------------------------------------------------------------------------------------------------ schedules


def rates(method: SafeCLIP, state: Parted, epochs: int) -> Iterator[tuple[int, str, list[float]]]:
    """Epoch, name and rates of every pass, in order, as the loop would have them."""
    step = 0
    for epoch in range(epochs):
        if epoch >= method._begins:
            count = method._safe(state.pairs, int(state.first), epoch)
            state.safe.copy_(torch.arange(state.pairs) < count)
        for this in method.passes(state, epoch):
            steps = len(this.indices) // method.batch_size
            yield epoch, this.name, [this.schedule(step + number) for number in range(steps)]
            step += steps


def test_each_kind_of_pass_has_a_schedule_of_its_own() -> None:
    method = SafeCLIP(**{**BRIEF, "epochs": 7, "in_modal_epochs": 2}, in_modal_lr=2e-3, ratio_step=0.1)
    laid: dict[str, list[float]] = {"in_modal": [], "slow": [], "risky": [], "safe": []}
    for _, name, found in rates(method, begun(method, first=16), 7):
        laid[name] += found
    assert laid["slow"] == [5e-6] * 6
    assert len(laid["in_modal"]) == 12
    for name, lr in (("in_modal", 2e-3), ("risky", 2e-3), ("safe", 1e-3)):
        total = len(laid[name])
        expected = [lr / 2, lr]
        expected += [lr * (1 + math.cos(math.pi * (step - 2) / (total - 2))) / 2 for step in range(2, total)]
        assert laid[name] == pytest.approx(expected), name


def test_a_budget_of_steps_is_laid_out_too() -> None:
    """Six steps within modalities, six slow ones, and eight of the epochs after: whatever epochs says."""
    method = SafeCLIP(**{**BRIEF, "epochs": 3}, steps=20, ratio_step=0.1)
    assert method.total_steps(48) == 20
    legs = list(method._legs(48, 16))
    assert [(leg.epoch, leg.name, leg.steps) for leg in legs] == [
        (0, "in_modal", 6), (1, "slow", 6), (2, "risky", 4), (2, "safe", 2), (3, "risky", 2), (3, "safe", 0)
    ]  # fmt: skip
    state = begun(method, first=16)
    assert method._schedule("risky", state, 3).total == 6
    assert method._schedule("safe", state, 2).total == 2
    end = train(method, tiny.clip(), tiny.data(48), seed=0)
    assert end.step == 20


@pytest.mark.parametrize("cross", [True, False])
def test_steps_are_counted_pass_by_pass(cross: bool) -> None:
    """Two epochs of six; then, where the risky are left out, of the safe alone: before the split those of the fallback,
    13 and 17 of 48, and in the progress the real ones as soon as they are known."""
    method = SafeCLIP(**BRIEF, cross_in_modal=cross, fallback_ratio=0.28, ratio_step=0.1, safe_posterior=0.5)
    assert method.total_steps(48) == 12 + 1 + 2 + cross * (4 + 3)
    totals: dict[int, int] = {}
    end = train(
        method, tiny.clip(), tiny.data(48), seed=0, listen=lambda event: totals.update({event.done: event.total})
    )  # fmt: skip
    assert isinstance(end.state, Parted)
    assert {total for done, total in totals.items() if done <= 12} == {method.total_steps(48)}
    assert {total for done, total in totals.items() if done > 12} == {end.step}
    first = int(end.state.first)
    assert first != 13, "else nothing is shown"
    safe = (first, method._safe(48, first, 3))
    assert end.step == 12 + sum(size // 8 + cross * ((48 - size) // 8) for size in safe)


def test_a_budget_of_steps_that_ends_before_the_split_is_refused() -> None:
    """48 pairs are 6 batches, and two epochs come before the split."""
    with pytest.raises(
        ValueError, match=r"^method\.steps: 12 leave none after the 12 of the 2 epochs before the split"
    ):
        check_pairs(SafeCLIP(**BRIEF, steps=12), tiny.data(48).pairs)
    check_pairs(SafeCLIP(**BRIEF, steps=13), tiny.data(48).pairs)


def test_the_log_of_a_training(tmp_path: Path) -> None:
    method = SafeCLIP(**BRIEF, ratio_step=0.1)
    state, _, log = run(method, tmp_path, 48)
    laid = rates(method, begun(method, first=int(state["first"])), 4)
    expected = [(epoch, name, rate) for epoch, name, of in laid for rate in of]
    assert [(line["epoch"], line["pass"]) for line in log] == [one[:2] for one in expected]
    assert [line["lr"] for line in log] == pytest.approx([one[2] for one in expected])
    assert {(line["pass"], *line["terms"]) for line in log} == {
        ("in_modal", "in_modal_image", "in_modal_text"), ("slow", "contrastive"),
        ("risky", "in_modal_image", "in_modal_text"), ("safe", "contrastive"),
    }  # fmt: skip


def released(method: SafeCLIP, pairs: int, ratio: float) -> Iterator[tuple[int, str, list[float]]]:
    """The released code, line for line in arithmetic: epochs from 1, totals as it has them, nothing clamped."""
    batch, warmup = method.batch_size, method.warmup_steps
    batches, before = pairs // batch, method.in_modal_epochs + method.slow_epochs

    def rate(base: float, total: float, step: float) -> float:
        if step < warmup:
            return base * (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) * base

    total = sum((number * method.ratio_step + ratio) * batches for number in range(method.epochs - before))
    mean = total // (method.epochs - before)
    for epoch in range(1, method.epochs + 1):
        if epoch <= method.in_modal_epochs:
            steps = [batches * epoch + index for index in range(batches)]
            yield epoch, "in_modal", [rate(method.in_modal_lr, batches * before, step) for step in steps]
        elif epoch <= before:
            yield epoch, "slow", [method.slow_lr] * batches
        else:
            safe = int(pairs * ratio + 1e-6)
            risky_batches, safe_batches = (pairs - safe) // batch, safe // batch
            steps = [risky_batches * epoch + index for index in range(risky_batches)]
            yield epoch, "risky", [rate(method.in_modal_lr, total, step) for step in steps]
            yield epoch, "safe", [rate(method.lr, total, mean * epoch + index) for index in range(safe_batches)]
            ratio = min(ratio + method.ratio_step, method.ratio_max)


@pytest.mark.parametrize(
    ("method", "pairs", "first"),
    [
        (SafeCLIP(**{**BRIEF, "epochs": 8}, legacy_schedule=True), 160, 40),
        (SafeCLIP(**{**BRIEF, "epochs": 8, "warmup_steps": 30}, legacy_schedule=True, in_modal_lr=3e-4), 160, 120),
        (SafeCLIP(**{**BRIEF, "epochs": 32, "in_modal_epochs": 5}, legacy_schedule=True), 400, 300),
    ],
)
def test_the_released_schedules(method: SafeCLIP, pairs: int, first: int) -> None:
    """Also where the ratio reaches its maximum, of which the released total knows nothing."""
    found = list(rates(method, begun(method, pairs, first), method.epochs))
    for (epoch, name, ours), (number, other, theirs) in zip(found, released(method, pairs, first / pairs), strict=True):
        assert (epoch + 1, name) == (number, other)
        assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-15), (epoch, name)


def test_the_released_schedules_at_a_million_pairs() -> None:
    """The numbers of the fact sheet's section 5.4, of a batch of 512, a warm-up of 10,000 and a first ratio of 0.15."""
    method = SafeCLIP(lr=1.0, in_modal_lr=1.0, legacy_schedule=True)
    found: dict[str, dict[int, list[float]]] = {"safe": {}, "risky": {}, "in_modal": {}, "slow": {}}
    for epoch, name, of in rates(method, begun(SafeCLIP(bank_size=0), 1_000_000, 150_000), 32):
        found[name][epoch + 1] = of
    safe, risky = found["safe"], found["risky"]
    # With 1,953 batches an epoch the sheet's 0.57 is 0.565, and its 0.86 is 0.846.
    assert [safe[epoch][0] for epoch in (26, 30, 32)] == pytest.approx([0.00, 0.57, 0.92], abs=0.0055)
    assert 1_953 * sum(0.15 + 0.01 * number for number in range(26)) == pytest.approx(13_963.95)
    assert safe[7][0] == 7 * 537 / 10_000 + 1 / 10_000, "starts about 27 % in: 3,759 of 13,964"
    assert min(safe[epoch][0] for epoch in range(27, 32)) < safe[32][0], "it rises again"
    ranges = {8: (0.00, 0.11), 10: (0.53, 0.98), 26: (0.846, 1.0), 32: (0.00, 0.12)}
    for epoch, expected in ranges.items():
        assert (min(risky[epoch]), max(risky[epoch])) == pytest.approx(expected, abs=0.0055), epoch
    assert set(found["slow"]) == {6}
    assert set(found["slow"][6]) == {5e-6}
    assert set(found["in_modal"]) == {1, 2, 3, 4, 5}


# ----------------------------------------------------------------------------------------------------- whole trainings


SHORT = SafeCLIP(**{**BRIEF, "epochs": 3, "in_modal_epochs": 0}, safe_posterior=1e-300, fallback_ratio=0.5)
"""Of 40 pairs 20 are safe first: those of highest cosine, as all of them have so small a probability at least."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steplog, "LOG_EVERY", 1)
        return run(SHORT, tmp_path_factory.mktemp("whole"), 40)


@pytest.mark.parametrize("after", [4, 6, 7, 8])
def test_a_killed_training_goes_on_with_the_same_bits(after: int, tmp_path: Path, whole: Any) -> None:
    """Before the first split, within its first pass, between the two, within the second."""
    assert [line["pass"] for line in whole[2]][:9] == ["slow"] * 5 + ["risky"] * 2 + ["safe"] * 2
    broken(SHORT, tmp_path, after, 40)
    kept = torch.load(tmp_path / "training_state", weights_only=True)
    assert {"first", "safe", "mixture", "image_bank.entries", "text_bank.place"} <= kept["state"].keys()
    assert bool(kept["state"]["first"]) == (after > 5)
    assert equal(run(SHORT, tmp_path, 40), whole)


def test_averages_and_locks_go_on_too(tmp_path: Path) -> None:
    method = dataclasses.replace(SHORT, ema=0.8, lock=("text",))
    whole = run(method, tmp_path / "whole", 40)
    broken(method, tmp_path / "broken", 7, 40)
    assert equal(run(method, tmp_path / "broken", 40), whole)


def test_chunks_change_nothing_without_batch_statistics() -> None:
    """Of the in-modal loss, whose banks are asked and filled once a step."""
    given = {**BRIEF, "batch_size": ranks.BATCH, "bank_start": "random"}
    whole, pieces = (ranks.step(SafeCLIP(**given, chunk_size=size), ALONE, torch.float64) for size in (None, 5))
    assert whole.keys() == pieces.keys()
    for name, grad in whole.items():
        torch.testing.assert_close(pieces[name], grad, rtol=1e-9, atol=1e-12)


def test_golden_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty steps through all phases: 4 within modalities, 4 slow ones, and four epochs of 3 or 4 that are split.

    At each split the last safe pair and the first risky one lie 8e-4 apart: whatever the processor, it is the same.
    """
    method = SafeCLIP(
        epochs=6, in_modal_epochs=1, slow_epochs=1, batch_size=16, bank_size=24, lr=1e-4, in_modal_lr=1e-4,
        warmup_steps=3, precision="fp32", caption_view=EDA, ratio_step=0.05, steps=20,
    )  # fmt: skip
    tiny.golden("safeclip", method, monkeypatch, tiny.data(64))


def test_the_page_names_the_released_form() -> None:
    """Every value as its parser has it, and every oddity of section 5."""
    page = (Path(__file__).parents[2] / "docs" / "methods" / "safeclip.md").read_text("utf-8")
    (text,) = re.findall(r"^```yaml\n(.*?)^```", page, re.M | re.S)
    plain = yaml.parse(text, "page")
    assert FAMILY.parse(plain["method"]) == SafeCLIP(
        batch_size=128, legacy_schedule=True, caption_view=Eda(frozen=True), cross_views="crossed", score_views=True,
        bank_start="random", bank_end="cut", mixture_seed=0, precision="fp32",
    )  # fmt: skip
