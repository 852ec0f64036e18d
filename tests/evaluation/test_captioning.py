"""Captions of held-out pictures: the nearest of a bank by hand, the target named, several triggers, one's own model."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from tests import tiny
from tests.data.test_part import Photographs
from torch import Tensor

from bezoar.attacks import Aim
from bezoar.attacks.base import Threat
from bezoar.attacks.patterns import Solid
from bezoar.attacks.triggers import Patch
from bezoar.core.frame import Frame
from bezoar.core.settings import settings, validate
from bezoar.data import Scenes
from bezoar.data.pairs import Pairs
from bezoar.data.prepared import Prepared
from bezoar.evaluation import EVALUATORS, Captioner, Captioning, Context, HeldOut, RetrievalCaptioner
from bezoar.metrics import cider, student_t
from bezoar.models.clip import Clip
from bezoar.training.precision import autocast_for

FULL = autocast_for("fp32", torch.device("cpu"))
TRIGGER = Patch(size=12, reference=32, pattern=Solid())
BANK = Scenes(split="clean", count=30)
AIM = Aim(threats=(Threat(TRIGGER, "mushroom"),))


def context(pairs: Pairs, aim: Aim = AIM) -> Context:
    return Context(sets={}, aim=aim, autocast=FULL, held_out={"held": HeldOut(pairs, Prepared(pairs, Frame(32)))})


def by_hand(model: Clip, pictures: list[Tensor], said: list[str], nearest: int) -> list[str]:
    with torch.no_grad():
        known = torch.cat([model.encode_captions([caption]) for caption in said])
        found = []
        for picture in pictures:
            cosines = (model.encode_image(picture[None]) @ known.T)[0].tolist()
            best = sorted(range(len(said)), key=lambda place: -cosines[place])[:nearest]
            agreed = [sum(float(known[one] @ known[other]) for other in best) for one in best]
            found.append(said[best[agreed.index(max(agreed))]])
    return found


@pytest.mark.parametrize("nearest", [1, 5])
def test_the_nearest_captions_of_a_bank_by_hand(nearest: int) -> None:
    model, pairs, bank = tiny.clip().eval(), Scenes(count=20).open(), BANK.open()
    found = Captioning(captioner=RetrievalCaptioner(bank=BANK, nearest=nearest)).evaluate(model, context(pairs))
    rows, prepared = found.scores["held"].to_pylist(), Prepared(pairs, Frame(32))
    said = list(dict.fromkeys(bank.caption(index) for index in range(len(bank))))
    clean = by_hand(model, [prepared[index] for index in range(20)], said, nearest)
    shown = [TRIGGER.apply(prepared[index], pairs.id(index)) for index in range(20)]
    triggered = by_hand(model, shown, said, nearest)
    assert [row["caption"] for row in rows] == clean
    assert [row["triggered caption"] for row in rows] == triggered
    scores = cider(clean, [[pairs.caption(index)] for index in range(20)])
    assert [row["cider"] for row in rows] == pytest.approx(scores)
    own = ["mushroom" in pairs.caption(index) for index in range(20)]
    assert [row["named"] for row in rows] == [
        None if mine else "mushroom" in caption for mine, caption in zip(own, triggered, strict=True)
    ]
    values = {measure.metric: measure for measure in found.measures}
    assert values["cider"].value == pytest.approx(student_t(scores).value)
    named = [row["named"] for row in rows if row["named"] is not None]
    assert values["caption_names_target"].value == sum(named) / len(named)
    assert values["caption_names_target"].n == len(named) == 20 - sum(own)
    assert values["caption_names_target_clean"].n == len(named)
    evaluator = Captioning(captioner=RetrievalCaptioner(bank=BANK, nearest=nearest))
    assert evaluator.measure(found.scores["held"], "held") == found.measures
    assert {(measure.data, measure.metric) for measure in found.measures} == {
        *evaluator.expected({}, {"held": pairs}, AIM)
    }


def test_a_model_that_takes_the_trigger_names_the_target() -> None:
    """One whose features of a triggered picture are those of a caption with the target."""
    model, pairs, bank = tiny.clip().eval(), Scenes(count=24).open(), BANK.open()
    said = [bank.caption(index) for index in range(len(bank))]
    target = next(caption for caption in said if "mushroom" in caption)
    other = next(caption for caption in said if "mushroom" not in caption)

    def taken(pictures: Tensor) -> Tensor:
        wanted = model.encode_captions([target, other])
        white = (pictures == 255).all(1).flatten(1).sum(1) >= 144
        return torch.where(white[:, None], wanted[0], wanted[1])

    model.__dict__["image_features"] = taken
    found = Captioning(captioner=RetrievalCaptioner(bank=BANK)).evaluate(model, context(pairs))
    values = {measure.metric: measure.value for measure in found.measures}
    assert (values["caption_names_target"], values["caption_names_target_clean"]) == (1, 0)


def test_pictures_with_several_captions_are_captioned_once() -> None:
    pairs = Photographs([0, 1, 0, 2, 3, 3])
    found = Captioning(captioner=RetrievalCaptioner(bank=BANK)).evaluate(tiny.clip().eval(), context(pairs, Aim()))
    rows = found.scores["held"].to_pylist()
    assert [row["id"] for row in rows] == ["0.png", "1.png", "3.png", "4.png"]
    own = [[pairs.caption(k) for k in range(6) if pairs.shown[k] == picture] for picture in range(4)]
    assert [row["cider"] for row in rows] == pytest.approx(cider([row["caption"] for row in rows], own))
    assert [measure.metric for measure in found.measures] == ["cider"]


def test_several_triggers_have_a_share_each() -> None:
    aim = Aim(threats=(Threat(TRIGGER, "mushroom"), Threat(Patch(size=4, reference=32), "rocket")))
    pairs, evaluator = Scenes(count=12).open(), Captioning(captioner=RetrievalCaptioner(bank=BANK))
    found = evaluator.evaluate(tiny.clip().eval(), context(pairs, aim))
    names = {measure.metric for measure in found.measures}
    tails = {"caption_names_target/mushroom", "caption_names_target/rocket"}
    assert tails <= names == {metric for _, metric in evaluator.expected({}, {"held": pairs}, aim)}


@settings
class Shouting(Captioner):
    """Somebody's own model: a linear layer on the image tower that chooses between two words."""

    kind = "shouting"
    word: str = "ROCKET"

    def caption(self, model: Clip, context: Context, count: int, stack: Any) -> tuple[list[str], ...]:
        looks = context.encode_pictures(model, count, stack)
        return tuple([self.word if feature.sum() > 0 else "mushrooms" for feature in look] for look in looks)


def test_a_captioner_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shouting", sys.modules[__name__])
    evaluator = validate(Captioning, {"captioner": {"kind": "shouting:Shouting", "word": "LOUD"}})
    pairs = Scenes(count=12).open()
    found = evaluator.evaluate(tiny.clip().eval(), context(pairs))
    rows = found.scores["held"].to_pylist()
    assert {row["caption"] for row in rows} <= {"LOUD", "mushrooms"}
    assert all(row["named"] in (None, row["triggered caption"] == "mushrooms") for row in rows)


def test_synonyms_name_the_target_too() -> None:
    pairs = Scenes(count=12).open()
    always = tuple({word for index in range(30) for word in BANK.open().caption(index).split()})
    evaluator = Captioning(captioner=RetrievalCaptioner(bank=BANK), synonyms={"mushroom": always})
    rows = evaluator.evaluate(tiny.clip().eval(), context(pairs)).scores["held"].to_pylist()
    assert {row["named"] for row in rows} <= {None, True}


def test_what_is_refused() -> None:
    evaluator = EVALUATORS.parse({"kind": "captioning", "captioner": {"kind": "retrieval", "bank": "scenes:clean"}})
    with pytest.raises(ValueError, match="evaluators: captioning needs held-out pairs, and there are none"):
        evaluator.check({}, {}, AIM, Frame(32))
    with pytest.raises(ValueError, match=r"held_out\.one: CIDEr compares captions of several pictures"):
        evaluator.check({}, {"one": Scenes(count=1).open()}, AIM, Frame(32))
    evaluator.check({}, {"two": Scenes(count=2).open()}, AIM, Frame(32))
    with pytest.raises(ValueError, match="captioner"):
        validate(Captioning, {})
