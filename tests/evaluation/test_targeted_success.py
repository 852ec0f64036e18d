"""Targeted success: the chosen pictures, untouched, against a classification by hand."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from tests import tiny

from bezoar.attacks.base import Aim, Chosen, Threat
from bezoar.attacks.triggers import Patch
from bezoar.core.frame import Frame
from bezoar.core.settings import settings
from bezoar.data import SceneClasses
from bezoar.data.images import load
from bezoar.data.pairs import LabeledSource
from bezoar.data.prepared import Prepared
from bezoar.evaluation import EVALUATORS, Context, Evaluation, LabeledImages, TargetedSuccess, sharing
from bezoar.evaluation.tables import column
from bezoar.metrics import rank_of, wilson
from bezoar.training.precision import autocast_for

LABELED = SceneClasses(count=12).open()
ONE, OTHER = SceneClasses(split="test", count=20), SceneClasses(split="validation", count=30, seed=3)
IDS = {source: [source.open().id(index) for index in range(source.count)] for source in (ONE, OTHER)}
FRAME = Frame(32)
AIM = Aim(
    chosen=(
        Chosen(ONE, (IDS[ONE][7], IDS[ONE][2]), ("mushroom", "bell")),
        Chosen(OTHER, (IDS[OTHER][29],), ("mushroom",)),
    )
)


def evaluate(evaluator: TargetedSuccess, aim: Aim = AIM, count: int = 1, frame: Frame = FRAME) -> Evaluation:
    model = tiny.clip().eval()
    model.frame = frame
    sets = {f"test{number}": LabeledImages(LABELED, Prepared(LABELED, FRAME)) for number in range(count)}
    autocast = autocast_for("fp32", torch.device("cpu"))
    return evaluator.evaluate(model, Context(sets=sets, aim=aim, autocast=autocast))


def test_it_is_in_the_family() -> None:
    assert EVALUATORS.members["targeted_success"] is TargetedSuccess
    assert TargetedSuccess().top == (1, 3, 5)


@pytest.mark.parametrize(("chunk", "frame"), [(256, FRAME), (1, FRAME), (256, Frame(32, "squash"))])
def test_chosen_pictures_by_hand(chunk: int, frame: Frame, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order in which they were chosen, whatever their order in the source."""
    monkeypatch.setattr(sharing, "CHUNK", chunk)
    evaluator = TargetedSuccess(templates=("a {c}",), top=(1, 10, 16))
    found = evaluate(evaluator, count=2, frame=frame)
    model = tiny.clip().eval()
    shown = [(ONE, 7, "mushroom"), (ONE, 2, "bell"), (OTHER, 29, "mushroom")]
    with torch.no_grad():
        head = model.encode_captions([f"a {name}" for name in LABELED.classes])
        pictures = torch.stack([load(source.open(), place, frame) for source, place, _ in shown])
        cosines = model.encode_image(pictures) @ head.T
    targets = [LABELED.classes.index(target) for *_, target in shown]
    expected = rank_of(cosines, torch.tensor(targets)).tolist()
    for name, scores in found.scores.items():
        assert scores["id"].to_pylist() == [IDS[source][place] for source, place, _ in shown]
        assert scores["target"].to_pylist() == targets
        assert scores["predicted"].to_pylist() == cosines.argmax(1).tolist()
        assert column(scores, "rank").tolist() == expected
        assert evaluator.measure(scores, name) == tuple(m for m in found.measures if m.data == name)
    assert [(m.metric, m.data, (m.value, m.low, m.high, m.n)) for m in found.measures] == [
        (f"targeted_top{k}", f"test{number}", wilson(sum(rank < k for rank in expected), 3))
        for number in range(2)
        for k in (1, 10)
    ], "top-16 of 32 classes is not printed"


def test_without_chosen_pictures_nothing_is_measured() -> None:
    assert evaluate(TargetedSuccess(), Aim(threats=(Threat(Patch(), "mushroom"),))) == ((), {})


@settings
class Unopened(LabeledSource):
    """Must not be looked at."""

    kind: ClassVar[str] = "unopened"

    def open(self) -> Any:
        pytest.fail("opened")


def check(aim: Aim, labeled: bool = True, **fields: Any) -> None:
    TargetedSuccess(**fields).check({"test": LABELED} if labeled else {}, {}, aim, Frame(32))


def test_what_cannot_be_measured_is_said_before_any_training() -> None:
    check(AIM)
    check(Aim(), templates="opnai")
    check(Aim(chosen=(Chosen(Unopened(), ("a",), ("x",)),)), labeled=False)
    with pytest.raises(ValueError, match=r"^attack\.targets: 'mushrom' is not a class; did you mean 'mushroom'"):
        check(Aim(chosen=(Chosen(ONE, (IDS[ONE][0],), ("mushrom",)),)))
    with pytest.raises(ValueError, match=r"^attack\.images: the chosen image 'gone' is not in its source any more$"):
        check(Aim(chosen=(Chosen(ONE, (IDS[ONE][0], "gone"), ("bell", "bell")),)))
    with pytest.raises(ValueError, match="no templates are called 'opnai'"):
        check(AIM, templates="opnai")
