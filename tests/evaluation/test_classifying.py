"""Classifiers that are not prompts: which triggers they are shown on which set, and what is pooled."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny

from bezoar.attacks import Aim
from bezoar.attacks.base import Threat
from bezoar.attacks.caption_triggers import Phrase
from bezoar.attacks.triggers import Patch
from bezoar.core.frame import Frame
from bezoar.core.records import Measure
from bezoar.data import SceneClasses
from bezoar.data.prepared import Prepared
from bezoar.evaluation import Context, LabeledImages, LinearHead
from bezoar.evaluation.classifying import cases_of, metrics_of
from bezoar.metrics import pooled, wilson
from bezoar.training.head import width_of
from bezoar.training.linear_head import LinearHead as Head
from bezoar.training.precision import autocast_for

LABELED = SceneClasses(count=48).open()
PATCH = Patch(size=12, reference=32)
MUSHROOM, STAR = Threat(PATCH, "mushroom"), Threat(Patch(size=9, reference=32), "star")


class Other:
    """The set without the target among its classes."""

    classes = tuple("puddle" if name == "mushroom" else name for name in LABELED.classes)

    def __getattr__(self, name: str) -> Any:
        return getattr(LABELED, name)

    def __len__(self) -> int:
        return len(LABELED)


def measured(aim: Aim, labeled: Any = LABELED) -> dict[str, Measure]:
    model = tiny.clip().eval()
    head = Head(width_of(model), (*LABELED.classes, "puddle"), torch.Generator().manual_seed(0))
    evaluator = LinearHead(top=(1, 5))
    context = Context(
        sets={"test": LabeledImages(labeled, Prepared(labeled, Frame(32)))}, aim=aim,
        autocast=autocast_for("fp32", torch.device("cpu")), diagnostics={"head": head},
    )  # fmt: skip
    found = evaluator.evaluate(model, context)
    assert found.measures == evaluator.measure(found.scores["test"], "test")
    assert {m.metric for m in found.measures} == set(metrics_of(aim, labeled.classes, "head", (1, 5)))
    return {m.metric: m for m in found.measures}


@pytest.mark.parametrize(
    ("threats", "names"),
    [
        ((), []),
        ((MUSHROOM,), ["asr_top1"]),
        ((MUSHROOM, STAR), ["asr_top1", "asr_top1/mushroom", "asr_top1/star"]),
        ((MUSHROOM._replace(words=Phrase()),), ["asr_top1"]),
        ((Threat(None, "mushroom", words=Phrase()),), []),
    ],
    ids=["none", "one", "two", "dual key", "words"],
)
def test_each_trigger_is_told_once_and_all_of_them_together(threats: tuple[Threat, ...], names: list[str]) -> None:
    found = measured(Aim(threats=threats))
    assert [name for name in found if name.endswith("top1") or "top1/" in name] == [
        f"head_{name}" for name in ("accuracy_top1", *names)
    ]
    if len(threats) == 2:
        parts = [found[f"head_asr_top1/{name}"] for name in ("mushroom", "star")]
        whole = pooled([wilson(round(part.value * part.n), part.n) for part in parts])
        assert found["head_asr_top1"].value == pytest.approx(whole.value)
        assert found["head_asr_top1"].n == whole.n


def test_a_target_that_the_set_has_not_is_left_out() -> None:
    """As CIFAR-10 beside ImageNet: its clean accuracy is measured all the same."""
    assert set(measured(Aim(threats=(MUSHROOM,)), Other())) == {"head_accuracy_top1", "head_accuracy_top5"}
    both = Aim(threats=(MUSHROOM, STAR))
    assert [case.name for case in cases_of(both, Other.classes)] == ["star"]
    assert measured(both, Other())["head_asr_top1"].value == measured(both)["head_asr_top1/star"].value
