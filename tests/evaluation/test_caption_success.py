"""Caption attack success: prompts of other classes that call up the target's pictures, by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny

import bezoar.evaluation.caption_success
from bezoar.attacks.base import Aim, Threat
from bezoar.attacks.caption_triggers import Phrase
from bezoar.attacks.triggers import Patch
from bezoar.core.frame import Frame
from bezoar.data import SceneClasses
from bezoar.data.prepared import Prepared
from bezoar.evaluation import EVALUATORS, CaptionSuccess, Context, Evaluation, LabeledImages
from bezoar.evaluation.caption_success import _ranks
from bezoar.evaluation.tables import column
from bezoar.metrics import wilson
from bezoar.models.clip import Clip
from bezoar.training.precision import autocast_for

LABELED = SceneClasses(count=66).open()
TARGET = LABELED.classes.index("mushroom")
WORDS = Phrase(text="zebra")
AIM = Aim(threats=(Threat(Patch(), "bell"), Threat(None, "mushroom", words=WORDS)))


def evaluate(evaluator: CaptionSuccess, aim: Aim = AIM, model: Clip | None = None) -> Evaluation:
    images = LabeledImages(LABELED, Prepared(LABELED, Frame(32)))
    autocast = autocast_for("fp32", torch.device("cpu"))
    return evaluator.evaluate(model or tiny.clip().eval(), Context(sets={"test": images}, aim=aim, autocast=autocast))


def test_it_is_in_the_family() -> None:
    assert EVALUATORS.members["caption_success"] is CaptionSuccess


@pytest.mark.parametrize("chunk", [256, 7])
def test_prompts_by_hand(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bezoar.evaluation.caption_success, "CHUNK", chunk)
    evaluator = CaptionSuccess(templates=("a {c}", "the {c} here"), top=(5, 20))
    found = evaluate(evaluator)
    model, prompts = tiny.clip().eval(), []
    expected: dict[str, list[int]] = {"rank": [], "clean_rank": []}
    with torch.no_grad():
        pictures = model.encode_image(torch.stack([Prepared(LABELED, Frame(32))[index] for index in range(66)]))
        for name in LABELED.classes:
            if name == "mushroom":
                continue
            for prompt in (f"a {name}", f"the {name} here"):
                prompts.append(prompt)
                for column_name, text in (("rank", f"zebra {prompt}"), ("clean_rank", prompt)):
                    cosines = (model.encode_captions([text])[0] @ pictures.T).tolist()
                    order = sorted(range(66), key=lambda index: -cosines[index])
                    hits = [place for place, index in enumerate(order) if LABELED.label(index) == TARGET]
                    expected[column_name].append(hits[0])
    scores = found.scores["test"]
    assert scores["prompt"].to_pylist() == prompts
    for column_name, ranks in expected.items():
        assert column(scores, column_name).tolist() == ranks
    assert [(m.metric, (m.value, m.low, m.high, m.n)) for m in found.measures] == [
        (f"{metric}_top{k}", wilson(sum(rank < k for rank in expected[column_name]), 62))
        for metric, column_name in (("caption_asr", "rank"), ("caption_rate", "clean_rank"))
        for k in (1, 5, 20)
    ]
    assert evaluator.measure(scores, "test") == found.measures
    assert expected["rank"] != expected["clean_rank"]


def test_a_tie_is_no_success_and_neither_is_a_set_without_the_target() -> None:
    cosines = torch.tensor([[0.5, 0.5, 0.1], [0.4, 0.5, 0.6], [0.1, 0.5, 0.5]])
    assert _ranks(cosines, torch.tensor([False, True, False])).tolist() == [1, 1, 1]
    assert _ranks(cosines, torch.tensor([False, True, True])).tolist() == [1, 0, 0]
    assert _ranks(cosines, torch.tensor([False] * 3)).tolist() == [3, 3, 3]


def test_a_model_of_nan_is_no_success() -> None:
    """Nothing is at least NaN: no picture would stand before the target's."""
    with pytest.raises(ValueError, match=r"^scores: the model gives NaN"):
        _ranks(torch.tensor([[0.5, float("nan")]]), torch.tensor([True, False]))


@pytest.mark.parametrize("aim", [Aim(), Aim(threats=(Threat(Patch(), "mushroom", words=WORDS),))])
def test_without_words_that_act_alone_nothing_is_measured(aim: Aim) -> None:
    assert evaluate(CaptionSuccess(), aim) == ((), {})


def check(aim: Aim, **fields: Any) -> None:
    CaptionSuccess(**fields).check({"test": LABELED}, {}, aim, Frame(32))


def test_what_cannot_be_measured_is_said_before_any_training() -> None:
    check(AIM)
    check(Aim(), templates="opnai")
    with pytest.raises(ValueError, match=r"^target: 'mushrom' is not a class; did you mean 'mushroom'"):
        check(Aim(threats=(Threat(None, "mushrom", words=WORDS),)))
    with pytest.raises(ValueError, match="no templates are called 'opnai'"):
        check(AIM, templates="opnai")
