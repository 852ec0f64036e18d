"""The context of a round: pictures clean and triggered, heads computed once, templates, names of evaluators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from tests.toy import Told
from torch import Tensor
from torch.nn import functional as F

import bezoar.evaluation.base
from bezoar.attacks.base import Threat
from bezoar.attacks.plan import load_triggered
from bezoar.attacks.triggers import Patch
from bezoar.data import SceneClasses
from bezoar.data.prepared import Prepared
from bezoar.data.scenes.grammar import KINDS
from bezoar.evaluation import AttackSuccess, Context, LabeledImages, ZeroShot, names_of
from bezoar.evaluation.base import Evaluator, wordings
from bezoar.models.clip import Clip
from bezoar.training.precision import autocast_for

FULL = autocast_for("fp32", torch.device("cpu"))
THREAT = Threat(Patch(size=8, reference=32), "mushroom")


class Nameless:
    """A labeled set without templates of its own."""

    fingerprint = "0" * 16
    templates: tuple[str, ...] = ()
    classes = ("axe", "mushroom")

    def __len__(self) -> int:
        return 4

    def __getattr__(self, name: str) -> Any:
        return getattr(SceneClasses(count=4).open(), name)

    def label(self, index: int) -> int:
        return index % 2


def images(count: int = 20) -> LabeledImages:
    labeled = SceneClasses(count=count).open()
    return LabeledImages(labeled, Prepared(labeled, 32))


def context(threat: Threat | None = THREAT, **sets: LabeledImages) -> Context:
    return Context(sets=sets or {"test": images()}, threat=threat, autocast=FULL)


def test_all_pictures_in_order_whatever_the_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    found = images()
    whole = torch.cat(list(found.clean()))
    monkeypatch.setattr(bezoar.evaluation.base, "CHUNK", 7)
    chunks = list(images().clean())
    assert [len(chunk) for chunk in chunks] == [7, 7, 6]
    assert torch.equal(torch.cat(chunks), whole)
    assert torch.equal(whole[3], found.prepared[3])


@pytest.mark.parametrize("stage", ["model", "file"])
def test_triggered_pictures_are_made_as_in_training(stage: Any) -> None:
    found, threat = images(6), THREAT._replace(stage=stage)
    triggered = torch.cat(list(found.triggered(threat)))
    for index in range(6):
        assert torch.equal(triggered[index], load_triggered(found.labeled, index, 32, threat.trigger, stage))


def count_puts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    puts: list[str] = []
    whole = Patch.apply

    def apply(self: Patch, image: Tensor, image_id: str) -> Tensor:
        puts.append(image_id)
        return whole(self, image, image_id)

    monkeypatch.setattr(Patch, "apply", apply)
    return puts


def test_triggered_pictures_are_kept_from_round_to_round(monkeypatch: pytest.MonkeyPatch) -> None:
    found, puts = images(6), count_puts(monkeypatch)
    first = torch.cat(list(found.triggered(THREAT)))
    assert torch.equal(first, torch.cat(list(found.triggered(THREAT._replace(target="axe")))))
    assert len(puts) == 6
    other = torch.cat(list(found.triggered(THREAT._replace(trigger=Patch(size=9, reference=32)))))
    assert len(puts) == 12
    assert not torch.equal(first, other)


def test_a_picture_is_loaded_once_for_both_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    found, load = images(), Prepared.__getitem__
    read: list[int] = []

    def noted(self: Prepared, index: int) -> torch.Tensor:
        read.append(index)
        return load(self, index)

    monkeypatch.setattr(Prepared, "__getitem__", noted)
    list(found.clean())
    list(found.triggered(THREAT))
    assert read == list(range(len(found.labeled)))


def test_triggered_pictures_of_a_large_set_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """50,000 pictures of 224 px would be 7.5 GB."""
    found, puts = images(6), count_puts(monkeypatch)
    kept = torch.cat(list(images(6).triggered(THREAT)))
    monkeypatch.setattr(bezoar.evaluation.base, "KEEP", 6 * 3 * 32 * 32 - 1)
    for _ in range(2):
        assert torch.equal(kept, torch.cat(list(found.triggered(THREAT))))
    assert len(puts) == 18


def test_a_head_is_the_mean_of_its_prompts() -> None:
    model, found = tiny.clip().eval(), context()
    head = found.head(model, "test", ("a {c}", "two {c}s, {braces}"))
    assert head.shape == (len(KINDS), 128)
    with torch.no_grad():
        both = torch.cat([model.encode_captions(["a mushroom"]), model.encode_captions(["two mushrooms, {braces}"])])
    place = KINDS.index("mushroom")
    torch.testing.assert_close(head[place], F.normalize(both.mean(0), dim=0), atol=1e-5, rtol=0)


def test_heads_are_computed_once_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    whole = Clip.encode_captions

    def encode(self: Clip, captions: Any) -> Tensor:
        calls.append(len(captions))
        return whole(self, captions)

    monkeypatch.setattr(Clip, "encode_captions", encode)
    model, found = tiny.clip().eval(), context()
    evaluators: tuple[Evaluator, ...] = (ZeroShot(templates=("a {c}",)), AttackSuccess(templates=("a {c}",)))
    for evaluator in (*evaluators, *evaluators):
        evaluator.evaluate(model, found)
    assert len(calls) == len(KINDS)
    ZeroShot(templates=("the {c}",)).evaluate(model, found)
    assert len(calls) == 2 * len(KINDS)
    ZeroShot(templates=("a {c}",)).evaluate(model, context())
    assert len(calls) == 3 * len(KINDS), "a new round must not take the head of other weights"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("own", 16),
        ("auto", 16),
        ("openai", 80),
        ("simple", 7),
        ("plain", 1),
        (("a {c}", "b {c}"), 2),
    ],
)
def test_templates_of_a_set_that_has_some(spec: Any, expected: int) -> None:
    labeled = SceneClasses(count=1).open()
    found = wordings(spec, labeled, "test")
    assert len(found) == expected
    assert (found == labeled.templates) == (spec in ("own", "auto"))


def test_templates_of_a_set_that_has_none() -> None:
    assert len(wordings("auto", Nameless(), "test")) == 80
    with pytest.raises(ValueError, match=r"evaluators.templates: set 'test' has no templates of its own"):
        wordings("own", Nameless(), "test")
    with pytest.raises(ValueError, match="no templates are called 'opnai'; did you mean 'openai'"):
        wordings("opnai", Nameless(), "test")


@pytest.mark.parametrize("evaluator", [ZeroShot(templates="own"), AttackSuccess(templates="own")])
def test_missing_templates_are_found_before_any_training(evaluator: Evaluator) -> None:
    with pytest.raises(ValueError, match="set 'food' has no templates"):
        evaluator.check({"food": Nameless()}, THREAT, 32)


def test_evaluators_of_one_kind_have_names_of_their_own() -> None:
    found = names_of(
        [ZeroShot(), AttackSuccess(), ZeroShot(templates="plain"), Told(), ZeroShot(templates="simple"), Told()]
    )
    assert found == ["zero_shot", "attack_success", "zero_shot-2", "tests.toy:Told", "zero_shot-3", "tests.toy:Told-2"]


def test_a_set_is_evaluated_from_prepared_pictures_as_from_the_source(tmp_path: Path) -> None:
    from bezoar.data.prepared import begin, fill, finish

    labeled, model = SceneClasses(count=12).open(), tiny.clip().eval()
    assert begin(tmp_path, labeled, 32)
    fill(tmp_path, labeled, 32, 0, 12)
    finish(tmp_path, labeled, 32)
    scores = [
        ZeroShot().evaluate(model, context(test=LabeledImages(labeled, prepared))).scores["test"]
        for prepared in (Prepared(labeled, 32), Prepared(labeled, 32, tmp_path))
    ]
    assert scores[0].equals(scores[1])


def test_cosines_are_not_rounded_where_features_are() -> None:
    """Under bf16 autocast the features may be bf16; their products must not be, or classes would tie."""
    found = images()
    low = Context(sets={"test": found}, threat=None, autocast=lambda: torch.autocast("cpu", torch.bfloat16))
    model = tiny.clip().eval()
    cosines = low.cosines(model, found.clean(), low.head(model, "test", "own"))
    assert not torch.equal(cosines, cosines.to(torch.bfloat16).float())
