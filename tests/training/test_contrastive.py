"""Which models a contrastive method refuses."""

from __future__ import annotations

import pytest
import torch
from tests import tiny
from tests.models.test_clip import coca
from torch import nn

from bezoar.cleaning import CleanCLIP, Finetune
from bezoar.models.clip import Clip
from bezoar.pretraining import METHODS as PRETRAINING
from bezoar.training.contrastive import check_towers
from bezoar.training.loop import check
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
