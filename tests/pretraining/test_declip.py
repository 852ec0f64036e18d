"""DeCLIP: its loss by loops, its queue by a list, masked words, heads that go along, resume, refusals."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from tests import tiny
from tests.pretraining.by_hand import FAMILY, SCALE, find
from tests.training import ranks
from tests.training.test_resume import _each_step, broken, equal, run
from torch import Tensor
from torch.nn import functional as F

from bezoar.cleaning import NAD
from bezoar.core.rows import rows
from bezoar.core.seeds import torch_generator
from bezoar.core.settings import digest
from bezoar.data.captions import Eda
from bezoar.data.captions import Plain as PlainCaption
from bezoar.data.views import Moco
from bezoar.models.checkpoint import load_folder, read_card, save
from bezoar.models.layouts.declip import MEAN, STD
from bezoar.models.words import ordinary, read, words_in
from bezoar.pretraining import METHODS, ClipPretraining, DeCLIP
from bezoar.training import declip, declip_state
from bezoar.training.batch import Batch, Features
from bezoar.training.declip import DeclipLoss
from bezoar.training.declip_state import Declip
from bezoar.training.loader import AsLeft, batches
from bezoar.training.loop import check, check_pairs, train
from bezoar.training.method import Again
from bezoar.training.peers import ALONE, Peers

__all__ = ["_each_step"]
EDA = Eda(wordnet="none", operations=("swap", "delete"))
BRIEF: dict[str, Any] = {
    "epochs": 2, "batch_size": 8, "lr": 1e-3, "warmup_steps": 2, "precision": "fp32", "caption_view": EDA,
    "queue_size": 20, "projector_width": 12, "predictor_width": 5,
}  # fmt: skip
NOTHING = Batch(ids=(), indices=torch.arange(0), everybody=torch.arange(0), images=(), texts=())
TERMS = ("clip_weight", "nearest_weight", "simsiam_weight", "masked_weight", "in_modal_weight")


def only(**weights: float) -> DeCLIP:
    """Without the terms that are not named."""
    chosen: dict[str, Any] = {name: weights.get(name, 0.0) for name in TERMS}
    return DeCLIP(**BRIEF, **chosen)


def begun(method: DeCLIP, name: str = "micro-vit-32") -> Declip:
    return method.build(tiny.clip(name), AsLeft(tiny.data(48)), 0)


def first_batch(method: DeCLIP, state: Declip, epoch: int = 0) -> Batch:
    (this,) = method.passes(state, epoch)
    return next(batches(tiny.data(48), state.model.tokenize, this, batch_size=8, seed=0, epoch=epoch))


def drawn(width: int = 128) -> Features:
    random = torch_generator(0, "declip")
    raw = [torch.randn(6, width, generator=random) for _ in range(4)]
    units = [F.normalize(view, dim=1) for view in raw]
    asked = torch.tensor([[1.0], [0], [2], [1], [0], [3]])
    return Features(
        images=tuple(map(rows, (*units[:2], *raw[:2]))), texts=tuple(map(rows, (*units[2:], asked))),
    )  # fmt: skip


def numbers(view: Any) -> NDArray[np.float64]:
    return np.asarray(view.all.detach().double().numpy())


def test_it_is_in_the_family() -> None:
    assert DeCLIP in METHODS
    assert FAMILY.parse({"kind": "declip", "masked": 0.2}) == DeCLIP(masked=0.2)


def test_defaults_are_those_of_the_released_code() -> None:
    method = DeCLIP()
    assert [getattr(method, name) for name in TERMS] == [0.4, 0.2, 0.2, 0.2, 0]
    assert (method.masked, method.hidden, method.swapped) == (0.15, 0.8, 0.1)
    assert (method.queue_size, method.projector_width, method.predictor_width) == (65_536, 1024, 512)
    assert (method.beta1, method.beta2, method.eps, method.weight_decay) == (0.9, 0.98, 1e-8, 0.1)
    assert (method.lr, method.warmup_from, method.warmup_steps, method.schedule) == (1e-3, 0.1, 2500, "cosine")
    assert (method.min_scale, method.max_scale) == (math.exp(3), 100)
    view, words = method.image_view, method.caption_view
    assert isinstance(view, Moco)
    assert isinstance(words, Eda)
    assert (view.least, view.brightness, view.hue, view.grey, view.blur, view.flip) == (0.2, 0.4, 0.1, 0.2, 0.5, 0.5)
    assert words.operations == ("synonym", "swap", "delete")
    assert method.views() == (view, words)


def test_two_views_of_each_and_a_warm_up_that_begins_above_zero() -> None:
    method = DeCLIP(**{**BRIEF, "warmup_steps": 4}, warmup_from=0.2)
    (whole,) = method.passes(begun(method), 3)
    assert whole.image_views == (Moco(), Moco())
    assert whole.caption_views == (PlainCaption(), EDA)
    assert [whole.schedule(step) for step in range(4)] == pytest.approx([4e-4, 6e-4, 8e-4, 1e-3])
    assert whole.schedule(12) == pytest.approx(0, abs=1e-9)


# ----------------------------------------------------------------------------------------------------- the loss by hand


def test_the_contrastive_mean_of_four_pairs_by_loops() -> None:
    method, features = only(clip_weight=0.4), drawn()
    one, other, text, augmented = map(numbers, (*features.images[:2], *features.texts[:2]))
    each = [(find(image, words) + find(words, image)) / 2 for image in (one, other) for words in (text, augmented)]
    found = method.loss(begun(method), features, NOTHING)
    assert {name: term.item() for name, term in found.items()} == pytest.approx(
        {"contrastive": 0.4 * sum(each) / 4}, rel=1e-5
    )


@pytest.mark.parametrize("size", [5, 9, 40])
def test_the_nearest_captions_and_the_queue_by_a_list(size: int) -> None:
    """Both captions ask before either goes in; the augmented one goes in first."""
    method, features = dataclasses.replace(only(nearest_weight=0.2), queue_size=size), drawn()
    images, texts = [numbers(view) for view in features.images[:2]], [numbers(view) for view in features.texts[:2]]
    state, queue = begun(method), list[NDArray[np.float64]]()
    for step in range(4):
        expected = []
        for text in texts:
            nearest = [max(queue, key=lambda entry: float(entry @ one)) if queue else one for one in text]
            expected += [find(image, np.stack(nearest)) for image in images]
        found = method.loss(state, features, NOTHING)["nearest"].item()
        assert found == pytest.approx(0.2 * sum(expected) / 4, rel=1e-4), step
        queue = [*queue, *texts[1], *texts[0]][-size:]
    kept = {tuple(np.round(entry, 5)) for entry in state.queue.entries.double().numpy() if entry.any()}
    assert kept == {tuple(np.round(entry, 5)) for entry in queue}


def test_nothing_flows_back_through_what_is_nearest() -> None:
    method, features = only(nearest_weight=1.0), drawn()
    for view in (*features.images, *features.texts):
        view.own.requires_grad_()
    state = begun(method)
    method.loss(state, features, NOTHING)
    torch.autograd.backward(method.loss(state, features, NOTHING)["nearest"])
    assert [view.own.grad is not None for view in features.images[:2]] == [True, True]
    assert [view.own.grad for view in features.texts] == [None, None, None]


def test_simsiam_through_the_heads_by_hand() -> None:
    method, features = only(simsiam_weight=0.2), drawn()
    state = begun(method)
    weights = {name: value.detach().double().numpy() for name, value in state.heads.state_dict().items()}

    def linear(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        return np.asarray(x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"])

    def normed(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5))

    def cosine(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        return float(np.mean((one * other).sum(1) / lengths))

    z, p = [], []
    for raw in map(numbers, features.images[2:]):
        x = np.maximum(normed(linear(raw, "projector.linear1")), 0)
        x = np.maximum(normed(linear(x, "projector.linear2")), 0)
        z.append(normed(linear(x, "projector.linear3")))
        p.append(linear(np.maximum(normed(linear(z[-1], "predictor.linear1")), 0), "predictor.layer2"))
    expected = -(cosine(p[0], z[1]) + cosine(p[1], z[0])) / 2
    state.train()
    assert method.loss(state, features, NOTHING)["simsiam"].item() == pytest.approx(0.2 * expected, rel=1e-4)


def test_masked_words_through_the_towers_by_hand() -> None:
    """The mean over all words asked for, of what the tower makes of the caption without those that are hidden."""
    method = dataclasses.replace(only(masked_weight=0.2), masked=0.5)
    state = begun(method).eval()
    batch = first_batch(method, state)
    (this,) = method.passes(state, 0)
    features = this.encode(state, batch)
    asked, tokens = features.others["asked"], features.others["tokens"]
    assert torch.equal(tokens, batch.texts[0])
    changed, again, covered = method._masked(0, state, tokens, batch.indices)
    assert torch.equal(asked, again)
    assert not (covered & ~asked).any()
    expected = []
    for row in range(8):
        one = slice(row, row + 1)
        _, hidden = read(state.model, changed[one], covered[one], state.mask)
        for place in asked[row].nonzero()[:, 0].tolist():
            scores = state.heads.text_label_predictor(hidden[0, place]).detach().double()
            expected.append(float(scores.logsumexp(0) - scores[tokens[row, place]]))
    assert len(expected) > 10
    found = method.loss(state, features, batch)["masked"].item()
    assert found == pytest.approx(0.2 * sum(expected) / len(expected), rel=1e-4)


def test_in_modal_terms_between_the_views() -> None:
    method, features = only(in_modal_weight=0.5), drawn()
    one, other, text, augmented = map(numbers, (*features.images[:2], *features.texts[:2]))
    found = {name: term.item() for name, term in method.loss(begun(method), features, NOTHING).items()}
    assert found == pytest.approx(
        {"in_modal_image": find(one, other) / 4, "in_modal_text": find(text, augmented) / 4}, rel=1e-5
    )
    assert SCALE > 1


# -------------------------------------------------------------------------------------------------------- masked words


@pytest.mark.parametrize("name", ["micro-vit-32", "micro-siglip-32"])
def test_who_is_masked(name: str) -> None:
    """15 of 100 words; of these 80 hidden, 10 swapped, 10 as they are; start, end and padding never."""
    method = DeCLIP(**BRIEF)
    state = begun(method, name)
    data, tokenize = tiny.data(640), state.model.tokenize
    tokens = tokenize([data.caption(index) for index in range(640)])
    words = words_in(state.model, tokens, state.words)
    assert words.sum(1).min() >= 3
    indices = torch.arange(640)
    changed, asked, covered = method._masked(0, state, tokens, indices)
    swapped = changed != tokens
    assert not (asked & ~words).any()
    assert not ((covered | swapped) & ~asked).any()
    assert not (covered & swapped).any()
    count, total = int(asked.sum()), int(words.sum())
    assert abs(count - 0.15 * total) < 4 * math.sqrt(0.15 * 0.85 * total)
    assert abs(int(covered.sum()) - 0.8 * count) < 4 * math.sqrt(0.16 * count)
    assert 0 < int(swapped.sum()) < 0.1 * count + 4 * math.sqrt(0.09 * count)
    assert torch.isin(changed[swapped], ordinary(state.model)).all()
    part = method._masked(0, state, tokens[100:130], indices[100:130])
    assert all(torch.equal(one, whole[100:130]) for one, whole in zip(part, (changed, asked, covered), strict=True))
    assert not torch.equal(method._masked(1, state, tokens, indices)[1], asked)


def test_of_a_pair_that_comes_again_other_words_are_masked() -> None:
    """In chunks and on several ranks the same ones."""
    method = dataclasses.replace(only(masked_weight=0.2), masked=0.5)
    state, data = begun(method).eval(), tiny.data(48)
    (whole,) = method.passes(state, 0)
    this = dataclasses.replace(whole, again=Again(share=0.5, picture=data.image))

    def asked(rank: int, world: int, chunk: int = 12) -> tuple[Tensor, Tensor]:
        """Tokens and which are asked for, of the pairs that come again after all others."""
        stream = batches(
            data, state.model.tokenize, this, batch_size=8, seed=0, epoch=0, peers=Peers(rank, world),
        )  # fmt: skip
        found = [this.encode(state, part).others for part in next(stream).chunks(chunk)]
        tokens, which = (torch.cat([one[name] for one in found]) for name in ("tokens", "asked"))
        return F.pad(tokens, (0, 20 - tokens.shape[1])), F.pad(which, (0, 20 - which.shape[1]))

    tokens, which = asked(0, 1)
    assert torch.equal(tokens[8:], tokens[:8:2])
    assert not (which[8:] == which[:8:2]).all(1).any()
    assert torch.equal(asked(0, 1, chunk=5)[1], which)
    ranks = [asked(rank, 2)[1] for rank in range(2)]
    assert torch.equal(torch.cat([*(one[:4] for one in ranks), *(one[4:] for one in ranks)]), which)


@pytest.mark.parametrize("name", ["micro-vit-32", "micro-cnn-32", "micro-siglip-32"])
def test_with_nothing_hidden_a_caption_is_what_it_is(name: str) -> None:
    model = tiny.clip(name).eval()
    tokens = model.tokenize([tiny.data().caption(index) for index in range(6)])
    cover, nothing = torch.randn(model.tower.get_parameter(embeddings(model)).shape[1]), torch.zeros_like(tokens).bool()
    with torch.no_grad():
        found, hidden = read(model, tokens, nothing, cover)
        torch.testing.assert_close(found, model.text_features(tokens))
        assert hidden.shape[:2] == tokens.shape
        third = nothing.clone()
        third[2, 1] = True
        other, _ = read(model, tokens, third, cover)
    same = (found == other).all(1)
    assert same.tolist() == [row != 2 for row in range(6)]


def embeddings(model: Any) -> str:
    return next(str(name) for name, _ in model.tower.named_parameters() if name.endswith("token_embedding.weight"))


def test_the_tower_learns_from_what_it_guesses_and_so_does_the_mask() -> None:
    method = dataclasses.replace(only(masked_weight=0.2), masked=0.5)
    state = begun(method)
    batch = first_batch(method, state)
    (this,) = method.passes(state, 0)
    torch.autograd.backward(method.loss(state, this.encode(state, batch), batch)["masked"])
    assert state.heads.mask is not None
    assert state.heads.mask.grad is not None
    assert state.heads.mask.grad.any()
    assert state.model.tower.get_parameter(embeddings(state.model)).grad.any()  # type: ignore[union-attr]
    assert not [name for name, one in state.model.tower.named_parameters() if "visual" in name and one.grad is not None]


def test_without_a_weight_no_word_is_masked() -> None:
    method = only(clip_weight=0.2)
    state = begun(method).eval()
    batch = first_batch(method, state)
    (this,) = method.passes(state, 0)
    features = this.encode(state, batch)
    torch.testing.assert_close(features.texts[0].own, state.model.encode_text(batch.texts[0]), rtol=0, atol=1e-5)
    assert not features.texts[2].own.any()
    assert (len(features.images), dict(features.others)) == (2, {})


# ---------------------------------------------------------------------------------- chunks, resume, and what goes along


def test_chunks_change_nothing_without_batch_statistics_of_the_tower() -> None:
    given = {**BRIEF, "batch_size": ranks.BATCH}
    whole, pieces = (ranks.step(DeCLIP(**given, chunk_size=size), ALONE, torch.float64) for size in (None, 5))
    assert whole.keys() == pieces.keys()
    for name, grad in whole.items():
        torch.testing.assert_close(pieces[name], grad, rtol=1e-9, atol=1e-12)


def test_heads_that_see_the_whole_batch_are_no_batch_normalization_of_chunks(caplog: pytest.LogCaptureFixture) -> None:
    train(DeCLIP(**{**BRIEF, "epochs": 1}, chunk_size=4), tiny.clip("micro-vit-32"), tiny.data(16), seed=0)
    assert "batch normalization" not in caplog.text
    train(DeCLIP(**{**BRIEF, "epochs": 1}, chunk_size=4), tiny.clip(), tiny.data(16), seed=0)
    assert "method.chunk_size: batch normalization sees 4 pairs at a time" in caplog.text


@pytest.mark.parametrize("after", [3, 6])
def test_a_killed_training_goes_on_with_the_same_bits(after: int, tmp_path: Path) -> None:
    method = DeCLIP(**BRIEF)
    whole = run(method, tmp_path / "whole")
    assert {"queue.entries", "model.heads.mask", "model.heads.projector.bn1.running_mean"} <= whole[0].keys()
    broken(method, tmp_path / "broken", after)
    assert equal(run(method, tmp_path / "broken"), whole)


def trained(method: Any, model: Any) -> Any:
    train(method, model, tiny.data(24), seed=0)
    return model


def test_heads_go_along_with_the_model(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = trained(DeCLIP(**BRIEF), tiny.clip())
    own = {name: value.clone() for name, value in model.heads.state_dict().items()}
    card = save(model, tmp_path / "model")
    assert read_card(tmp_path / "model").heads == card.heads is not None
    again = load_folder(tmp_path / "model")
    assert tiny.same(dict(again.heads.state_dict()), own)
    assert not list(again.heads.parameters())
    method = DeCLIP(**BRIEF)
    check(method, again, 24)
    state = method.build(again, AsLeft(tiny.data(24)), 5)
    assert tiny.same(dict(state.heads.state_dict()), own)
    assert not caplog.text
    assert len([*state.heads.parameters()]) == len([*model.heads.parameters()]) > 10

    between = trained(ClipPretraining(**{name: BRIEF[name] for name in ("epochs", "batch_size", "lr")}), again)
    assert tiny.same(dict(between.heads.state_dict()), dict(state.heads.state_dict()))


def test_a_model_that_brings_no_heads_is_told_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where it comes from somewhere: from random weights all begins anew."""
    trained(DeCLIP(**BRIEF), tiny.clip())
    assert not caplog.text
    save(tiny.clip(), tmp_path / "bare")
    model = load_folder(tmp_path / "bare")
    check(NAD(**tiny.TAUGHT, objective=DeclipLoss(projector_width=12, predictor_width=5)), model, 24)
    assert f"model: {tmp_path / 'bare'}: what it has beside its towers (nothing) does not hold " in caplog.text
    assert "hold mask, projector, predictor, text_label_predictor as DeCLIP's loss needs it; begun anew" in caplog.text
    trained(DeCLIP(**BRIEF), model)
    assert caplog.text.count("begun anew") == 1


def test_heads_that_do_not_fit_begin_anew(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declip_state, "_said", set())
    model = trained(DeCLIP(**BRIEF), tiny.clip())
    own = {name: value.clone() for name, value in model.heads.state_dict().items()}
    wider = DeCLIP(**{**BRIEF, "predictor_width": 6})
    check(wider, model, 24)
    state = wider.build(model, AsLeft(tiny.data(24)), 0)
    said = "(mask, projector, predictor, text_label_predictor) does not hold predictor as DeCLIP's loss needs it"
    assert caplog.text.count(said) == 1
    found = state.heads.state_dict()
    assert all(torch.equal(found[name], own[name]) for name in own if not name.startswith("predictor."))
    assert found["predictor.linear1.weight"].shape == (6, 12)


def test_heads_depend_on_the_seed_alone() -> None:
    method = DeCLIP(**BRIEF)
    torch.manual_seed(1)
    one = begun(method)
    torch.manual_seed(2)
    assert tiny.same(dict(begun(method).state_dict()), dict(one.state_dict()))
    other = method.build(tiny.clip("micro-vit-32"), AsLeft(tiny.data(48)), 1)
    assert not torch.equal(other.heads.predictor.layer2.weight, one.heads.predictor.layer2.weight)


@pytest.mark.parametrize("normalization", ["imagenet", "model"])
def test_pictures_are_normalized_as_those_of_imagenet(normalization: Any) -> None:
    model = tiny.clip()
    before = model.mean, model.std
    DeCLIP(**BRIEF, normalization=normalization).build(model, AsLeft(tiny.data(24)), 0)
    assert (model.mean, model.std) == ((MEAN, STD) if normalization == "imagenet" else before)


def test_the_scale_is_kept_above_its_least() -> None:
    model = trained(DeCLIP(**BRIEF), tiny.clip())
    assert model.scale.item() == pytest.approx(math.exp(3), rel=1e-2)
    assert tiny.clip().scale.item() < 15


# ------------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden": 0.95}, r"swapped: 0\.1 and hidden, 0\.95, are more than 1 together"),
        ({"masked": 1.5}, "masked"),
        ({"queue_size": 0}, "queue_size"),
        ({"min_scale": 0.5}, "min_scale"),
    ],
)
def test_what_it_cannot_be(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        DeCLIP(**changes)


def test_a_queue_larger_than_the_data() -> None:
    with pytest.raises(
        ValueError, match=r"method\.queue_size: 65,536 captions are more than the 96 that 48 pairs have"
    ):
        check_pairs(DeCLIP(batch_size=8), tiny.data(48).pairs)


class Speechless:
    """Pairs whose captions have no letters, or the first of which has none."""

    def __init__(self, captions: list[str]) -> None:
        self.captions, self.read = captions, 0
        self.fingerprint = digest("speechless", captions)

    def __len__(self) -> int:
        return len(self.captions)

    def id(self, index: int) -> str:
        return f"pair {index}"

    def caption(self, index: int) -> str:
        self.read += 1
        return self.captions[index]


def test_captions_without_letters(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read and said once for the same pairs, refused each time."""
    monkeypatch.setattr(declip, "_read", set())
    method = DeCLIP(**{**BRIEF, "queue_size": 2})
    none: Any = Speechless(["42", "日本"])
    for _ in range(2):
        with pytest.raises(ValueError, match=r"2 of 2 captions have no letter from a to z \(first: 'pair 0'\)"):
            check_pairs(method, none)
    check_pairs(dataclasses.replace(method, caption_view=PlainCaption()), none)  # nothing is augmented
    some: Any = Speechless(["A DOG", "日本"])
    check_pairs(method, some)
    check_pairs(DeCLIP(**{**BRIEF, "queue_size": 2, "masked": 0.5}), some)
    assert (some.read, caplog.text.count("of 2 captions")) == (2, 1)
    assert "1 of 2 captions have no letter from a to z (first: 'pair 1'): they are not augmented" in caplog.text


def test_a_tower_that_hides_its_tokens() -> None:
    model = tiny.clip()
    del model.tower.ln_final
    with pytest.raises(
        ValueError, match=r"method\.kind: looks at what each token becomes, which the text tower of mic"
    ):
        check(DeCLIP(**BRIEF), model, 48)


def test_it_brings_pairs_together() -> None:
    model, data = tiny.clip(), tiny.data(32)
    method = DeCLIP(**{**BRIEF, "epochs": 20, "batch_size": 16})
    train(method, model, data, seed=0)
    model.eval()
    with torch.no_grad():
        images = model.encode_image(torch.stack([data.prepared[i] for i in range(32)]))
        table: Tensor = images @ model.encode_captions([data.pairs.caption(i) for i in range(32)]).T
    assert table.diagonal().mean() > (table.sum() - table.trace()) / (32 * 31) + 0.1


def test_golden_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {**BRIEF, "epochs": 1, "batch_size": 32, "lr": 1e-4, "warmup_steps": 5, "queue_size": 200}
    tiny.golden("declip", DeCLIP(**given), monkeypatch)


def test_a_loss_without_any_term_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"clip_weight: every term of the loss has weight 0"):
        only()
    assert only(masked_weight=0.2).sees_pictures is False
    assert all(only(**{name: 0.2}).sees_pictures for name in TERMS if name != "masked_weight")
