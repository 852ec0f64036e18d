"""The best model by one metric: the right way round, on the right set, and asked for before any training."""

from __future__ import annotations

import dataclasses
from typing import Literal

import pytest
from tests import tiny
from tests.evaluation import ranks
from tests.toy import Told

from bezoar.attacks import Aim
from bezoar.core.records import Measure
from bezoar.evaluation import AttackSuccessByClass, ContrastiveLoss, Evaluator, LinearHead, ZeroShot
from bezoar.evaluation.choosing import better, check_metric, score
from bezoar.training.peers import ALONE


def measure(metric: str, value: float, data: str = "validation") -> Measure:
    return Measure(metric=metric, value=value, low=value, high=value, n=10, data=data)


MEASURED = (
    measure("accuracy_top1", 0.6), measure("accuracy_top1", 0.7), measure("asr_top1", 0.2),
    measure("contrastive_loss", 4.5), measure("accuracy_top1", 0.9, "test"), measure("targeted_top1", 0.5, "test"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "wanted"),
    [
        ("accuracy_top5", "higher"),
        ("text_recall_top1", "higher"),
        ("image_recall_top10", "higher"),
        ("my_own", "higher"),
        ("asr_top1", "lower"),
        ("asr_top1/picture", "lower"),
        ("asr_top1 of tree", "lower"),
        ("targeted_top1", "lower"),
        ("caption_asr_top5", "lower"),
        ("head_asr_top1", "lower"),
        ("linear_probe_asr_top1", "lower"),
        ("linear_probe_accuracy_top1", "higher"),
        ("poison_in_safe", "lower"),
        ("contrastive_loss", "lower"),
        ("my_own_loss", "lower"),
    ],
)
def test_what_a_defender_wants(metric: str, wanted: Literal["higher", "lower"]) -> None:
    assert better(metric) == wanted


def test_more_is_always_better() -> None:
    assert score(MEASURED, "validation", "accuracy_top1") == 0.6, "the first evaluator's counts"
    assert score(MEASURED, "test", "accuracy_top1") == 0.9
    assert score(MEASURED, "validation", "asr_top1") == -0.2
    assert score(MEASURED, "validation", "contrastive_loss") == -4.5


def test_what_was_not_measured_cannot_be_chosen_by() -> None:
    with pytest.raises(
        ValueError, match=r"^metric: 'accuracy_top2' is not measured on 'test'; did you mean 'accuracy_t"
    ):
        score(MEASURED, "test", "accuracy_top2")
    with pytest.raises(
        ValueError, match=r"^metric: 'asr_top1' is not measured on 'test'.* \(choices: accuracy_top1, ta"
    ):
        score(MEASURED, "test", "asr_top1")
    with pytest.raises(ValueError, match=r"nothing is measured on 'tst'; did you mean 'test'\? \(choices: test, valid"):
        score(MEASURED, "tst", "accuracy_top1")


@pytest.mark.parametrize("evaluator", ranks.EVALUATED, ids=lambda evaluator: evaluator.kind)
@pytest.mark.parametrize("aim", [ranks.AIM, ranks.AIM._replace(threats=ranks.AIM.threats[:1]), Aim()])
def test_evaluators_measure_what_they_said(evaluator: Evaluator, aim: Aim) -> None:
    context = dataclasses.replace(ranks.context(ALONE, ranks.labeled()), aim=aim, looks={})
    sets = {name: images.labeled for name, images in context.sets.items()}
    held_out = {name: held.pairs for name, held in context.held_out.items()}
    found = {(one.data, one.metric) for one in evaluator.evaluate(tiny.clip().eval(), context).measures}
    expected = evaluator.expected(sets, held_out, aim)
    if isinstance(evaluator, LinearHead):  # only the method knows whether there is a head
        assert expected is None
        return
    assert expected is not None
    if isinstance(evaluator, AttackSuccessByClass):  # a class without pictures has no rate
        assert found <= set(expected)
        assert bool(found) == bool(expected)
    else:
        assert found == set(expected)


def test_a_metric_is_asked_for_before_any_training() -> None:
    context = ranks.context(ALONE, ranks.labeled())
    sets = {name: images.labeled for name, images in context.sets.items()}
    pairs = {"held": context.held_out["held"].pairs}
    evaluators = (ZeroShot(), ContrastiveLoss())
    for metric, data in (("accuracy_top10", "test"), ("contrastive_loss", "held")):
        check_metric(metric, data, evaluators, sets, pairs, Aim())
    with pytest.raises(
        ValueError, match=r"^stages\.a\.keep: 'asr_top1' is not measured on 'test'.* \(choices: accuracy_"
    ):
        check_metric("asr_top1", "test", evaluators, sets, pairs, Aim(), "stages.a.keep")
    with pytest.raises(
        ValueError, match=r"^metric: 'contrastive_los' is not measured on 'held'; did you mean 'contras"
    ):
        check_metric("contrastive_los", "held", evaluators, sets, pairs, Aim())
    with pytest.raises(ValueError, match=r"^metric: nothing is measured on 'held'"):
        check_metric("contrastive_loss", "held", evaluators[:1], sets, pairs, Aim())
    check_metric("told", "anywhere", (*evaluators, Told()), sets, pairs, Aim())
