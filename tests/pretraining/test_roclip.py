"""RoCLIP: its loss by loops, which epochs match, what the text tower does then, its pool, resume, what is refused."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tests import tiny
from tests.pretraining.by_hand import FAMILY, SCALE, drawn, find
from tests.training import ranks
from tests.training.test_resume import _each_step, broken, equal, run
from torch import Tensor

from bezoar.core.records import read_lines
from bezoar.core.seeds import torch_generator
from bezoar.core.settings import dump
from bezoar.core.yaml import parse as read_yaml
from bezoar.data.captions import Eda
from bezoar.data.captions import Plain as PlainCaption
from bezoar.data.views import Plain, SimClr
from bezoar.experiment.experiment import parse
from bezoar.experiment.run import run as run_experiment
from bezoar.losses import info_nce
from bezoar.pretraining import METHODS, ClipPretraining, RoCLIP
from bezoar.training.batch import Batch, Features
from bezoar.training.loader import AsLeft, batches
from bezoar.training.loop import Pause, check_pairs, train
from bezoar.training.optimizer import adamw
from bezoar.training.peers import ALONE
from bezoar.training.pooled import Pooled
from bezoar.training.precision import autocast_for
from bezoar.training.stepping import Stepper

__all__ = ["_each_step"]
EDA = Eda(wordnet="none")
BRIEF: dict[str, Any] = {
    "epochs": 2, "batch_size": 8, "lr": 1e-3, "warmup_steps": 2, "precision": "fp32", "caption_view": EDA,
    "pool_share": 0.4,
}  # fmt: skip
NOTHING = Batch(ids=(), indices=torch.arange(0), everybody=torch.arange(0), images=(), texts=())


def begun(method: RoCLIP, count: int = 48, name: str = "micro-vit-32") -> Any:
    """The state of a training that has not begun."""
    return method.build(tiny.clip(name), AsLeft(tiny.data(count)), 0)


def steps(method: RoCLIP, state: Any, count: int = 48) -> tuple[Stepper, Callable[[int], Any]]:
    """What takes steps, and a call that takes the next one of an epoch, given by its number."""
    state.train()
    stepper = Stepper(
        method=method, state=state, optimizer=adamw(state, method), scaler=torch.amp.GradScaler("cpu", enabled=False),
        autocast=autocast_for("fp32", torch.device("cpu")), peers=ALONE, seed=0,
    )  # fmt: skip
    taken = [0]

    def step(epoch: int) -> Any:
        (this,) = method.passes(state, epoch)
        stream = batches(
            tiny.data(count), state.model.tokenize, this, batch_size=8, seed=0, epoch=epoch, start=taken[0] % 6
        )
        taken[0] += 1
        return stepper(this, next(stream), taken[0])

    return stepper, step


def of_text(state: Any) -> dict[str, torch.nn.Parameter]:
    """The parameters of the text tower."""
    every: dict[str, torch.nn.Parameter] = dict(state.model.tower.named_parameters())
    return {name: one for name, one in every.items() if "visual" not in name and name != "logit_scale"}


def texts_of(state: Any) -> dict[str, Tensor]:
    return {name: weights.detach().clone() for name, weights in of_text(state).items()}


def test_it_is_in_the_family() -> None:
    assert RoCLIP in METHODS
    assert FAMILY.parse({"kind": "roclip", "match_every": 3}) == RoCLIP(match_every=3)
    with pytest.raises((ValueError, ValidationError), match=re.escape("did you mean 'pool_size'")):
        FAMILY.parse({"kind": "roclip", "poolsize": 100})


def test_defaults_are_those_of_paper_and_parser() -> None:
    method = RoCLIP()
    assert (method.epochs, method.batch_size, method.lr, method.warmup_steps) == (24, 512, 5e-5, 10_000)
    assert (method.weight_decay, method.match_every, method.pool_share, method.in_modal_weight) == (0.1, 2, 0.02, 0)
    assert (method.pool_start, method.pool_end, method.pool_fed, method.text_tower) == (
        "empty", "wrap", "always", "frozen",
    )  # fmt: skip
    assert method.caption_view == Eda()
    view = method.image_view
    assert isinstance(view, SimClr)
    assert (view.flip, view.least, view.jitter, view.grey, view.blur, view.kernel) == (0.5, 0.08, 0.8, 0.2, 1, 21)
    assert (view.brightness, view.contrast, view.saturation, view.hue) == (0.5, 0.5, 0.5, 0.1)
    assert (view.sigma_low, view.sigma_high, view.reference) == (0.1, 2, 224)


@pytest.mark.parametrize(
    ("every", "matching"), [(1, range(8)), (2, (1, 3, 5, 7)), (3, (2, 5)), (8, (7,)), (9, ())]
)  # fmt: skip
def test_epochs_match_whose_number_from_one_is_a_multiple(every: int, matching: Any) -> None:
    method = RoCLIP(match_every=every)
    assert [epoch for epoch in range(8) if method.matches(epoch)] == list(matching)


@pytest.mark.parametrize("epoch", [0, 1])
def test_pictures_and_captions_are_replaced_by_views_in_every_epoch(epoch: int) -> None:
    method = RoCLIP(**BRIEF)
    (whole,) = method.passes(begun(method), epoch)
    assert (whole.name, whole.image_views, whole.caption_views) == ("all", (SimClr(),), (EDA,))
    assert len(whole.indices) == 48
    assert method.views() == (SimClr(), EDA)


@pytest.mark.parametrize(
    ("settings", "size"),
    [({}, 1), ({"pool_share": 0.5}, 24), ({"pool_share": 1.0}, 48), ({"pool_size": 7, "pool_share": 0.5}, 7)],
)
def test_the_size_of_the_pool(settings: dict[str, Any], size: int) -> None:
    state = begun(RoCLIP(batch_size=8, **settings))
    assert state.pool.entries.shape == (size, 128)
    assert state.pool.filled.item() == 0


def test_the_released_form_as_its_page_writes_it() -> None:
    page = (Path(__file__).parents[2] / "docs" / "methods" / "roclip.md").read_text("utf-8")
    written: Any = read_yaml(page.partition("```yaml\n")[2].partition("```")[0], "roclip.md")
    assert FAMILY.parse(written["method"]) == RoCLIP(
        epochs=30, batch_size=512, lr=5e-5, warmup_steps=10_000, weight_decay=0.1, match_every=3, pool_size=21_845,
        pool_start="random", pool_end="cut", pool_fed="matching", text_tower="drifting", image_view=SimClr(),
        caption_view=Eda(frozen=True), legacy_schedule=True, precision="fp32",
    )  # fmt: skip


# ----------------------------------------------------------------------------------------------------- the loss by hand


def five(method: RoCLIP, pool: Tensor) -> Any:
    """A state whose pool holds ``pool`` of features as ``by_hand`` draws them."""
    from bezoar.training.pool import Pool
    from bezoar.training.pooled import Pooled

    held = Pool(len(pool), 5, generator=torch_generator(0, "unused"), start="random", end=method.pool_end)
    held.entries.copy_(pool)
    return Pooled(tiny.clip(), 48, held, keeps_tokens=False)


def numbers(features: Tensor) -> Any:
    return features.double().numpy()


@pytest.mark.parametrize("size", [2, 9])
def test_the_matched_loss_by_loops(size: int) -> None:
    """Six pictures: with two captions in the pool some find the same, which is then among the wrong answers too."""
    method, features = RoCLIP(**BRIEF), drawn(1)
    image, text = features.images[0].own, features.texts[0].own
    pool = torch.nn.functional.normalize(torch.randn(size, 5, generator=torch_generator(0, "pool")), dim=1)
    state = five(method, pool)
    (this,) = method.passes(state, 1)
    terms = this.loss(state, features, NOTHING)

    nearest = []
    for picture in numbers(image):
        cosines = [sum(a * b for a, b in zip(picture, caption, strict=True)) for caption in numbers(pool)]
        nearest.append(cosines.index(max(cosines)))
    found = numbers(pool)[nearest]
    assert len(set(nearest)) < 6
    expected = (find(numbers(image), found) + find(found, numbers(image))) / 2
    assert {name: term.item() for name, term in terms.items()} == pytest.approx({"matched": expected}, rel=1e-5)
    kept = torch.cat([pool, text])[-size:] if size < 6 else torch.cat([text, pool[6:]])
    assert torch.equal(state.pool.entries, kept)  # only afterwards


def test_a_picture_does_not_find_the_captions_of_its_own_batch() -> None:
    """Nearest of all would be a caption that is its picture; the pool is asked before it goes in."""
    method, features = RoCLIP(**BRIEF), drawn(1)
    same = dataclasses.replace(features, texts=features.images)
    state = five(method, -features.images[0].own)
    (this,) = method.passes(state, 1)
    first, second = (this.loss(state, same, NOTHING)["matched"].item() for _ in range(2))
    image = numbers(features.images[0].own)
    far = np.stack([max(-image, key=lambda entry: float(entry @ one)) for one in image])
    assert first == pytest.approx((find(image, far) + find(far, image)) / 2, rel=1e-5)
    assert second == pytest.approx(find(image, image), rel=1e-3)
    assert first > 2 * second


@pytest.mark.parametrize("fed", ["always", "matching"])
def test_other_epochs_are_clips_and_feed_the_pool_or_not(fed: Any) -> None:
    method, features = RoCLIP(**BRIEF, pool_fed=fed), drawn(1)
    image, text = features.images[0].own, features.texts[0].own
    state = five(method, torch.eye(5)[:3])
    (this,) = method.passes(state, 0)
    terms = {name: term.item() for name, term in this.loss(state, features, NOTHING).items()}
    both = (find(numbers(image), numbers(text)) + find(numbers(text), numbers(image))) / 2
    assert terms == pytest.approx({"contrastive": both}, rel=1e-5)
    assert torch.equal(state.pool.entries, text[-3:] if fed == "always" else torch.eye(5)[:3])


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("mode", ["frozen", "drifting"])
def test_in_modal_terms_in_every_epoch(mode: Any, epoch: int) -> None:
    """Two views of both; where the text tower stays as it is, captions have one and no term."""
    method = RoCLIP(**BRIEF, in_modal_weight=0.5, text_tower=mode)
    rests = mode == "frozen" and epoch == 1
    state = five(method, torch.eye(5))
    (this,) = method.passes(state, epoch)
    assert (len(this.image_views), len(this.caption_views)) == (2, 1 if rests else 2)
    both = drawn()
    features = Features(images=both.images, texts=both.texts[: len(this.caption_views)])
    terms = {name: term.item() for name, term in this.loss(state, features, NOTHING).items()}
    expected = {"in_modal_image": find(*(numbers(view.own) for view in both.images)) / 4}
    if not rests:
        expected["in_modal_text"] = find(*(numbers(view.own) for view in both.texts)) / 4
    first = terms.pop("matched" if epoch == 1 else "contrastive")
    assert terms == pytest.approx(expected, rel=1e-5)
    single = RoCLIP(**BRIEF, text_tower=mode)
    (this,) = single.passes(five(single, torch.eye(5)), epoch)
    (alone,) = this.loss(five(single, torch.eye(5)), drawn(1), NOTHING).values()
    assert first == pytest.approx(alone.item() if epoch == 0 else first, rel=1e-5)


def test_while_the_pool_is_empty_a_caption_stands_for_itself() -> None:
    """In the first step alone, where every epoch matches; there too the text tower gets nothing of it."""
    method = RoCLIP(**BRIEF, match_every=1)
    state = begun(method)
    (this,) = method.passes(state, 0)
    batch = next(batches(tiny.data(48), state.model.tokenize, this, batch_size=8, seed=0, epoch=0))
    features = this.encode(state, batch)
    assert not features.texts[0].own.requires_grad  # between ranks even a gradient of zero would be one
    terms = this.loss(state, features, batch)
    plain = info_nce(features.images[0], features.texts[0], state.model.scale)
    assert terms["matched"].item() == pytest.approx(plain.item(), rel=1e-6)
    torch.autograd.backward(terms["matched"])
    assert all(weights.grad is None for weights in of_text(state).values())
    assert state.pool.filled.item() == 8


# ------------------------------------------------------------------------------- the text tower in epochs that match


def test_frozen_the_text_tower_stays_as_it_is_bit_for_bit() -> None:
    """Though it has momentum, and decay would shrink it; pictures and the scale go on learning."""
    method = RoCLIP(**BRIEF)
    state = begun(method)
    stepper, step = steps(method, state)
    before = texts_of(state)
    for _ in range(3):
        step(0)
    plain = texts_of(state)
    assert not any(torch.equal(plain[name], before[name]) for name in before if "in_proj_bias" not in name)
    others = {name: weights.detach().clone() for name, weights in state.model.tower.named_parameters()}
    moments = {name: copy.deepcopy(stepper.optimizer.state[weights]) for name, weights in of_text(state).items()}
    for _ in range(3):
        step(1)
    assert tiny.same(texts_of(state), plain)
    for name, weights in of_text(state).items():
        assert weights.grad is None
        assert tiny.same(stepper.optimizer.state[weights], moments[name])
    moved = {n for n, w in state.model.tower.named_parameters() if not torch.equal(w, others[n])}
    assert "logit_scale" in moved
    assert {name for name in others if "visual" in name and name.endswith("weight")} <= moved
    step(0)
    assert not torch.equal(texts_of(state)["token_embedding.weight"], plain["token_embedding.weight"])


def test_drifting_it_moves_as_adamw_does_without_a_gradient() -> None:
    method = RoCLIP(**BRIEF, text_tower="drifting")
    state = begun(method)
    stepper, step = steps(method, state)
    step(0)
    twin = copy.deepcopy(of_text(state))
    groups = [
        {"params": [weights for name, weights in twin.items() if of_text(state)[name] in set(group["params"])],
         "weight_decay": group["weight_decay"]}
        for group in stepper.optimizer.param_groups
    ]  # fmt: skip
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], fused=True)
    for name, weights in twin.items():
        optimizer.state[weights] = copy.deepcopy(stepper.optimizer.state[of_text(state)[name]])
        weights.grad = torch.zeros_like(weights)
    before = texts_of(state)
    for _ in range(2):
        step(1)
        for group in optimizer.param_groups:
            group["lr"] = stepper.optimizer.param_groups[0]["lr"]
        optimizer.step()
        assert tiny.same(texts_of(state), {name: weights.detach() for name, weights in twin.items()})
    assert not any(torch.equal(now, before[name]) for name, now in texts_of(state).items())


def test_trained_it_learns_from_the_captions_that_were_matched() -> None:
    method = RoCLIP(**BRIEF, text_tower="trained")
    state = begun(method)
    _, step = steps(method, state)
    for _ in range(3):
        step(0)
    assert state.pool.filled.item() == len(state.pool) == 19
    (this,) = method.passes(state, 1)
    batch = next(batches(tiny.data(48), state.model.tokenize, this, batch_size=8, seed=0, epoch=1))
    state.zero_grad()
    tokens, entries = state.tokens.clone(), state.pool.entries.clone()
    features = this.encode(state, batch)
    assert not features.texts[0].own.requires_grad
    terms = this.loss(state, features, batch)
    torch.autograd.backward(terms["matched"])
    found = {name: weights.grad.clone() for name, weights in of_text(state).items() if weights.grad is not None}
    assert found.keys() == of_text(state).keys()

    state.zero_grad()
    image = state.model.encode_image(batch.images[0])
    chosen = [int(np.argmax([float(one.detach() @ entry) for entry in entries])) for one in image]
    again = info_nce(image, state.model.encode_text(tokens[chosen]), state.model.scale)
    assert terms["matched"].item() == pytest.approx(again.item(), rel=1e-5)
    torch.autograd.backward(again)
    for name, weights in of_text(state).items():
        torch.testing.assert_close(found[name], weights.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("end", ["wrap", "cut"])
@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_the_tokens_kept_are_those_of_the_entries(end: Any, weight: float) -> None:
    """With weights that do not move, an entry is what the tower says of its tokens."""
    method = RoCLIP(**{**BRIEF, "lr": 0.0}, text_tower="trained", pool_end=end, in_modal_weight=weight)
    end_state: Any = train(method, tiny.clip("micro-vit-32"), tiny.data(48), seed=0).state
    assert end_state.pool.filled.item() == len(end_state.pool)
    with torch.no_grad():
        said = end_state.model.eval().encode_text(end_state.tokens)
    torch.testing.assert_close(said, end_state.pool.entries, rtol=0, atol=1e-5)
    assert len(end_state.tokens.unique(dim=0)) > len(end_state.tokens) / 2


def test_without_a_matching_epoch_yet_it_is_clip_on_augmented_pairs() -> None:
    models: list[dict[str, Tensor]] = []

    def first(pause: Pause) -> None:
        if pause.epoch == 1:
            models.append({name: value.clone() for name, value in pause.model.state_dict().items()})

    given = {name: value for name, value in BRIEF.items() if name != "pool_share"}
    for method in (RoCLIP(**BRIEF), ClipPretraining(**given, image_view=SimClr())):
        train(method, tiny.clip("micro-vit-32"), tiny.data(24), seed=0, on_pause=first)
    assert tiny.same(*models)


# ------------------------------------------------------------------------------------------ chunks, ranks and resume


@pytest.mark.parametrize("mode", ["frozen", "drifting"])
@pytest.mark.parametrize("every", [1, 2])
def test_chunks_change_nothing_without_batch_statistics(mode: Any, every: int) -> None:
    given = {**BRIEF, "batch_size": ranks.BATCH, "match_every": every, "pool_start": "random", "text_tower": mode}
    whole, pieces = (
        ranks.step(RoCLIP(**given, chunk_size=size), ALONE, torch.float64) for size in (None, 5)
    )  # fmt: skip
    assert whole.keys() == pieces.keys()
    for name, grad in whole.items():
        torch.testing.assert_close(pieces[name], grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("mode", "after"), [("trained", 2), ("trained", 5), ("drifting", 6), ("frozen", 5)])
def test_a_killed_training_goes_on_with_the_same_bits(mode: Any, after: int, tmp_path: Path) -> None:
    """Four steps that do not match, four that do; the pool is as it was."""
    method = RoCLIP(**BRIEF, text_tower=mode, in_modal_weight=0.5 if mode == "trained" else 0.0)
    whole = run(method, tmp_path / "whole")
    assert "pool.entries" in whole[0]
    assert ("tokens" in whole[0]) == (mode == "trained")
    broken(method, tmp_path / "broken", after)
    assert equal(run(method, tmp_path / "broken"), whole)


def test_a_killed_training_with_the_released_pool_goes_on_too(tmp_path: Path) -> None:
    method = RoCLIP(**BRIEF, pool_start="random", pool_end="cut", pool_fed="matching", text_tower="drifting")
    whole = run(method, tmp_path / "whole")
    broken(method, tmp_path / "broken", 5)
    assert equal(run(method, tmp_path / "broken"), whole)


def test_it_goes_on_from_a_model_that_was_trained_before(tmp_path: Path) -> None:
    """Fine-tuning: as a stage that starts from another one."""
    plain = tiny.experiment()
    method = dump(RoCLIP(**{**BRIEF, "image_view": Plain(), "caption_view": PlainCaption()}))
    plain["stages"] = [plain["stages"][0], {"name": "robust", "start": "victim", "pairs": "clean", "method": method}]
    run_experiment(parse(plain), tmp_path / "out")
    found = {(line["stage"], line["after"]) for line in read_lines(tmp_path / "out" / "records.jsonl")}
    assert found == {("victim", "clip"), ("robust", "roclip")}


@pytest.mark.parametrize("tower", ["frozen", "trained", "drifting"])
def test_on_towers_whose_captions_cannot_be_cut(tower: Any) -> None:
    """SigLIP's: matched captions are read in the full context, without padding of ours."""
    model, data = tiny.clip("micro-siglip-32"), tiny.data(16)
    assert not model.cuts_captions
    method = RoCLIP(**{**BRIEF, "pool_share": 1.0, "caption_view": PlainCaption()}, text_tower=tower)
    weights: list[Tensor] = []

    def on_pause(pause: Pause) -> None:
        weights.append(torch.cat([w.detach().flatten() for w in pause.model.tower.text.parameters()]))  # type: ignore[union-attr]

    end = train(method, model, data, seed=0, on_pause=on_pause)
    assert isinstance(end.state, Pooled)
    assert torch.equal(*weights) is (tower == "frozen")
    if end.state.tokens is not None:
        said = {tuple(row) for row in model.tokenize([data.caption(index) for index in range(16)]).tolist()}
        assert {tuple(row) for row in end.state.tokens.tolist()} == said


# ------------------------------------------------------------------------------------------------------ what is refused


def test_what_cannot_be_together() -> None:
    with pytest.raises(ValidationError, match=r"chunk_size: 4 pairs at a time .*\(choices: null\)"):
        RoCLIP(text_tower="trained", chunk_size=4)
    with pytest.raises(ValidationError, match=r"pool_start: random directions are no captions .*\(choices: empty\)"):
        RoCLIP(text_tower="trained", pool_start="random")
    for share in (0.0, 1.5):
        with pytest.raises(ValidationError, match="pool_share"):
            RoCLIP(pool_share=share)


def test_a_pool_larger_than_the_data() -> None:
    said = "method.pool_size: 21,845 captions are more than the 32 pairs of the source"
    with pytest.raises(ValueError, match=said):
        train(RoCLIP(**BRIEF, pool_size=21_845), tiny.clip(), tiny.data(32), seed=0)
    check_pairs(RoCLIP(pool_size=32, match_every=1), tiny.data(32).pairs)


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({"epochs": 2}, "epochs: 2 end before the first epoch that matches, number 3"),
        ({"epochs": 9, "steps": 8}, "steps: 8 end before the first epoch that matches"),  # two epochs of four steps
    ],
)
def test_a_budget_without_an_epoch_that_matches(budget: dict[str, Any], said: str) -> None:
    given = {**BRIEF, "match_every": 3}
    with pytest.raises(ValueError, match=f"method.{said}"):
        train(RoCLIP(**{**given, **budget}), tiny.clip(), tiny.data(32), seed=0)
    check_pairs(RoCLIP(**{**given, "epochs": 3}), tiny.data(32).pairs)
    check_pairs(RoCLIP(**{**given, "epochs": 1, "steps": 9}), tiny.data(32).pairs)


def test_pairs_that_an_attacker_adds_are_in_the_pool_and_in_the_budget() -> None:
    """To 32 pairs come 10: five batches of eight are an epoch, where the source has four."""
    data = tiny.data(32, tiny.added(32))
    end = train(RoCLIP(**{**BRIEF, "pool_share": 1.0}), tiny.clip(), data, seed=0)
    assert isinstance(end.state, Pooled)
    assert (end.step, len(end.state.pool), int(end.state.pool.filled)) == (10, 42, 42)
    longer = {**BRIEF, "match_every": 3, "steps": 9}
    check_pairs(RoCLIP(**longer), data.pairs)
    with pytest.raises(ValueError, match=r"method\.steps: 9 end before the first epoch that matches, number 3"):
        train(RoCLIP(**longer), tiny.clip(), data, seed=0)


def test_it_is_said_before_anything_is_trained(tmp_path: Path) -> None:
    plain = tiny.experiment()
    plain["stages"][2]["method"] = dump(RoCLIP(**BRIEF, pool_size=17))
    with pytest.raises(ValueError, match=r"stages\.cleanclip\.method\.pool_size: 17 captions are more than the 16 pa"):
        run_experiment(parse(plain), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_it_brings_pairs_together() -> None:
    model, data = tiny.clip(), tiny.data(32)
    method = RoCLIP(
        epochs=12, batch_size=16, lr=1e-3, warmup_steps=4, caption_view=PlainCaption(), image_view=Plain(),
        pool_share=1.0,
    )  # fmt: skip
    train(method, model, data, seed=0)
    model.eval()
    with torch.no_grad():
        images = model.encode_image(torch.stack([data.prepared[i] for i in range(32)]))
        table = images @ model.encode_captions([data.pairs.caption(i) for i in range(32)]).T
    assert table.diagonal().mean() > (table.sum() - table.trace()) / (32 * 31) + 0.1
    assert 1 < model.scale.item() != SCALE


def test_golden_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten batches an epoch: the second matches."""
    method = RoCLIP(
        epochs=2, batch_size=64, lr=1e-4, warmup_steps=5, precision="fp32", caption_view=EDA, pool_share=0.2
    )  # fmt: skip
    # Of two captions that are about as near to a picture another processor may find the other.
    tiny.golden("roclip", method, monkeypatch, near=5e-3)


@pytest.mark.parametrize("tower", ["frozen", "drifting"])
@pytest.mark.parametrize("name", ["image", "visual.*"])
def test_a_locked_image_tower_is_refused_where_nothing_would_learn(tower: str, name: str) -> None:
    method = RoCLIP(**{**BRIEF, "text_tower": tower, "lock": (name,)})
    said = rf"^method\.lock: with '{re.escape(name)}' nothing would learn in .* is '{tower}'"
    with pytest.raises(ValueError, match=said):
        train(method, tiny.clip(), tiny.data(64), seed=0)
    dataclasses.replace(method, lock=("visual.*.weight",)).check(tiny.clip())
    within = dataclasses.replace(method, in_modal_weight=1.0)
    if tower == "drifting":
        within.check(tiny.clip())  # captions learn from one another
    else:
        with pytest.raises(ValueError, match="nothing would learn"):
            within.check(tiny.clip())


def test_pairs_of_which_an_attacker_leaves_fewer_than_the_pool_holds() -> None:
    data = tiny.data(48, tiny.fewer())
    with pytest.raises(ValueError, match=r"^method\.pool_size: 48 captions are more than the 16 pairs"):
        train(RoCLIP(**BRIEF, pool_size=48), tiny.clip(), data, seed=0)


def test_a_pool_smaller_than_a_batch_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    method = RoCLIP(**{**BRIEF, "batch_size": 8, "pool_size": 7})
    method.build(tiny.clip(), AsLeft(tiny.data(64)), 0)
    assert "method.pool_size: the pool of 7 captions is smaller than a batch of 8" in caplog.text
    caplog.clear()
    dataclasses.replace(method, pool_size=8).build(tiny.clip(), AsLeft(tiny.data(64)), 0)
    assert not caplog.text
