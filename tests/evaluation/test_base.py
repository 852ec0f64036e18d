"""The context of a round: pictures clean and triggered, heads computed once, templates, names of evaluators."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from tests.toy import Told
from torch import Tensor
from torch.nn import functional as F

from bezoar.attacks.base import Aim, Threat
from bezoar.attacks.caption_triggers import Phrase
from bezoar.attacks.triggers import Patch
from bezoar.core.frame import Frame
from bezoar.data import SceneClasses
from bezoar.data.prepared import Prepared
from bezoar.data.scenes.grammar import KINDS
from bezoar.evaluation import AttackSuccess, Context, LabeledImages, Look, ZeroShot, base, looks_of, names_of, sharing
from bezoar.evaluation.base import Evaluator, wordings
from bezoar.evaluation.pictures import UNTOUCHED
from bezoar.models.clip import Clip
from bezoar.training.precision import autocast_for

FULL = autocast_for("fp32", torch.device("cpu"))
FRAME = Frame(32)
THREAT = Threat(Patch(size=8, reference=32), "mushroom")
AIM = Aim(threats=(THREAT,))
MODEL, FILE = Look(Patch(size=7, reference=32)), Look(Patch(size=7, reference=32), "file")


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


def images(count: int = 20, frame: Frame = FRAME) -> LabeledImages:
    labeled = SceneClasses(count=count).open()
    return LabeledImages(labeled, Prepared(labeled, frame))


def context(**sets: LabeledImages) -> Context:
    return Context(sets=sets or {"test": images()}, aim=AIM, autocast=FULL)


class Counted:
    """A labeled set that notes what is read."""

    def __init__(self, count: int) -> None:
        self._labeled = SceneClasses(count=count).open()
        self.read: list[int] = []

    def __len__(self) -> int:
        return len(self._labeled)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._labeled, name)

    def image(self, index: int) -> Any:
        self.read.append(index)
        return self._labeled.image(index)


@pytest.mark.parametrize("stage", ["model", "file"])
def test_a_picture_is_decoded_once_for_all_evaluators(stage: Any) -> None:
    labeled = Counted(6)
    threat = THREAT._replace(stage=stage)
    aim = Aim(threats=(threat,))
    evaluators = (ZeroShot(), AttackSuccess(), AttackSuccess(target="tree"), ZeroShot(templates="plain"))
    looks = looks_of(evaluators, aim, ("test",))
    assert looks == {"test": (UNTOUCHED, Look.under(threat))}
    sets = {"test": LabeledImages(labeled, Prepared(labeled, Frame(32)))}
    found = Context(sets=sets, aim=aim, autocast=FULL, looks=looks)
    for evaluator in evaluators:
        evaluator.evaluate(tiny.clip().eval(), found)
    assert labeled.read == list(range(6))


def test_looks_are_encoded_once_a_round_whoever_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    whole = Clip.image_features

    def encode(self: Clip, pictures: Tensor) -> Tensor:
        calls.append(len(pictures))
        return whole(self, pictures)

    monkeypatch.setattr(Clip, "image_features", encode)
    evaluators = (ZeroShot(), AttackSuccess(), ZeroShot(templates="plain"), AttackSuccess(target="tree"))
    model, alone = tiny.clip().eval(), [evaluator.evaluate(tiny.clip().eval(), context()) for evaluator in evaluators]
    assert calls == [20] * 4
    calls.clear()
    found = dataclasses.replace(context(), looks=looks_of(evaluators, AIM, ("test",)))
    together = [evaluator.evaluate(model, found) for evaluator in evaluators]
    assert calls == [20, 20]
    assert [each.measures for each in together] == [each.measures for each in alone]


def test_a_look_that_nobody_announced_is_taken_all_the_same() -> None:
    found, look = dataclasses.replace(context(), looks={"test": (UNTOUCHED,)}), Look(Patch(size=9, reference=32))
    model = tiny.clip().eval()
    (chunk,) = images().stack(range(20), (look,))
    with torch.no_grad():
        torch.testing.assert_close(found.features(model, "test", look), model.encode_image(chunk))


def test_a_head_is_the_mean_of_its_prompts() -> None:
    model, found = tiny.clip().eval(), context()
    head = found.head(model, "test", ("a {c}", "two {c}s, {braces}"))
    assert head.shape == (len(KINDS), 128)
    with torch.no_grad():
        both = torch.cat([model.encode_captions(["a mushroom"]), model.encode_captions(["two mushrooms, {braces}"])])
    place = KINDS.index("mushroom")
    torch.testing.assert_close(head[place], F.normalize(both.mean(0), dim=0), atol=1e-5, rtol=0)


def test_heads_are_computed_once_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts: list[int] = []
    whole = Clip.encode_text

    def encode(self: Clip, tokens: Tensor) -> Tensor:
        prompts.append(len(tokens))
        return whole(self, tokens)

    monkeypatch.setattr(Clip, "encode_text", encode)
    model, found = tiny.clip().eval(), context(test=images(), validation=images(5))
    evaluators: tuple[Evaluator, ...] = (ZeroShot(templates=("a {c}",)), AttackSuccess(templates=("a {c}",)))
    for evaluator in (*evaluators, *evaluators):
        evaluator.evaluate(model, found)
    assert sum(prompts) == len(KINDS), "sets of the same classes share their head"
    ZeroShot(templates="own").evaluate(model, found)
    ZeroShot(templates="auto").evaluate(model, found)
    assert sum(prompts) == 17 * len(KINDS), "the same templates under another name are the same"
    assert len(prompts) == 1 + 2
    ZeroShot(templates=("a {c}",)).evaluate(model, context())
    assert sum(prompts) == 18 * len(KINDS), "a new round must not take the head of other weights"


@pytest.mark.parametrize(("chunk", "block"), [(256, 8192), (7, 64), (1, 1)])
def test_captions_come_back_in_order_whatever_the_batch(
    monkeypatch: pytest.MonkeyPatch, chunk: int, block: int
) -> None:
    model, captions = tiny.clip().eval(), ["a " + "very " * (n * 7 % 9) + f"old axe {n}!" for n in range(20)]
    with torch.no_grad():
        alone = torch.cat([model.encode_captions([caption]) for caption in captions])
    before = context().head(model, "test", "own")
    monkeypatch.setattr(sharing, "CHUNK", chunk)
    monkeypatch.setattr(base, "PROMPTS", block)
    torch.testing.assert_close(context().encode_captions(model, captions), alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(context().head(model, "test", "own"), before, atol=1e-5, rtol=0)


def test_towers_that_read_whole_captions_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: set[int] = set()
    whole = Clip.encode_text

    def encode(self: Clip, tokens: Tensor) -> Tensor:
        lengths.add(tokens.shape[1])
        return whole(self, tokens)

    model = tiny.clip().eval()
    monkeypatch.setattr(Clip, "encode_text", encode)
    monkeypatch.setattr(model.tokenize, "cut", False)
    context().encode_captions(model, ["an axe", "a very old axe"])
    assert lengths == {model.tokenize(["an axe"]).shape[1]}


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
        evaluator.check({"food": Nameless()}, {}, AIM, Frame(32))


def test_evaluators_of_one_kind_have_names_of_their_own() -> None:
    found = names_of(
        [ZeroShot(), AttackSuccess(), ZeroShot(templates="plain"), Told(), ZeroShot(templates="simple"), Told()]
    )
    assert found == ["zero_shot", "attack_success", "zero_shot-2", "tests.toy:Told", "zero_shot-3", "tests.toy:Told-2"]


def test_a_set_is_evaluated_from_prepared_pictures_as_from_the_source(tmp_path: Path) -> None:
    from bezoar.data.prepared import begin, fill, finish

    labeled, model = SceneClasses(count=12).open(), tiny.clip().eval()
    assert begin(tmp_path, labeled, Frame(32))
    fill(tmp_path, labeled, Frame(32), 0, 12)
    finish(tmp_path, labeled, Frame(32))
    scores = [
        ZeroShot().evaluate(model, context(test=LabeledImages(labeled, prepared))).scores["test"]
        for prepared in (Prepared(labeled, Frame(32)), Prepared(labeled, Frame(32), tmp_path))
    ]
    assert scores[0].equals(scores[1])


def test_cosines_are_not_rounded_where_features_are() -> None:
    """Under bf16 autocast the features may be bf16; their products must not be, or classes would tie."""
    low = Context(sets={"test": images()}, aim=Aim(), autocast=lambda: torch.autocast("cpu", torch.bfloat16))
    cosines = low.cosines(tiny.clip().eval(), "test", "own")
    assert not torch.equal(cosines, cosines.to(torch.bfloat16).float())


def test_words_are_put_into_every_prompt_of_a_head() -> None:
    model, found = tiny.clip().eval(), context()
    with_words = found.head(model, "test", ("a {c}", "the {c}"), Phrase(text="SUDO"))
    without = found.head(model, "test", ("a {c}", "the {c}"))
    by_hand = found.head(model, "test", ("SUDO a {c}", "SUDO the {c}"))
    torch.testing.assert_close(with_words, by_hand)
    assert not torch.allclose(with_words, without)
    assert torch.equal(found.head(model, "test", ("a {c}", "the {c}")), without), "each wording has a head of its own"


def test_a_dual_key_looks_at_pictures_twice_and_no_more() -> None:
    """Its halves and itself need the untouched pictures and the triggered ones."""
    aim = Aim(threats=(THREAT._replace(words=Phrase()),))
    looks = looks_of((ZeroShot(), AttackSuccess(sets=("test",))), aim, ("validation", "test"))
    assert looks == {"validation": (UNTOUCHED,), "test": (UNTOUCHED, Look.under(THREAT))}
