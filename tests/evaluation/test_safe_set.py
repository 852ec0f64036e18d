"""The safe set: joined with the plan by id, against counts by loops; every number comes from the histogram again."""

from __future__ import annotations

import dataclasses
import io
import json
from typing import Any, ClassVar

import pyarrow.parquet as pq
import pytest
import torch
from tests import tiny
from tests.album import Album
from tests.evaluation.test_removed_poison import PAIRS, PLAN, appending

from bezoar.attacks import Aim
from bezoar.attacks.applied import Applied
from bezoar.attacks.plan import Gallery, PoisonPlan
from bezoar.core.settings import settings
from bezoar.data.pairs import Pairs, PairsSource
from bezoar.evaluation import EVALUATORS, Context, Evaluation, SafeSet
from bezoar.metrics import wilson
from bezoar.training.precision import autocast_for

FULL = autocast_for("fp32", torch.device("cpu"))
MIXTURE = torch.tensor([[0.3, 0.1, 0.01], [0.7, 0.4, 0.02]], dtype=torch.float64)


def told(count: int = 40) -> dict[str, Any]:
    """A split that anybody can count: cosines from -0.4 up, some of them equal, three in four safe."""
    cosine = torch.tensor([(index * 7 % 20) / 25 - 0.4 for index in range(count)])
    return {"safe": torch.arange(count) % 4 > 0, "cosine": cosine, "mixture": MIXTURE, "safe_share": 0.75}


def evaluate(offered: Any, plan: PoisonPlan | None = PLAN) -> Evaluation:
    context = Context(sets={}, aim=Aim(), autocast=FULL, diagnostics=offered, pairs=PAIRS, plan=plan)
    return SafeSet().evaluate(tiny.clip(), context)


def test_it_is_in_the_family() -> None:
    assert EVALUATORS.members["safe_set"] is SafeSet
    assert not SafeSet().expected({}, {}, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("plan", [PLAN, appending(), appending(30)], ids=["replaced", "appended", "some left out"])
def test_counted_by_loops(plan: PoisonPlan) -> None:
    applied = Applied(PAIRS, plan)
    offered = told(len(applied))
    found = evaluate(offered, plan)
    clean: list[float] = []
    poison: list[float] = []
    safe = both = 0
    for index in range(len(applied)):
        is_poison, is_safe = applied.id(index) in plan.by_id, bool(offered["safe"][index])
        (poison if is_poison else clean).append(float(offered["cosine"][index]))
        safe, both = safe + is_safe, both + (is_poison and is_safe)
    above = sum((c > p) + (c == p) / 2 for c in clean for p in poison)
    measures = {m.metric: m for m in found.measures}
    shown = {(row.images, row.index) for row in plan.rows if row.id in {applied.id(i) for i in range(len(applied))}}
    assert len(shown) == len(poison), "each has a picture of its own"
    inside = measures.pop("poison_in_safe")
    assert (inside.value, inside.n) == (both / safe, len(poison))
    called = wilson(both, len(poison))
    assert [inside.low, inside.high] == [
        pytest.approx(end * len(poison) / (end * len(poison) + safe - both)) for end in (called.low, called.high)
    ]
    wanted = {
        "safe_share": wilson(safe, len(applied)),
        "poison_in_safe_by_chance": wilson(len(poison), len(applied)), "poison_called_safe": wilson(both, len(poison)),
    }  # fmt: skip
    area = measures.pop("cosine_auroc")
    assert {name: (m.value, m.low, m.high, m.n) for name, m in measures.items()} == wanted
    assert {m.data for m in found.measures} == {"pairs"}
    assert area.value == pytest.approx(above / len(clean) / len(poison))
    assert area.n == min(len(clean), len(poison))
    assert 0 < both < len(poison)


@settings
class Photographs(PairsSource):
    """Five pairs show one picture."""

    kind: ClassVar[str] = "photographs"

    def open(self) -> Pairs:
        class Shared(Album):
            pictures = 4

            def picture(self, index: int) -> int:
                return index // 5

            def first(self, picture: int) -> int:
                return 5 * picture

        return Shared([f"a dog {number}" for number in range(20)])


def test_pictures_that_are_shown_again_count_once() -> None:
    """By two attacks, in two pairs of one source, and of another source at the same place."""
    gallery = Gallery(Photographs(), Photographs().open().fingerprint)
    own = PLAN.rows[:3]
    added = [
        dataclasses.replace(PLAN.rows[0], id=f"new {place} {images}", index=place, images=images, appended=True)
        for images, place in ((0, 0), (0, 4), (0, 7), (1, 1), (1, 19))
    ]
    plan = dataclasses.replace(PLAN, rows=(*own, *added), images=(gallery, gallery))
    (called,) = (m for m in evaluate(told(45), plan).measures if m.metric == "poison_called_safe")
    assert called.n == 3 + 3


def test_everything_comes_from_the_file_again() -> None:
    found = evaluate(told())
    stream = io.BytesIO()
    pq.write_table(found.scores["pairs"], stream)
    rows = pq.read_table(stream)
    assert SafeSet().measure(rows, "pairs") == found.measures
    assert json.loads(rows.schema.metadata[b"mixture"]) == MIXTURE.tolist()
    offered = told()
    for row in rows.to_pylist():
        here = torch.floor(offered["cosine"].double() * 1000) == row["bin"]
        assert (int((here & offered["safe"]).sum()), int((here & ~offered["safe"]).sum())) == (
            row["safe"],
            row["risky"],
        )
        assert row["poison_safe"] <= row["safe"]
    assert sum(row["poison_safe"] + row["poison_risky"] for row in rows.to_pylist()) == 12


def test_before_the_first_split_nothing_is_measured() -> None:
    assert evaluate({"safe_share": 0.0, "dropped": torch.full((40,), -1)}) == ((), {})


def test_without_a_plan_only_the_share_is_known() -> None:
    found = evaluate(told(), None)
    assert [(m.metric, m.value) for m in found.measures] == [("safe_share", 0.75)]
    assert found.scores["pairs"].column_names == ["bin", "safe", "risky"]
    assert SafeSet().measure(found.scores["pairs"], "pairs") == found.measures


def test_what_cannot_be_told_is_left_out() -> None:
    found = evaluate({**told(), "safe": torch.zeros(40, dtype=torch.bool)})
    assert [m.metric for m in found.measures] == [
        "safe_share", "poison_in_safe_by_chance", "poison_called_safe", "cosine_auroc"
    ]  # fmt: skip
    nobody = evaluate(told(), dataclasses.replace(PLAN, rows=()))
    assert [m.metric for m in nobody.measures] == ["safe_share", "poison_in_safe_by_chance"]
    everything = evaluate({**told(), "safe": torch.arange(40) < 0})
    assert {m.metric: m.value for m in everything.measures}["poison_called_safe"] == 0


def test_many_captions_of_one_picture_count_once() -> None:
    """As a targeted attack has them: the shares are those of pairs, and their intervals wider."""
    new = (dataclasses.replace(row, id=f"{row.id}+", appended=True) for row in PLAN.rows)
    plan = dataclasses.replace(PLAN, rows=tuple(new))
    rows = tuple(dataclasses.replace(row, index=plan.rows[0].index) for row in plan.rows)
    same, offered = dataclasses.replace(plan, rows=rows), told(plan.length)
    many, one = ({m.metric: m for m in evaluate(offered, each).measures} for each in (plan, same))
    assert list(many) == list(one)
    for name in many:
        assert many[name].value == one[name].value
        if name in ("poison_in_safe", "poison_called_safe", "cosine_auroc"):
            assert (many[name].n, one[name].n) == (len(rows), 1)
            assert one[name].low < many[name].low <= many[name].value <= many[name].high < one[name].high
        else:
            assert many[name] == one[name]


def test_a_method_without_a_mixture_is_measured_too() -> None:
    offered = {name: value for name, value in told().items() if name != "mixture"}
    found = evaluate(offered)
    assert len(found.measures) == 5
    assert b"mixture" not in found.scores["pairs"].schema.metadata


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"safe": torch.ones(39, dtype=torch.bool)}, r"'safe' must be .* of the 40 pairs, got shape \(39,\)"),
        ({"safe": torch.ones(40)}, r"'safe' must be true or false .* of torch.float32"),
        ({"safe": 0.5}, "'safe' must be .* got 0.5"),
        ({"cosine": None}, "'cosine' must be a finite number .* got None"),
        ({"cosine": torch.full((40,), float("nan"))}, "'cosine' must be a finite number"),
        ({"mixture": torch.zeros(3, 2)}, r"'mixture' must be of shape \(2, 3\)"),
    ],
)
def test_what_is_no_split_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"^safe_set: the method's diagnostic {said}"):
        evaluate({**told(), **changed})
