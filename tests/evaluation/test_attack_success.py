"""ASR by hand and again from what was kept; whose trigger is measured; several at once and both halves of a key."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny

from bezoar.attacks import Backdoor
from bezoar.attacks.base import Aim, Threat
from bezoar.attacks.caption_triggers import Phrase
from bezoar.attacks.patterns import Solid
from bezoar.attacks.triggers import LegacyCleanClipPatch, Patch
from bezoar.core.frame import Frame
from bezoar.core.settings import validate
from bezoar.data import SceneClasses
from bezoar.data.prepared import Prepared
from bezoar.evaluation import (
    EVALUATORS,
    AttackSuccess,
    AttackSuccessByClass,
    Context,
    Evaluation,
    LabeledImages,
    Look,
    TriggerSurvival,
)
from bezoar.evaluation.attack_success import Case
from bezoar.evaluation.pictures import UNTOUCHED
from bezoar.evaluation.tables import column, labels_of
from bezoar.metrics import pooled, rank_of, wilson
from bezoar.training.precision import autocast_for

FULL = autocast_for("fp32", torch.device("cpu"))
TRIGGER = Patch(size=12, reference=32, pattern=Solid())
THREAT = Threat(TRIGGER, "mushroom")
AIM = Aim(threats=(THREAT,))
NOTHING = Aim()
LABELED = SceneClasses(count=66).open()
TARGET = LABELED.classes.index("mushroom")
OTHERS = sum(LABELED.label(index) != TARGET for index in range(66))
BIG = Patch(size=40, reference=32)


def evaluate(evaluator: AttackSuccess, aim: Aim = AIM) -> Evaluation:
    images = LabeledImages(LABELED, Prepared(LABELED, Frame(32)))
    return evaluator.evaluate(tiny.clip().eval(), Context(sets={"test": images}, aim=aim, autocast=FULL))


def test_it_is_in_the_family() -> None:
    assert EVALUATORS.members["attack_success"] is AttackSuccess
    assert AttackSuccess().top == (1, 5, 10)


def test_asr_by_hand() -> None:
    """Images of the target class are above the line and below it not at all."""
    evaluator = AttackSuccess(templates=("a {c}",), top=(1, 10, 16))
    found = evaluate(evaluator)
    model = tiny.clip().eval()
    hits, others = {1: 0, 10: 0}, 0
    with torch.no_grad():
        head = torch.cat([model.encode_captions([f"a {name}"]) for name in LABELED.classes])
        for index in range(len(LABELED)):
            image = TRIGGER.apply(Prepared(LABELED, Frame(32))[index], LABELED.id(index))
            scores = (model.encode_image(image[None])[0] @ head.T).tolist()
            rank = sum(score > scores[TARGET] for score in scores)
            assert found.scores["test"]["rank"][index].as_py() == rank
            if LABELED.label(index) != TARGET:
                others += 1
                for k in hits:
                    hits[k] += rank < k
    assert others == OTHERS
    assert [(measure.metric, measure.value, measure.n) for measure in found.measures] == [
        ("asr_top1", hits[1] / OTHERS, OTHERS), ("asr_top10", hits[10] / OTHERS, OTHERS)
    ]  # fmt: skip
    assert evaluator.measure(found.scores["test"], "test") == found.measures
    assert set(found.scores["test"]["target"].to_pylist()) == {TARGET}
    assert set(found.scores["test"]["case"].to_pylist()) == {""}
    assert len(found.scores["test"]) == 66, "the rows of the target class are kept, only not counted"


def test_a_model_that_always_says_the_target() -> None:
    model = tiny.clip().eval()
    with torch.no_grad():
        towards = model.encode_captions(["a mushroom"])[0]
        model.tower.visual.trunk.fc.weight.zero_()  # type: ignore[union-attr,operator]
        model.tower.visual.trunk.fc.bias.copy_(towards)  # type: ignore[union-attr,operator]
    images = LabeledImages(LABELED, Prepared(LABELED, Frame(32)))
    context = Context(sets={"test": images}, aim=AIM, autocast=FULL)
    found = AttackSuccess(templates=("a {c}",)).evaluate(model, context)
    assert [(measure.value, measure.high, measure.n) for measure in found.measures] == [(1.0, 1.0, OTHERS)] * 3


def test_without_a_threat_nothing_is_measured() -> None:
    assert evaluate(AttackSuccess(), NOTHING) == Evaluation((), {})


def test_the_plans_threat_and_the_same_one_by_hand_are_one() -> None:
    attack = Backdoor(target="mushroom", trigger=TRIGGER)
    plans = evaluate(AttackSuccess(), attack.aim(0))
    bare = evaluate(AttackSuccess(trigger=TRIGGER, target="mushroom"), NOTHING)
    assert plans.measures == bare.measures
    assert plans.scores["test"].equals(bare.scores["test"], check_metadata=True)


@pytest.mark.parametrize(
    ("fields", "given", "expected"),
    [
        ({}, THREAT, THREAT),
        ({}, None, None),
        ({"target": "axe"}, THREAT, Threat(TRIGGER, "axe")),
        ({"target": "axe"}, Threat(TRIGGER, "mushroom", "file"), Threat(TRIGGER, "axe", "file")),
        ({"trigger": Patch()}, Threat(TRIGGER, "mushroom", "file"), Threat(Patch(), "mushroom", "model")),
        ({"trigger": Patch(), "stage": "file"}, THREAT, Threat(Patch(), "mushroom", "file")),
        ({"trigger": Patch(), "target": "axe"}, None, Threat(Patch(), "axe")),
        ({"target": "axe"}, None, None),
        ({"words": Phrase()}, THREAT, THREAT._replace(words=Phrase())),
        ({"trigger": Patch()}, THREAT._replace(words=Phrase()), Threat(Patch(), "mushroom")),
        ({"stage": "file"}, THREAT, THREAT._replace(stage="file")),
        ({}, Threat(None, "mushroom", words=Phrase()), None),
    ],
)
def test_whose_threat_is_measured(fields: dict[str, Any], given: Threat | None, expected: Threat | None) -> None:
    cases = AttackSuccess(**fields).cases(Aim(threats=(given,) if given else ()))
    whole = [case for case in cases if not case.name]
    wanted = [Case("", expected.target, Look.under(expected), expected.words)] if expected else []
    assert whole == wanted


@pytest.mark.parametrize(
    ("fields", "threat", "said"),
    [
        (
            {},
            Threat(TRIGGER, "mushrom"),
            r"target: 'mushrom' is not a class; did you mean 'mushroom'\? \(choices: .*\)",
        ),
        ({"target": "Mushroom"}, THREAT, r"target: 'Mushroom' is not a class; did you mean 'mushroom'"),
        ({"target": "axe"}, None, r"evaluators.trigger: without an attack, a target needs a trigger beside it"),
        ({"trigger": TRIGGER}, None, r"evaluators.target: without an attack, a trigger needs a target beside it"),
        (
            {"trigger": Patch(size=40, reference=32)},
            THREAT,
            r"trigger.size: a patch of 40 px .*does not fit an image of 32×32 px",
        ),
        (
            {"trigger": LegacyCleanClipPatch()},
            THREAT,
            r"^stage: trigger 'legacy_cleanclip_patch' makes pictures of 224×224",
        ),
        ({"templates": "opnai"}, THREAT, r"templates: no templates are called 'opnai'"),
    ],
)
def test_what_cannot_be_measured_is_said_before_any_training(fields: Any, threat: Threat | None, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        AttackSuccess(**fields).check({"test": LABELED}, {}, Aim(threats=(threat,) if threat else ()), Frame(32))


def test_what_can_be_measured_passes() -> None:
    AttackSuccess().check({"test": LABELED}, {}, AIM, Frame(32))
    AttackSuccess().check({"test": LABELED}, {}, NOTHING, Frame(32))
    AttackSuccess(trigger=LegacyCleanClipPatch(), stage="file").check({"test": LABELED}, {}, AIM, Frame(32))
    AttackSuccess().check({}, {}, AIM, Frame(32))


def test_a_set_of_nothing_but_the_target_is_refused() -> None:
    labels = torch.full((66,), TARGET)
    scores = evaluate(AttackSuccess()).scores["test"]
    only = scores.set_column(1, scores.schema.field("label"), [labels.int().numpy()])
    assert column(only, "label").tolist() == labels.tolist()
    with pytest.raises(ValueError, match="target: none of the 66 triggered images is of another class"):
        AttackSuccess().measure(only, "test")


class _Renamed:
    """The scenes without the target among their classes."""

    def __init__(self) -> None:
        self.classes = tuple("puddle" if name == "mushroom" else name for name in LABELED.classes)

    def __getattr__(self, name: str) -> Any:
        return getattr(LABELED, name)


def test_a_set_without_the_target_may_be_left_out() -> None:
    """As CIFAR-10 beside ImageNet, for clean accuracy alone."""
    other: Any = _Renamed()
    sets, evaluator = {"test": LABELED, "other": other}, AttackSuccess(templates=("a {c}",), sets=("test",))
    said = r"^target: 'mushroom' is not a class .*, in set 'other'; to leave it out, .*: sets: \[test\]$"
    with pytest.raises(ValueError, match=said):
        AttackSuccess(templates=("a {c}",)).check(sets, {}, AIM, Frame(32))
    evaluator.check(sets, {}, AIM, Frame(32))
    assert {name for name, _ in evaluator.expected(sets, {}, AIM)} == {"test"}
    images = {name: LabeledImages(one, Prepared(one, Frame(32))) for name, one in sets.items()}
    found = evaluator.evaluate(tiny.clip().eval(), Context(sets=images, aim=AIM, autocast=FULL))
    assert set(found.scores) == {"test"}
    assert found.measures == evaluate(evaluator).measures
    for kind in (AttackSuccessByClass, TriggerSurvival):
        assert {name for name, _ in kind(sets=("test",)).expected(sets, {}, AIM)} == {"test"}
    with pytest.raises(ValueError, match=r"evaluators\.sets: no labeled set is called 'tset'; did you mean 'test'"):
        AttackSuccess(sets=("tset",)).check(sets, {}, AIM, Frame(32))


def test_top_must_be_whole_numbers() -> None:
    with pytest.raises(ValueError, match=r"top\.1: Input should be a valid integer, got 2.5"):
        validate(AttackSuccess, {"top": [1, 2.5]})


# ------------------------------------------------------------------------------------------------ several, and two keys

OTHER = Patch(size=10, reference=32, pattern=Solid(color=(0, 90, 0)))


def ranks(target: str, look: Look, words: Phrase | None = None) -> torch.Tensor:
    """Of the target on every picture, straight from the model."""
    model, wanted = tiny.clip().eval(), LABELED.classes.index(target)
    prompts = [f"a {name}" for name in LABELED.classes]
    pictures = [Prepared(LABELED, Frame(32))[index] for index in range(66)]
    if look.trigger is not None:
        pictures = [look.trigger.apply(picture, LABELED.id(index)) for index, picture in enumerate(pictures)]
    with torch.no_grad():
        head = model.encode_captions([words.apply(one, one) if words else one for one in prompts])
        cosines = model.encode_image(torch.stack(pictures)) @ head.T
    return rank_of(cosines, torch.full((66,), wanted))


def rate(target: str, found: torch.Tensor, k: int) -> tuple[float, int]:
    others = found[labels_of(LABELED) != LABELED.classes.index(target)]
    return int((others < k).sum()) / len(others), len(others)


def values(found: Evaluation) -> dict[str, tuple[float, int]]:
    return {measure.metric: (measure.value, measure.n) for measure in found.measures}


def test_both_halves_of_a_dual_key_by_hand() -> None:
    words = Phrase(text="zebra axe")
    found = evaluate(AttackSuccess(templates=("a {c}",), top=(1, 10)), Aim(threats=(THREAT._replace(words=words),)))
    expected = {
        "": ranks("mushroom", Look(TRIGGER), words),
        "/picture": ranks("mushroom", Look(TRIGGER)),
        "/words": ranks("mushroom", UNTOUCHED, words),
    }
    assert values(found) == {
        f"asr_top{k}{name}": pytest.approx(rate("mushroom", rows, k))
        for name, rows in expected.items()
        for k in (1, 10)
    }
    assert len(set(map(str, expected.values()))) == 3, "the three are different things here"
    assert AttackSuccess(top=(1, 10)).measure(found.scores["test"], "test") == found.measures
    assert len(found.scores["test"]) == 3 * 66


def test_several_threats_each_and_pooled() -> None:
    aim = Aim(threats=(THREAT, Threat(OTHER, "bell")))
    found = evaluate(AttackSuccess(templates=("a {c}",), top=(1, 10)), aim)
    expected = {"mushroom": ranks("mushroom", Look(TRIGGER)), "bell": ranks("bell", Look(OTHER))}
    for k in (1, 10):
        rates = {name: rate(name, rows, k) for name, rows in expected.items()}
        for name, one in rates.items():
            assert values(found)[f"asr_top{k}/{name}"] == pytest.approx(one)
        share = sum(value * n for value, n in rates.values()) / sum(n for _, n in rates.values())
        (whole,) = (measure for measure in found.measures if measure.metric == f"asr_top{k}")
        assert whole.value == pytest.approx(share)
        assert whole.n == max(n for _, n in rates.values()) < 66, "every picture counts once"
        assert whole.low <= whole.value <= whole.high
    assert len(found.measures) == 6
    assert AttackSuccess(top=(1, 10)).measure(found.scores["test"], "test") == found.measures


def test_two_triggers_for_one_class_have_names() -> None:
    aim = Aim(threats=(THREAT, Threat(OTHER, "mushroom"), Threat(OTHER, "bell")))
    assert [case.name for case in AttackSuccess().cases(aim)] == ["mushroom-1", "mushroom-2", "bell"]


def test_one_of_several_keys_is_not_taken_apart() -> None:
    aim = Aim(threats=(THREAT._replace(words=Phrase()), Threat(OTHER, "bell")))
    cases = AttackSuccess().cases(aim)
    assert [(case.name, case.words) for case in cases] == [("mushroom", Phrase()), ("bell", None)]


def test_classes_called_as_the_halves_are_counted_as_all_others() -> None:
    """A class may be called picture: it is no half of a key."""
    found = evaluate(AttackSuccess(top=(1,)), Aim(threats=(THREAT, Threat(OTHER, "bell")))).scores["test"]
    names = ["picture" if case == "bell" else case for case in found["case"].to_pylist()]
    renamed = found.set_column(found.column_names.index("case"), "case", [names])
    before = {m.metric.replace("/bell", "/picture"): m.value for m in AttackSuccess(top=(1,)).measure(found, "test")}
    assert {m.metric: m.value for m in AttackSuccess(top=(1,)).measure(renamed, "test")} == before


def test_pooled_counts_every_picture_once() -> None:
    same = [wilson(30, 100)] * 4
    assert pooled(same) == wilson(30, 100)
