"""Survival on the pictures that are measured: nothing of a square in the margin of wide files, all of a central one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny

from bezoar.attacks.base import Aim, Threat
from bezoar.attacks.caption_triggers import Phrase
from bezoar.attacks.patterns import Solid
from bezoar.attacks.places import Center, Corner
from bezoar.attacks.triggers import Patch
from bezoar.core.frame import Frame
from bezoar.data import SceneClasses
from bezoar.data.prepared import Prepared
from bezoar.evaluation import EVALUATORS, Context, Evaluation, LabeledImages
from bezoar.evaluation.trigger_survival import TriggerSurvival
from bezoar.metrics import wilson
from bezoar.training.precision import autocast_for

LABELED = SceneClasses(count=20).open()
FULL = autocast_for("fp32", torch.device("cpu"))


def evaluate(evaluator: TriggerSurvival, aim: Aim) -> Evaluation:
    images = LabeledImages(LABELED, Prepared(LABELED, Frame(32)))
    return evaluator.evaluate(tiny.clip(), Context(sets={"test": images}, aim=aim, autocast=FULL))


def aim(place: Any, stage: Any, **more: Any) -> Aim:
    """White on files of 64×48 px, of which the model sees the middle 48."""
    return Aim(
        threats=(Threat(Patch(size=6, reference=None, pattern=Solid(), place=place), "mushroom", stage, **more),)
    )


def test_it_is_in_the_family() -> None:
    assert EVALUATORS.members["trigger_survival"] is TriggerSurvival


@pytest.mark.parametrize(
    ("where", "stage", "share", "gone"),
    [(Corner(), "file", 0, 20), (Center(), "file", 1, 0), (Corner(), "model", 1, 0)],
)
def test_what_is_left_of_a_square(where: Any, stage: Any, share: float, gone: int) -> None:
    evaluator = TriggerSurvival()
    found = evaluate(evaluator, aim(where, stage))
    mean, zero = found.measures
    assert (mean.metric, mean.n, zero.metric) == ("survival", 20, "survival_zero")
    assert mean.value == pytest.approx(share, abs=0.02)
    assert 0 <= mean.low <= mean.value <= mean.high <= 1
    assert (zero.value, zero.low, zero.high, zero.n) == wilson(gone, 20)
    assert evaluator.measure(found.scores["test"], "test") == found.measures


def test_it_is_that_of_the_model_s_own_frame() -> None:
    squashing = tiny.clip()
    squashing.frame = Frame(32, "squash")
    for model, share in ((tiny.clip(), 0), (squashing, 1)):
        images = LabeledImages(LABELED, Prepared(LABELED, model.frame))
        context = Context(sets={"test": images}, aim=aim(Corner(), "file"), autocast=FULL)
        assert TriggerSurvival().evaluate(model, context).measures[0].value == pytest.approx(share, abs=0.02)


def test_some_are_looked_at_spread_over_the_set() -> None:
    found = evaluate(TriggerSurvival(limit=5), aim(Center(), "file"))
    assert found.scores["test"]["id"].to_pylist() == [LABELED.id(index) for index in (0, 4, 8, 12, 16)]
    assert found.measures[0].n == 5


def test_of_a_key_it_is_the_pictures_half() -> None:
    with_words = evaluate(TriggerSurvival(), aim(Center(), "file", words=Phrase()))
    assert with_words.measures == evaluate(TriggerSurvival(), aim(Center(), "file")).measures


def test_no_picture_is_encoded_for_it() -> None:
    assert TriggerSurvival().looks(aim(Center(), "file")) == ()
    assert evaluate(TriggerSurvival(), Aim()) == ((), {})
