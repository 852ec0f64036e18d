"""Which models a contrastive method refuses, and the views it takes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny
from tests.models.test_clip import coca
from torch import nn

from bezoar.cleaning import CleanCLIP, Finetune, Progressive, Unlearn
from bezoar.core.settings import digest
from bezoar.data.captions import Eda
from bezoar.data.captions import Plain as PlainCaption
from bezoar.data.views import Plain, SimClr
from bezoar.models.clip import Clip
from bezoar.pretraining import METHODS as PRETRAINING
from bezoar.pretraining import ClipPretraining, RoCLIP
from bezoar.training.batch import Batch
from bezoar.training.contrastive import Contrastive, check_towers
from bezoar.training.loop import check, train
from bezoar.training.method import Method

OURS = [*PRETRAINING, CleanCLIP, Finetune]


def scaled(scale: nn.Parameter | None) -> Clip:
    model = tiny.clip()
    model.tower.logit_scale = scale  # type: ignore[assignment]
    return model


@pytest.mark.parametrize("method", OURS)
def test_a_caption_decoder_would_be_left_behind(method: type[Method]) -> None:
    with pytest.raises(
        ValueError, match=r"method\.kind: trains an image and a text tower; small has a caption decoder"
    ):
        check(method(batch_size=8), coca(), 32)
    check(method(batch_size=8), tiny.clip(), 32)


def test_the_scale_is_one_number() -> None:
    check_towers(tiny.clip())
    with pytest.raises(ValueError, match=r"kind: .* micro-cnn-32 has one of shape \[1\]"):
        check_towers(scaled(nn.Parameter(torch.zeros(1))))
    with pytest.raises(ValueError, match=r"kind: .* micro-cnn-32 has none"):
        check_towers(scaled(None))


def test_views_that_are_not_drawn_are_not_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    """A word list that only a view without a weight would read is not missed."""
    from bezoar.cleaning import CleanCLIP
    from bezoar.pretraining import SigLIP

    assert [type(view).__name__ for view in CleanCLIP().views()] == ["AutoAugment", "Eda"]
    assert CleanCLIP(in_modal_weight=0.0).views() == SigLIP().views() == ()


PLAIN = [ClipPretraining, Finetune, Progressive, Unlearn]


@pytest.mark.parametrize("kind", PLAIN)
def test_pairs_as_they_are_or_under_the_views_that_are_named(kind: type[Contrastive]) -> None:
    state: Any = kind(batch_size=8).build(tiny.clip(), tiny.data(16).pairs, 0)
    views: dict[str, Any] = {"image_view": SimClr(), "caption_view": Eda(wordnet="none")}
    (plain,), (named,) = (method.passes(state, 0) for method in (kind(batch_size=8), kind(batch_size=8, **views)))
    assert (plain.image_views, plain.caption_views) == ((Plain(),), (PlainCaption(),))
    assert (named.image_views, named.caption_views) == tuple((view,) for view in views.values())


@pytest.mark.parametrize("kind", PLAIN)
def test_what_was_trained_before_there_were_views_is_found_again(kind: type[Contrastive]) -> None:
    assert {"image_view", "caption_view", "shrink_perturb"} <= kind.added
    assert digest(kind(image_view=Plain())) == digest(kind()) != digest(kind(image_view=SimClr()))
    assert digest(kind(caption_view=Eda())) != digest(kind())


def test_a_method_whose_views_are_its_own_names_them_always() -> None:
    assert not {"image_view", "caption_view"} & RoCLIP.added


def test_named_views_are_what_the_model_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Batch] = []
    inner = ClipPretraining.loss

    def loss(self: ClipPretraining, state: Any, features: Any, batch: Batch) -> Any:
        seen.append(batch)
        return inner(self, state, features, batch)

    monkeypatch.setattr(ClipPretraining, "loss", loss)
    method = ClipPretraining(epochs=2, batch_size=16, image_view=SimClr())
    train(method, tiny.clip(), tiny.data(16), seed=0)
    first, second = (dict(zip(one.ids, one.images[0], strict=True)) for one in seen)
    data = tiny.data(16)
    for index in range(16):
        own, pair = data.image(index), data.id(index)
        assert not torch.equal(first[pair], own)
        assert not torch.equal(first[pair], second[pair])
