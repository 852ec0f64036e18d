"""Clean accuracy against a classification by hand, and again from what was kept."""

from __future__ import annotations

import math

import pytest
import torch
from tests import tiny

from bezoar.attacks import Aim
from bezoar.core.frame import Frame
from bezoar.data import SceneClasses
from bezoar.data.prepared import Prepared
from bezoar.evaluation import EVALUATORS, Context, LabeledImages, ZeroShot
from bezoar.evaluation.tables import column
from bezoar.metrics import Interval, destroyed
from bezoar.training.precision import autocast_for

FULL = autocast_for("fp32", torch.device("cpu"))


def wilson(successes: int, n: int) -> tuple[float, float]:
    """The roots of (p̂ - p)² = z² p (1 - p) / n."""
    z2, p = 1.959963984540054**2, successes / n
    a, b, c = 1 + z2 / n, -(2 * p + z2 / n), p * p
    root = math.sqrt(b * b - 4 * a * c)
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def test_it_is_in_the_family() -> None:
    assert EVALUATORS.members["zero_shot"] is ZeroShot
    assert ZeroShot().top == (1, 3, 5, 10)


def test_accuracy_by_hand() -> None:
    labeled, model = SceneClasses(count=40).open(), tiny.clip().eval()
    context = Context(sets={"test": LabeledImages(labeled, Prepared(labeled, Frame(32)))}, aim=Aim(), autocast=FULL)
    evaluator = ZeroShot(templates=("a {c}",), top=(1, 5, 15, 16))
    found = evaluator.evaluate(model, context)
    prompts = [f"a {name}" for name in labeled.classes]
    with torch.no_grad():
        head = torch.stack([model.encode_captions([prompt])[0] for prompt in prompts])
        rows = []
        for index in range(40):
            scores = (model.encode_image(Prepared(labeled, Frame(32))[index][None])[0] @ head.T).tolist()
            best_first = sorted(range(32), key=lambda c: -scores[c])
            rows.append(best_first.index(labeled.label(index)))
            assert found.scores["test"]["predicted"][index].as_py() == best_first[0]
    assert column(found.scores["test"], "rank").tolist() == rows
    # Half the classes and more are not printed.
    assert [measure.metric for measure in found.measures] == ["accuracy_top1", "accuracy_top5", "accuracy_top15"]
    for measure, k in zip(found.measures, (1, 5, 15), strict=True):
        hits = sum(rank < k for rank in rows)
        assert (measure.value, measure.n, measure.data) == (hits / 40, 40, "test")
        assert (measure.low, measure.high) == pytest.approx(wilson(hits, 40), abs=1e-9)
    assert evaluator.measure(found.scores["test"], "test") == found.measures


def test_every_set_is_measured_under_its_name() -> None:
    sets = {}
    for name, count in (("validation", 10), ("test", 12)):
        labeled = SceneClasses(split=name, count=count).open()  # type: ignore[arg-type]
        sets[name] = LabeledImages(labeled, Prepared(labeled, Frame(32)))
    found = ZeroShot(top=(1,)).evaluate(tiny.clip().eval(), Context(sets=sets, aim=Aim(), autocast=FULL))
    assert [(measure.data, measure.n) for measure in found.measures] == [("validation", 10), ("test", 12)]
    assert [len(scores) for scores in found.scores.values()] == [10, 12]


def test_a_model_that_guesses_is_called_destroyed() -> None:
    """The same features for every picture: each is called the same, and one in 32 is right."""
    labeled, model = SceneClasses(count=64).open(), tiny.clip().eval()
    with torch.no_grad():
        model.tower.visual.trunk.fc.weight.zero_()  # type: ignore[union-attr,operator]
    context = Context(sets={"test": LabeledImages(labeled, Prepared(labeled, Frame(32)))}, aim=Aim(), autocast=FULL)
    (first, *_) = ZeroShot().evaluate(model, context).measures
    assert first.value == 2 / 64
    assert destroyed(Interval(first.value, first.low, first.high, first.n), 32)
