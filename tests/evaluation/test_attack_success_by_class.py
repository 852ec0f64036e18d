"""Attack success by class: the parts of the whole, class by class."""

from __future__ import annotations

import pytest
import torch
from tests import tiny

from bezoar.attacks.base import Aim, Threat
from bezoar.attacks.caption_triggers import Phrase
from bezoar.attacks.patterns import Solid
from bezoar.attacks.triggers import Patch
from bezoar.core.frame import Frame
from bezoar.core.records import Measure
from bezoar.data import SceneClasses
from bezoar.data.prepared import Prepared
from bezoar.evaluation import EVALUATORS, AttackSuccess, AttackSuccessByClass, Context, LabeledImages
from bezoar.evaluation.base import Evaluation, Evaluator
from bezoar.evaluation.tables import column, labels_of
from bezoar.metrics import wilson
from bezoar.training.precision import autocast_for

LABELED = SceneClasses(count=66).open()
CLASSES = LABELED.classes
LABELS = labels_of(LABELED).tolist()
TRIGGER = Patch(size=12, reference=32, pattern=Solid())
ONE = Aim(threats=(Threat(TRIGGER, "mushroom"),))
TWO = Aim(threats=(Threat(TRIGGER, "mushroom"), Threat(Patch(size=9, reference=32), "bell")))


def evaluate(evaluator: Evaluator, aim: Aim) -> Evaluation:
    images = LabeledImages(LABELED, Prepared(LABELED, Frame(32)))
    autocast = autocast_for("fp32", torch.device("cpu"))
    return evaluator.evaluate(tiny.clip().eval(), Context(sets={"test": images}, aim=aim, autocast=autocast))


def by_name(found: Evaluation) -> dict[str, Measure]:
    return {measure.metric: measure for measure in found.measures}


def test_it_is_in_the_family() -> None:
    assert EVALUATORS.members["attack_success_by_class"] is AttackSuccessByClass
    assert AttackSuccessByClass().top == (1,)


def test_every_class_but_the_target_by_hand() -> None:
    evaluator = AttackSuccessByClass(templates=("a {c}",), top=(1, 10))
    found = evaluate(evaluator, ONE)
    ranks = column(found.scores["test"], "rank").tolist()
    assert set(by_name(found)) == {f"asr_top{k} of {name}" for k in (1, 10) for name in CLASSES if name != "mushroom"}
    for k in (1, 10):
        for name in set(CLASSES) - {"mushroom"}:
            own = [rank < k for rank, label in zip(ranks, LABELS, strict=True) if CLASSES[label] == name]
            measure = by_name(found)[f"asr_top{k} of {name}"]
            assert (measure.value, measure.low, measure.high, measure.n) == wilson(sum(own), len(own))
    assert evaluator.measure(found.scores["test"], "test") == found.measures


@pytest.mark.parametrize("aim", [ONE, Aim(threats=(Threat(TRIGGER, "mushroom", words=Phrase()),))])
def test_the_classes_together_are_the_whole(aim: Aim) -> None:
    """Also where halves of a key are measured beside it: they are no part of it."""
    found = by_name(evaluate(AttackSuccessByClass(templates=("a {c}",), top=(10,)), aim))
    whole = by_name(evaluate(AttackSuccess(templates=("a {c}",), top=(10,)), aim))["asr_top10"]
    of = [measure for name, measure in found.items() if name.startswith("asr_top10 of")]
    assert sum(measure.n for measure in of) == whole.n
    assert sum(measure.value * measure.n for measure in of) / whole.n == pytest.approx(whole.value)


def test_over_several_triggers_each_class_counts_once() -> None:
    """A class that is the target of one is measured under the other alone."""
    found = evaluate(AttackSuccessByClass(templates=("a {c}",), top=(10,)), TWO)
    scores = found.scores["test"].to_pylist()
    for name in CLASSES:
        rows = [r for r in scores if CLASSES[r["label"]] == name and CLASSES[r["target"]] != name]
        measure = by_name(found)[f"asr_top10 of {name}"]
        assert measure.value == pytest.approx(sum(row["rank"] < 10 for row in rows) / len(rows))
        assert measure.n == LABELS.count(CLASSES.index(name))
    assert len(found.measures) == 2 * len(CLASSES), "top-1 is always there"


def test_without_a_threat_nothing_is_measured() -> None:
    assert evaluate(AttackSuccessByClass(), Aim()) == ((), {})
