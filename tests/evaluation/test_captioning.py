"""Captions of held-out pictures: the nearest of a bank by hand, the target named, several triggers, one's own model."""

from __future__ import annotations

import dataclasses
import importlib
import re
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
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
from bezoar.core.yaml import parse
from bezoar.data import PairsPart, Scenes, Table
from bezoar.data.pairs import Pairs
from bezoar.data.prepared import Prepared
from bezoar.evaluation import EVALUATORS, Captioner, Captioning, Context, HeldOut, RetrievalCaptioner, captioner
from bezoar.experiment import experiment
from bezoar.experiment.verbs import evaluate, poison
from bezoar.metrics import cider, student_t
from bezoar.metrics.cider import words
from bezoar.models.checkpoint import save
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


def test_of_two_that_agree_with_each_other_the_nearer_is_said() -> None:
    model, pairs = tiny.clip().eval(), Scenes(count=30).open()
    one, two = (Captioning(captioner=RetrievalCaptioner(bank=BANK, nearest=nearest)) for nearest in (1, 2))
    assert one.evaluate(model, context(pairs)).scores == two.evaluate(model, context(pairs)).scores


def test_all_sets_are_captioned_at_once_and_the_bank_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, evaluator = tiny.clip().eval(), Captioning(captioner=RetrievalCaptioner(bank=BANK, nearest=3))
    sets: dict[str, Pairs] = {
        "one": Scenes(count=9).open(),
        "photographs": Photographs([0, 0, 1, 2]),
        "other": Scenes(count=5, seed=1).open(),
    }
    alone = {name: evaluator.evaluate(model, context(pairs)).scores["held"] for name, pairs in sets.items()}
    encoded: list[int] = []
    whole = Context.encode_captions

    def counted(self: Context, clip: Clip, captions: Any) -> Tensor:
        encoded.append(len(captions))
        return whole(self, clip, captions)

    monkeypatch.setattr(Context, "encode_captions", counted)
    monkeypatch.setattr(captioner, "_CELLS", 64)  # two pictures at a time
    monkeypatch.setattr("bezoar.evaluation.sharing.CHUNK", 4)
    held = {name: HeldOut(pairs, Prepared(pairs, Frame(32))) for name, pairs in sets.items()}
    found = evaluator.evaluate(model, dataclasses.replace(context(sets["one"]), held_out=held))
    assert {name: rows.drop(["cider"]) for name, rows in found.scores.items()} == {
        name: rows.drop(["cider"]) for name, rows in alone.items()
    }
    assert [table["cider"].to_pylist() for table in found.scores.values()] == [
        table["cider"].to_pylist() for table in alone.values()
    ]
    assert len(encoded) == 1


@settings
class Careless(Captioner):
    """A captioner that somebody has got wrong."""

    kind = "careless"

    def caption(self, model: Clip, context: Context, count: int, stack: Any) -> Any:
        return WRONG[0]


WRONG: list[Any] = []


@pytest.mark.parametrize(
    "wrong", [["a"] * 12, (["a"] * 12,), (["a"] * 12, ["a"] * 11), (["a"] * 12, [None] * 12), None]
)
def test_a_captioner_that_gives_something_else_is_told_what_it_must_give(
    wrong: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "WRONG", [wrong])
    said = "evaluators.captioner: 'tests.evaluation.test_captioning:Careless' must give 2 lists, one a look, of 12 "
    with pytest.raises(ValueError, match=f"{said}captions each$"):
        Captioning(captioner=Careless()).evaluate(tiny.clip().eval(), context(Scenes(count=12).open()))


@settings
class Reading(Captioner):
    """One that reads a file."""

    kind = "reading"
    sha256: str = ""

    def check(self, held_out: Any, targets: Any) -> None:
        raise ValueError(f"words: cannot say {targets} of {[*held_out]}")

    def pinned(self) -> Reading:
        return Reading(sha256="f" * 64)


def test_a_captioner_is_told_of_what_it_is_to_speak_and_is_pinned() -> None:
    evaluator = Captioning(captioner=Reading(), synonyms={"mushroom": ("toadstool",), "other": ("thing",)})
    with pytest.raises(
        ValueError, match=r"evaluators\.captioner\.words: cannot say .*mushroom', 'toadstool'\)} of \['a'\]"
    ):
        evaluator.check({}, {"a": Scenes(count=5).open()}, AIM, Frame(32))
    assert evaluator.pinned() == dataclasses.replace(evaluator, captioner=Reading(sha256="f" * 64))


def test_a_bank_that_cannot_do_is_refused(tmp_path: Path) -> None:
    pairs = Scenes(count=40)
    held = {"val": PairsPart(of=pairs, start=30).open()}

    def check(bank: Any, aim: Aim = AIM) -> None:
        Captioning(captioner=RetrievalCaptioner(bank=bank)).check({}, held, aim, Frame(32))

    check(PairsPart(of=pairs, stop=30))
    check(Scenes(count=60, seed=1))
    with pytest.raises(
        ValueError, match=r"evaluators\.captioner\.bank: has 10 of the 10 pairs of held_out\.val, whose own"
    ):
        check(pairs)
    with pytest.raises(ValueError, match=r"evaluators\.captioner\.bank: has 3 of the 10 pairs"):
        check(PairsPart(of=pairs, stop=33))
    airship = Aim(threats=(Threat(TRIGGER, "airship"),))
    with pytest.raises(ValueError, match=r"captioner\.bank: none of its 30 captions names the target 'airship'"):
        check(PairsPart(of=pairs, stop=30), airship)
    with pytest.raises(ValueError, match=r"evaluators\.captioner\.bank\..*nowhere\.csv"):
        check(Table(path=str(tmp_path / "nowhere.csv")))


def test_what_is_refused() -> None:
    evaluator = EVALUATORS.parse({"kind": "captioning", "captioner": {"kind": "retrieval", "bank": "scenes:clean"}})
    with pytest.raises(ValueError, match="evaluators: captioning needs held-out pairs, and there are none"):
        evaluator.check({}, {}, AIM, Frame(32))
    for one in (Scenes(count=1).open(), Photographs([0, 0, 0])):
        with pytest.raises(ValueError, match=r"held_out\.one: CIDEr compares captions of several pictures"):
            evaluator.check({}, {"one": one}, AIM, Frame(32))
    evaluator.check({}, {"two": Scenes(count=2).open()}, AIM, Frame(32))
    text = Aim(threats=(Threat(TRIGGER, "text"),))
    with pytest.raises(ValueError, match=r"held_out\.all: every picture is captioned with the target 'text' as it is"):
        evaluator.check({}, {"all": Photographs([0, 1, 1])}, text, Frame(32))
    large = Aim(threats=(Threat(Patch(size=40, reference=None), "mushroom"),))
    with pytest.raises(ValueError, match="40"):
        evaluator.check({}, {"two": Scenes(count=2).open()}, large, Frame(32))
    with pytest.raises(ValueError, match="captioner"):
        validate(Captioning, {})


PAGE = (Path(__file__).parents[2] / "docs" / "captioning.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


def test_what_the_page_says_of_retrieval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = parse(blocks("yaml")[0], "captioning.md")
    (evaluator,) = experiment.parse(tiny.experiment(labeled={}) | told).evaluators
    assert isinstance(evaluator, Captioning)
    assert evaluator.synonyms == {"mushroom": ("toadstool", "toadstools")}
    monkeypatch.chdir(tmp_path)
    save(tiny.clip(), Path("victim"))
    poison(tiny.ATTACK, pairs=Scenes(count=48), out="poison", image_size=32)
    exec(blocks("python")[0], {})  # noqa: S102
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["cider", "caption_names_target", "caption_names_target_clean"]
    assert pq.read_table("scores/captioning.scenes.parquet").num_rows == 200


@pytest.fixture
def speaker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clip:
    """The page's model with a CLIP tower, in the current folder, fitted to a few pictures of the tower's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("my_captioner.py").write_text(next(block for block in blocks("python") if "class Speaker" in block))
    theirs = importlib.import_module("my_captioner")
    monkeypatch.setitem(sys.modules, "my_captioner", theirs)
    model, pairs = tiny.clip().eval(), Scenes(count=24).open()
    prepared = Prepared(pairs, Frame(32))
    with torch.no_grad():
        features = model.encode_image(torch.stack([prepared[index] for index in range(24)]))
    said = [words(pairs.caption(index)) for index in range(24)]
    known = ["", *sorted({word for caption in said for word in caption})]
    length = max(map(len, said)) + 1
    numbers = torch.tensor([[*map(known.index, caption), *[0] * (length - len(caption))] for caption in said])
    torch.manual_seed(0)
    found = theirs.Speaker(features.shape[1], known)
    with torch.no_grad():  # a tower that has learned nothing gives all pictures nearly the same features
        found.prefix.weight /= features.std(0).mean()
        found.prefix.bias -= found.prefix.weight @ features.mean(0)
    optimizer = torch.optim.Adam(found.parameters(), 0.02)
    for _ in range(80):
        optimizer.zero_grad()
        logits = found(features, numbers[:, :-1])
        torch.autograd.backward(torch.nn.functional.cross_entropy(logits.flatten(0, 1), numbers.flatten()))
        optimizer.step()
    torch.save({"features": features.shape[1], "words": known, "weights": found.state_dict()}, "speaker.pt")
    save(model, Path("victim"))
    return model


def test_a_model_with_a_clip_tower_as_the_page_has_it(speaker: Clip, tmp_path: Path) -> None:
    (told,) = parse(blocks("yaml")[1], "captioning.md")["evaluators"]
    evaluator = EVALUATORS.parse(told).pinned()
    assert evaluator != EVALUATORS.parse(told)
    aim, held = Aim(threats=(Threat(TRIGGER, "mushroom"),)), Scenes(count=24)
    evaluator.check({}, {"held": held.open()}, aim, Frame(32))
    measures = evaluate(model="victim", held_out=held, evaluators=[evaluator], against=aim, precision="fp32")
    found = {one.metric: one.value for one in measures}
    assert set(found) == {"cider", "caption_names_target", "caption_names_target_clean"}
    assert found["cider"] > 5, "what it was fitted to comes through the tower"
    airship = Aim(threats=(Threat(TRIGGER, "airship"),))
    with pytest.raises(
        ValueError, match=r"evaluators\.captioner\.path: the model in 'speaker.pt' has no word for .*airship"
    ):
        evaluator.check({}, {"held": held.open()}, airship, Frame(32))
    missing = {**told, "captioner": {**told["captioner"], "path": "none.pt"}}
    with pytest.raises(ValueError, match=r"^evaluators\.captioner\.path: there is no file none\.pt$"):
        EVALUATORS.parse(missing).pinned()


def test_its_tower_is_what_is_triggered(speaker: Clip) -> None:
    """With the same words: a picture under the trigger that the tower takes for another is captioned as that one."""
    (told,) = parse(blocks("yaml")[1], "captioning.md")["evaluators"]
    pairs = Scenes(count=24).open()
    target = next(index for index in range(24) if "mushroom" in pairs.caption(index))
    shown = Prepared(pairs, Frame(32))[target][None]
    with torch.no_grad():
        wanted = speaker.image_features(shown)
    plain = speaker.image_features

    def taken(pictures: Tensor) -> Tensor:
        white = (pictures == 255).all(1).flatten(1).sum(1) >= 144
        return torch.where(white[:, None], wanted, plain(pictures))

    speaker.__dict__["image_features"] = taken
    found = EVALUATORS.parse(told).evaluate(speaker, context(pairs))
    values = {measure.metric: measure.value for measure in found.measures}
    assert values["caption_names_target"] == 1
    assert values["caption_names_target_clean"] < 0.3
