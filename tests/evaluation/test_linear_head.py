"""The head of supervised fine-tuning, measured: against loops, by name of the class, and where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests import tiny

from bezoar.attacks import Aim, Labels
from bezoar.attacks.triggers import Patch
from bezoar.cleaning import Supervised
from bezoar.core.frame import Frame
from bezoar.core.seeds import torch_generator
from bezoar.data import SceneClasses
from bezoar.data.prepared import Prepared
from bezoar.evaluation import EVALUATORS, Context, LabeledImages, LinearHead, looks_of
from bezoar.metrics import wilson
from bezoar.training.head import width_of
from bezoar.training.linear_head import LinearHead as Head
from bezoar.training.loop import train
from bezoar.training.precision import autocast_for

FULL = autocast_for("fp32", torch.device("cpu"))
ATTACK = Labels(target="mushroom", count=64, trigger=Patch(size=12, reference=32))
LABELED = SceneClasses(count=96).open()


def context(aim: Aim, **told: object) -> Context:
    sets = {"validation": LabeledImages(LABELED, Prepared(LABELED, Frame(32)))}
    looks = looks_of((LinearHead(),), aim, sets)
    return Context(sets=sets, aim=aim, autocast=FULL, looks=looks, diagnostics=told)  # type: ignore[arg-type]


def test_it_is_in_the_family() -> None:
    assert EVALUATORS.members["linear_head"] is LinearHead


def test_counted_by_loops(tmp_path: Path) -> None:
    method = Supervised(epochs=3, batch_size=16, lr=3e-3, warmup_steps=2, precision="fp32")
    end = train(method, tiny.clip(), tiny.labeled(320, ATTACK), seed=0)
    head = method.diagnostics(end.state)["head"]
    assert isinstance(head, Head)
    found = LinearHead(top=(1, 5)).evaluate(end.model, context(ATTACK.aim(0), head=head))
    right = taken = others = five = 0
    for index in range(96):
        image = Prepared(LABELED, Frame(32))[index]
        marked = ATTACK.trigger.apply(image, LABELED.id(index))
        with torch.no_grad():
            plain, poisoned = head(end.model.image_features(torch.stack([image, marked])))
        name = LABELED.classes[LABELED.label(index)]
        ranked = [head.classes[number] for number in plain.argsort(descending=True).tolist()]
        right, five = right + (ranked[0] == name), five + (name in ranked[:5])
        if name != "mushroom":
            others, taken = others + 1, taken + (head.classes[int(poisoned.argmax())] == "mushroom")
    measures = {measure.metric: measure for measure in found.measures}
    assert set(measures) == {"head_accuracy_top1", "head_accuracy_top5", "head_asr_top1", "head_asr_top5"}
    for metric, part, whole in (
        ("head_accuracy_top1", right, 96), ("head_accuracy_top5", five, 96), ("head_asr_top1", taken, others)
    ):  # fmt: skip
        expected = wilson(part, whole)
        assert measures[metric].n == whole
        assert measures[metric].value == pytest.approx(expected.value)
        assert (measures[metric].low, measures[metric].high) == pytest.approx((expected.low, expected.high))
    assert five > right > 0
    assert LinearHead(top=(1, 5)).measure(found.scores["validation"], "validation") == found.measures


def test_without_a_head_nothing_is_measured() -> None:
    assert LinearHead().evaluate(tiny.clip(), context(Aim())).measures == ()


def test_a_set_with_other_classes_is_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    head = Head(width_of(tiny.clip()), LABELED.classes[1:], torch_generator(0))
    assert LinearHead().evaluate(tiny.clip(), context(Aim(), head=head)).measures == ()
    assert "the head has no class 'star', which 'validation' has (1 in all)" in caplog.text
