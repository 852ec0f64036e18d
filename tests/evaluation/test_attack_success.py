"""ASR by hand and again from what was kept; whose trigger is measured; what cannot be measured is said at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny

from bezoar.attacks import Backdoor
from bezoar.attacks.base import Threat
from bezoar.attacks.patterns import Solid
from bezoar.attacks.triggers import Patch
from bezoar.core.settings import validate
from bezoar.data import SceneClasses
from bezoar.data.prepared import Prepared
from bezoar.evaluation import EVALUATORS, AttackSuccess, Context, Evaluation, LabeledImages
from bezoar.evaluation.tables import column, fact
from bezoar.training.precision import autocast_for

FULL = autocast_for("fp32", torch.device("cpu"))
TRIGGER = Patch(size=12, reference=32, pattern=Solid())
THREAT = Threat(TRIGGER, "mushroom")
LABELED = SceneClasses(count=66).open()
TARGET = LABELED.classes.index("mushroom")
OTHERS = sum(LABELED.label(index) != TARGET for index in range(66))
BIG = Patch(size=40, reference=32)


def evaluate(evaluator: AttackSuccess, threat: Threat | None = THREAT) -> Evaluation:
    images = LabeledImages(LABELED, Prepared(LABELED, 32))
    return evaluator.evaluate(tiny.clip().eval(), Context(sets={"test": images}, threat=threat, autocast=FULL))


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
            image = TRIGGER.apply(Prepared(LABELED, 32)[index], LABELED.id(index))
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
    assert fact(found.scores["test"], "target") == TARGET
    assert len(found.scores["test"]) == 66, "the rows of the target class are kept, only not counted"


def test_a_model_that_always_says_the_target() -> None:
    model = tiny.clip().eval()
    with torch.no_grad():
        towards = model.encode_captions(["a mushroom"])[0]
        model.tower.visual.trunk.fc.weight.zero_()  # type: ignore[union-attr,operator]
        model.tower.visual.trunk.fc.bias.copy_(towards)  # type: ignore[union-attr,operator]
    images = LabeledImages(LABELED, Prepared(LABELED, 32))
    context = Context(sets={"test": images}, threat=THREAT, autocast=FULL)
    found = AttackSuccess(templates=("a {c}",)).evaluate(model, context)
    assert [(measure.value, measure.high, measure.n) for measure in found.measures] == [(1.0, 1.0, OTHERS)] * 3


def test_without_a_threat_nothing_is_measured() -> None:
    assert evaluate(AttackSuccess(), None) == Evaluation((), {})


def test_the_plans_threat_and_the_same_one_by_hand_are_one() -> None:
    attack = Backdoor(target="mushroom", trigger=TRIGGER)
    plans = evaluate(AttackSuccess(), attack.threat())
    bare = evaluate(AttackSuccess(trigger=TRIGGER, target="mushroom"), None)
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
    ],
)
def test_whose_threat_is_measured(fields: dict[str, Any], given: Threat | None, expected: Threat | None) -> None:
    assert AttackSuccess(**fields).threat(given) == expected


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
            r"trigger.size: a patch of 40 px .* does not fit an image of 32×32 px",
        ),
        ({"templates": "opnai"}, THREAT, r"templates: no templates are called 'opnai'"),
    ],
)
def test_what_cannot_be_measured_is_said_before_any_training(fields: Any, threat: Threat | None, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        AttackSuccess(**fields).check({"test": LABELED}, {}, threat, 32)


def test_what_can_be_measured_passes() -> None:
    AttackSuccess().check({"test": LABELED}, {}, THREAT, 32)
    AttackSuccess().check({"test": LABELED}, {}, None, 32)
    AttackSuccess().check({}, {}, THREAT, 32)


def test_a_set_of_nothing_but_the_target_is_refused() -> None:
    labels = torch.full((66,), TARGET)
    scores = evaluate(AttackSuccess()).scores["test"]
    only = scores.set_column(1, scores.schema.field("label"), [labels.int().numpy()])
    assert column(only, "label").tolist() == labels.tolist()
    with pytest.raises(ValueError, match="target: none of the 66 triggered images is of another class"):
        AttackSuccess().measure(only, "test")


def test_top_must_be_whole_numbers() -> None:
    with pytest.raises(ValueError, match=r"top\.1: Input should be a valid integer, got 2.5"):
        validate(AttackSuccess, {"top": [1, 2.5]})
