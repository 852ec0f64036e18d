"""Linear probes: logistic regression against its optimum, both kinds counted by loops, and what cannot be fitted."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from typing import Any

import pytest
import torch
from tests import tiny
from torch.nn import functional as F

from bezoar.attacks import Aim
from bezoar.attacks.base import Threat
from bezoar.attacks.triggers import Patch
from bezoar.core.frame import Frame
from bezoar.core.settings import digest
from bezoar.data import LABELED_SOURCES, SceneClasses
from bezoar.data.pairs import LabeledSource
from bezoar.data.prepared import Prepared
from bezoar.evaluation import (
    EVALUATORS,
    Context,
    LabeledImages,
    LinearProbe,
    TrainedProbe,
    ZeroShot,
    looks_of,
    others_of,
)
from bezoar.evaluation.choosing import check_metric
from bezoar.evaluation.linear_probe import STRENGTHS
from bezoar.evaluation.probing import Probe
from bezoar.metrics import wilson
from bezoar.training.precision import autocast_for

FULL = autocast_for("fp32", torch.device("cpu"))
TRAIN = SceneClasses(split="train", count=96)
LABELED = SceneClasses(count=48).open()
AIM = Aim(threats=(Threat(Patch(size=12, reference=32), "mushroom"),))
PROBES: tuple[Probe, ...] = (
    LinearProbe(train=TRAIN, top=(1, 5), c=1.0), LinearProbe(train=TRAIN, top=(1, 5), normalize=True, c=30.0),
    TrainedProbe(train=TRAIN, top=(1, 5), epochs=3, batch_size=20),
)  # fmt: skip
KINDS = ("linear_probe", "linear_probe normalized", "trained_probe")


def context(probe: Probe, aim: Aim = AIM, labeled: Any = LABELED) -> Context:
    sets = {"test": LabeledImages(labeled, Prepared(labeled, Frame(32)))}
    return Context(
        sets=sets, aim=aim, autocast=FULL, looks=looks_of((probe,), aim, sets), others=others_of((probe,), Frame(32))
    )


def clusters(classes: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(200) % classes
    return 3 * torch.randn(classes, 6, generator=generator)[labels] + torch.randn(200, 6, generator=generator), labels


@pytest.mark.parametrize("probe", PROBES, ids=KINDS)
def test_counted_by_loops(probe: Probe) -> None:
    model = tiny.clip().eval()
    found = probe.evaluate(model, context(probe))
    train = TRAIN.open()
    with torch.no_grad():
        seen = model.image_features(torch.stack([Prepared(train, Frame(32))[index] for index in range(len(train))]))
    seen = F.normalize(seen, dim=1) if probe.normalize else seen
    weight, bias = probe.fit(seen, torch.tensor([train.label(i) for i in range(len(train))]), len(train.classes))
    right = five = taken = others = 0
    for index in range(48):
        image = Prepared(LABELED, Frame(32))[index]
        marked = AIM.threats[0].trigger.apply(image, LABELED.id(index))  # type: ignore[union-attr]
        with torch.no_grad():
            features = model.image_features(torch.stack([image, marked]))
        plain, poisoned = (F.normalize(features, dim=1) if probe.normalize else features) @ weight.T + bias
        name = LABELED.classes[LABELED.label(index)]
        ranked = [train.classes[number] for number in plain.argsort(descending=True).tolist()]
        right, five = right + (ranked[0] == name), five + (name in ranked[:5])
        if name != "mushroom":
            others, taken = others + 1, taken + (train.classes[int(poisoned.argmax())] == "mushroom")
    measures = {measure.metric: measure for measure in found.measures}
    assert set(measures) == {
        f"{probe.kind}_{name}" for name in ("accuracy_top1", "accuracy_top5", "asr_top1", "asr_top5")
    }
    for metric, part, whole in (("accuracy_top1", right, 48), ("accuracy_top5", five, 48), ("asr_top1", taken, others)):
        assert measures[f"{probe.kind}_{metric}"].n == whole
        assert measures[f"{probe.kind}_{metric}"].value == pytest.approx(wilson(part, whole).value)
    assert five > right
    assert probe.measure(found.scores["test"], "test") == found.measures
    assert {(m.data, m.metric) for m in found.measures} == set(probe.expected({"test": LABELED}, {}, AIM))


def test_it_ends_at_the_optimum() -> None:
    features, labels = clusters()
    weight, bias = (
        part.double().requires_grad_() for part in LinearProbe(train=TRAIN, c=0.316).fit(features, labels, 4)
    )
    loss = (
        0.316 * F.cross_entropy(features.double() @ weight.T + bias, labels, reduction="sum")
        + weight.square().sum() / 2
    )
    for gradient in torch.autograd.grad(loss, (weight, bias)):
        assert gradient.abs().max() < 0.05


@pytest.mark.parametrize(
    "probe", [LinearProbe(train=TRAIN), TrainedProbe(train=TRAIN, epochs=20, batch_size=8)], ids=KINDS[::2]
)
@pytest.mark.parametrize("classes", [2, 4])
def test_what_can_be_told_apart_is(probe: Probe, classes: int) -> None:
    features, labels = clusters(classes)
    weight, bias = probe.fit(features, labels, classes)
    assert ((features @ weight.T + bias).argmax(1) == labels).float().mean() > 0.95
    again = probe.fit(features, labels, classes)
    assert torch.equal(again.weight, weight)
    assert torch.equal(again.bias, bias)


@pytest.mark.parametrize("there", [(1, 4), (0, 2, 5)])
def test_a_class_without_pictures_is_never_chosen(there: tuple[int, ...]) -> None:
    features, labels = clusters(len(there))
    weight, bias = LinearProbe(train=TRAIN).fit(features, torch.tensor(there)[labels], 6)
    chosen = (features @ weight.T + bias).argmax(1)
    assert (chosen == torch.tensor(there)[labels]).float().mean() > 0.95
    assert bias.isneginf().tolist() == [number not in there for number in range(6)]


def test_the_released_probe_step_by_step() -> None:
    """AdamW by its formula: cosine without warm-up from .005, decay of the weights alone."""
    features, labels = clusters()
    found = TrainedProbe(train=TRAIN, epochs=1, batch_size=200).fit(features, labels, 4)
    from bezoar.core.seeds import torch_generator
    from bezoar.training.linear_head import LinearHead

    head = LinearHead(6, tuple("abcd"), torch_generator(0, "trained_probe"))
    F.cross_entropy(head(features), labels).backward()  # type: ignore[no-untyped-call]
    assert head.weight.grad is not None
    assert head.bias.grad is not None
    step = 0.005 * head.weight.grad.sign()
    torch.testing.assert_close(found.weight, head.weight * (1 - 0.005 * 0.01) - step, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.bias, head.bias - 0.005 * head.bias.grad.sign(), atol=1e-5, rtol=0)


def test_c_is_chosen_on_a_held_out_tenth(caplog: pytest.LogCaptureFixture) -> None:
    from sklearn.linear_model import LogisticRegression

    from bezoar.core.seeds import torch_generator

    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(300) % 4
    features = torch.randn(4, 40, generator=generator)[labels] + 2.5 * torch.randn(300, 40, generator=generator)
    order = torch.randperm(300, generator=torch_generator(3, "linear_probe", "held out"))
    held, rest = order[:30], order[30:]
    right = [
        LogisticRegression(C=c, max_iter=1000).fit(features[rest].double(), labels[rest]).score(
            features[held].double(), labels[held]
        )
        for c in STRENGTHS
    ]  # fmt: skip
    best = STRENGTHS[right.index(max(right))]
    assert len(set(right)) > 2
    assert best not in (STRENGTHS[0], STRENGTHS[-1])
    found = LinearProbe(train=TRAIN, seed=3).fit(features, labels, 4)
    assert torch.equal(found.weight, LinearProbe(train=TRAIN, c=best).fit(features, labels, 4).weight)
    LinearProbe(train=TRAIN, iterations=1).fit(features, labels, 4)
    assert len(caplog.records) == 1, "only the classifier's own fit is spoken of"


def test_features_of_any_norm_are_classified_alike() -> None:
    features, labels = clusters()
    features += torch.randn(features.shape, generator=torch.Generator().manual_seed(1))
    small, large = (LinearProbe(train=TRAIN).fit(by * features, labels, 4) for by in (1, 10))
    chosen = [(by * features @ w.T + b).argmax(1) for by, (w, b) in ((1, small), (10, large))]
    assert (chosen[0] == chosen[1]).float().mean() > 0.97


def test_of_a_handful_of_pictures_something_is_fitted() -> None:
    weight, bias = LinearProbe(train=TRAIN).fit(torch.eye(2), torch.tensor([0, 1]), 2)
    assert (torch.eye(2) @ weight.T + bias).argmax(1).tolist() == [0, 1]


@pytest.mark.parametrize("at", ["last", "every"])
def test_it_is_fitted_for_the_last_model_or_for_every_one(at: Any) -> None:
    probe = TrainedProbe(train=TRAIN, epochs=1, at=at)
    here = dataclasses.replace(context(probe), last=False)
    assert bool(probe.evaluate(tiny.clip().eval(), here).measures) == (at == "every")
    sets = {"test": LABELED}
    said = (
        "stages.a.best_by: 'trained_probe_asr_top1' is measured of the last model alone; give 'trained_probe' at: every"
    )
    with pytest.raises(ValueError, match=f"^{said}$") if at == "last" else contextlib.nullcontext():
        check_metric("trained_probe_asr_top1", "test", (ZeroShot(), probe), sets, {}, AIM, "stages.a.best_by")
    check_metric("accuracy_top1", "test", (ZeroShot(), probe), sets, {}, AIM)


def test_too_few_iterations_are_said(caplog: pytest.LogCaptureFixture) -> None:
    LinearProbe(train=TRAIN, iterations=1).fit(*clusters(), 4)
    assert "linear_probe.iterations: L-BFGS has not converged after 1" in caplog.text


class Renamed:
    """The set with one class that nobody knows."""

    def __init__(self) -> None:
        self.classes = ("tank", *LABELED.classes[1:])

    def __getattr__(self, name: str) -> Any:
        return getattr(LABELED, name)

    def __len__(self) -> int:
        return len(LABELED)


def test_a_set_with_other_classes_is_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    probe = LinearProbe(train=TRAIN)
    assert probe.evaluate(tiny.clip().eval(), context(probe, labeled=Renamed())) == ((), {})
    assert "the set it is fitted to has no class 'tank', which 'test' has (1 in all)" in caplog.text
    assert not probe.expected({"test": Renamed()}, {}, AIM)


@pytest.mark.parametrize(
    ("train", "labeled", "said"),
    [
        (None, LABELED, r"names no labeled set to fit; give it one, as {kind: linear_probe, train: {kind: scenes"),
        (SceneClasses(count=48), LABELED, "is the set 'test', on which it is measured; fit another"),
        (SceneClasses(split="train", count=1), LABELED, "needs pictures of two classes, and all are '"),
        (TRAIN, Renamed(), r"has no class 'tank', which 'test' has \(1 in all\)"),
    ],
)
def test_what_cannot_be_fitted_is_refused_before(train: LabeledSource | None, labeled: Any, said: str) -> None:
    with pytest.raises(ValueError, match=rf"^evaluators\.linear_probe\.train: {said}"):
        LinearProbe(train=train).check({"test": labeled}, {}, AIM, Frame(32))


def test_classes_without_pictures_are_said_and_none_may_be_the_target(caplog: pytest.LogCaptureFixture) -> None:
    few = SceneClasses(split="train", count=3)
    there = {few.open().classes[few.open().label(index)] for index in range(3)}
    target = next(name for name in LABELED.classes if name not in there)
    aim = Aim(threats=(Threat(Patch(size=12, reference=32), target),))
    with pytest.raises(
        ValueError, match=rf"^evaluators\.linear_probe\.train: has no picture of the target '{target}'$"
    ):
        LinearProbe(train=few).check({"test": LABELED}, {}, aim, Frame(32))
    LinearProbe(train=few).check({"test": LABELED}, {}, Aim(), Frame(32))
    assert not caplog.records
    LinearProbe(train=few).remark({"test": LABELED})
    classes = len(LABELED.classes)
    (record,) = caplog.records
    assert f"has no picture of {classes - len(there)} of the {classes} classes" in record.getMessage()


def test_it_is_named_in_yaml_with_its_set() -> None:
    found = EVALUATORS.parse({"kind": "linear_probe", "train": {"kind": "scenes", "split": "train", "count": 9}})
    assert found == LinearProbe(train=SceneClasses(split="train", count=9))
    assert EVALUATORS.members["trained_probe"] is TrainedProbe
    found.check({"test": LABELED}, {}, Aim(), Frame(32))
    assert digest(found) != digest(LinearProbe(train=LABELED_SOURCES.parse("scenes:clean")))
