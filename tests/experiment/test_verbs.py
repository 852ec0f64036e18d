"""The verbs as functions: each does its part, and together they are the story that an experiment tells at once."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests import tiny

from bezoar.attacks import CaptionBackdoor, Planned, Targeted
from bezoar.attacks.caption_triggers import Phrase
from bezoar.attacks.patterns import Picture
from bezoar.attacks.plan_files import load_plan
from bezoar.attacks.triggers import Patch
from bezoar.cleaning import CleanCLIP, Finetune, PseudoLabels
from bezoar.core.files import exclusive, read_json
from bezoar.core.records import read_records
from bezoar.data import PAIRS_SOURCES, SceneClasses, Scenes
from bezoar.data.captions import Eda
from bezoar.data.scenes import ScenePairs
from bezoar.evaluation import AttackSuccess, ZeroShot
from bezoar.experiment.verbs import clean, draft, evaluate, planned, poison, train
from bezoar.models.checkpoint import read_card
from bezoar.models.opening import load_model
from bezoar.pretraining import ClipPretraining

PAIRS, CLEAN, VAL = Scenes(count=32), Scenes(split="clean", count=16), SceneClasses(count=20)
CLIP = ClipPretraining(**tiny.BRIEF)
CLEANCLIP = CleanCLIP(**tiny.BRIEF, caption_view=Eda(wordnet="none"))
CHEAP = (ZeroShot(templates=("a {c}",)), AttackSuccess(templates=("a {c}",)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan, a victim and a cleaned model."""
    home = tmp_path_factory.mktemp("verbs")
    poison(tiny.ATTACK, pairs=PAIRS, out=home / "poison", image_size=32, seed=5)
    victim = train(
        CLIP, pairs=PAIRS, model="micro-cnn-32", out=home / "victim", attack=planned(home / "poison"), val=VAL,
        evaluators=CHEAP, threads=1,
    )  # fmt: skip
    (home / "where.txt").write_text(str(victim))
    return home


def victim(folder: Path) -> Path:
    return Path((folder / "where.txt").read_text())


def test_poison_writes_the_plan_that_it_returns(folder: Path, tmp_path: Path) -> None:
    plan = poison(tiny.ATTACK, pairs=PAIRS, out=tmp_path, image_size=32, seed=5)
    assert load_plan(tmp_path).digest == plan.digest == load_plan(folder / "poison").digest
    assert plan.survival is not None
    assert plan.survival.mean == 1
    assert len(pq.read_table(tmp_path / "preview.parquet")) == 8
    assert planned(tmp_path) == Planned(folder=str(tmp_path), digest=plan.digest)


def test_training_on_a_plan(folder: Path) -> None:
    card = read_card(victim(folder))
    assert card.poison is not None
    assert card.poison["plan"] == planned(folder / "poison").digest
    records = read_records(folder / "victim" / "records.jsonl")
    assert {record.metric for record in records if record.epoch == 1} >= {"accuracy_top1", "asr_top1"}
    assert {(record.data, record.run, record.stage) for record in records} == {("validation", "clip", "clip")}
    assert load_model(str(victim(folder))).architecture == "micro-cnn-32"


def test_the_same_call_changes_nothing(folder: Path) -> None:
    before = (folder / "victim" / "records.jsonl").read_bytes()
    again = train(
        CLIP, pairs=PAIRS, model="micro-cnn-32", out=str(folder / "victim"), attack=planned(folder / "poison"), val=VAL,
        evaluators=CHEAP, threads=1,
    )  # fmt: skip
    assert again == victim(folder)
    assert (folder / "victim" / "records.jsonl").read_bytes() == before


def test_cleaning_a_folder_measures_before_and_after(folder: Path, tmp_path: Path) -> None:
    """The plan is only measured: the clean pairs stay clean, and the model says that it was poisoned once."""
    cleaned = clean(
        CLEANCLIP, model=victim(folder), pairs=CLEAN, out=tmp_path, against=planned(folder / "poison"), val=VAL,
        evaluators=CHEAP, threads=1,
    )  # fmt: skip
    card, parent = read_card(cleaned), read_card(victim(folder))
    assert card.poison == parent.poison
    assert card.poison is not None
    assert card.parent == parent.weights != card.weights
    assert card.data == CLEAN.open().fingerprint
    assert not (tmp_path / "poison").exists()
    records = read_records(tmp_path / "records.jsonl")
    assert sorted({(record.epoch, record.metric) for record in records if record.metric.endswith("top1")}) == [
        (0, "accuracy_top1"), (0, "asr_top1"), (1, "accuracy_top1"), (1, "asr_top1")
    ]  # fmt: skip
    # Before: what the victim's own run measured at its end.
    last = {r.metric: r.value for r in read_records(folder / "victim" / "records.jsonl")}
    assert {r.metric: r.value for r in records if r.epoch == 0} == last
    assert read_json(cleaned.parent / "stage.json")["known_poisoned"] is True, "its history says so"


def test_the_folder_of_a_model_that_was_cleaned_by_a_file(folder: Path, tmp_path: Path) -> None:
    """The method is known by the content of its file, and so is the folder that is returned."""
    labels = tmp_path / "labels.csv"
    labels.write_text("id,label\n" + "".join(f"{CLEAN.open().id(i)},{'cat' if i % 2 else 'dog'}\n" for i in range(16)))
    method = PseudoLabels(labels=str(labels), **tiny.BRIEF, caption_view=Eda(wordnet="none"))
    cleaned = clean(method, model=victim(folder), pairs=CLEAN, out=tmp_path / "run", threads=1)
    assert [path.parent for path in (tmp_path / "run").glob("stages/*/model/model.json")] == [cleaned]


def test_evaluating_by_plan_or_by_hand_is_one(folder: Path, tmp_path: Path) -> None:
    model = victim(folder)
    by_plan = evaluate(model=model, data=VAL, evaluators=CHEAP, against=planned(folder / "poison"), scores=tmp_path)
    bare = AttackSuccess(templates=("a {c}",), trigger=tiny.ATTACK.trigger, target="mushroom")
    by_hand = evaluate(model=str(model), data=VAL, evaluators=(CHEAP[0], bare))
    assert by_plan == by_hand
    assert {measure.metric for measure in by_plan} >= {"accuracy_top1", "asr_top1"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "attack_success.scenes.parquet", "zero_shot.scenes.parquet"
    ]  # fmt: skip
    kept = pq.read_table(tmp_path / "attack_success.scenes.parquet")
    assert CHEAP[1].measure(kept, "scenes") == tuple(m for m in by_plan if m.metric.startswith("asr"))


def test_without_an_attack_only_accuracy_is_measured(folder: Path) -> None:
    found = evaluate(model=victim(folder), data=VAL)
    assert {measure.metric.partition("_")[0] for measure in found} == {"accuracy"}


def test_a_plan_for_other_pairs_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="was made for pairs"):
        train(CLIP, pairs=CLEAN, model="micro-cnn-32", out=tmp_path, attack=planned(folder / "poison"))


def test_a_plan_that_is_no_longer_the_one_that_was_named(folder: Path, tmp_path: Path) -> None:
    named = planned(folder / "poison")
    poison(dataclasses.replace(tiny.ATTACK, count=3), pairs=PAIRS, out=tmp_path / "poison", image_size=32)
    moved = dataclasses.replace(named, folder=str(tmp_path / "poison"))
    with pytest.raises(ValueError, match=rf"poison: .* holds plan \w+, not {named.digest}"):
        train(CLIP, pairs=PAIRS, model="micro-cnn-32", out=tmp_path / "run", attack=moved)


def test_no_plan_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is not a poison folder: it has no poison\.json"):
        planned(tmp_path)


def test_an_attack_that_does_not_fit_writes_no_plan(tmp_path: Path) -> None:
    big = dataclasses.replace(tiny.ATTACK, trigger=Patch(size=40, reference=32))
    with pytest.raises(ValueError, match=r"trigger.size: a patch of 40 px"):
        poison(big, pairs=PAIRS, out=tmp_path, image_size=32)
    assert not list(tmp_path.glob("poison*"))


def test_training_without_val_measures_nothing(tmp_path: Path) -> None:
    model = train(CLIP, pairs=CLEAN, model="micro-cnn-32", out=tmp_path, threads=1)
    assert read_card(model).poison is None
    assert read_records(tmp_path / "records.jsonl") == []


def test_retrieval_and_the_loss_are_measured_on_held_out_pairs(tmp_path: Path) -> None:
    held_out = Scenes(split="clean", count=24)
    trained = train(CLIP, pairs=PAIRS, model="micro-cnn-32", out=tmp_path / "run", held_out=held_out, threads=1)
    records = [r for r in read_records(tmp_path / "run" / "records.jsonl") if r.epoch == 1]
    assert {(r.evaluator, r.metric, r.n) for r in records} == {
        ("contrastive_loss", "contrastive_loss", 24),
        *(("retrieval", f"{side}_recall_top{k}", 24) for side in ("text", "image") for k in (1, 5, 10)),
    }
    again = {m.metric: m.value for m in evaluate(model=trained, held_out=held_out)}
    assert again == {r.metric: r.value for r in records}


def test_nothing_to_measure_on_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^data: there is nothing to measure on: give a labeled set, held-out pairs"):
        evaluate(model="micro-cnn-32")


def test_a_poison_folder_in_use_is_refused_before_the_plan_is_made(tmp_path: Path) -> None:
    class Unread(Scenes):
        def open(self) -> ScenePairs:
            raise AssertionError("the pairs were read")

    with exclusive(tmp_path), pytest.raises(ValueError, match=r"is in use by another run \(process \d+\)"):
        poison(tiny.ATTACK, pairs=Unread(), out=tmp_path, image_size=32)


def test_a_folder_keeps_the_plan_it_has(tmp_path: Path) -> None:
    first = poison(tiny.ATTACK, pairs=PAIRS, out=tmp_path, image_size=32)
    assert poison(tiny.ATTACK, pairs=PAIRS, out=tmp_path, image_size=32).digest == first.digest
    with pytest.raises(
        ValueError, match=rf"^out: .* holds another plan \({first.digest}, not [0-9a-f]+\); name another"
    ):
        poison(tiny.ATTACK, pairs=PAIRS, out=tmp_path, image_size=32, seed=9)
    assert load_plan(tmp_path).digest == first.digest


def test_a_draft_is_the_plan_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = draft(tiny.ATTACK, pairs=PAIRS, image_size=32, seed=5)
    assert list(tmp_path.iterdir()) == []
    written = poison(tiny.ATTACK, pairs=PAIRS, out=tmp_path / "p", image_size=32, seed=5)
    assert (plan, plan.survival) == (written, written.survival)


def test_a_plan_names_a_picture_by_its_content(tmp_path: Path) -> None:
    """So that the same attack is measured later, whatever the file then holds."""
    Image.new("RGB", (4, 4), (9, 200, 7)).save(tmp_path / "logo.png")
    trigger = Patch(size=8, reference=32, pattern=Picture(path=str(tmp_path / "logo.png")))
    plan = poison(dataclasses.replace(tiny.ATTACK, trigger=trigger), pairs=PAIRS, out=tmp_path / "p", image_size=32)
    assert plan.attack == dataclasses.replace(tiny.ATTACK, trigger=trigger).pinned()
    (tmp_path / "logo.png").unlink()
    assert planned(tmp_path / "p").plan(PAIRS.open(), 0) == plan


def test_words_that_are_cut_off_are_refused(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.csv"
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    rows = ["a mushroom here", *[" ".join([f"thing{k}" for k in range(99)])] * 3]
    pairs.write_text("image,caption\n" + "".join(f"a.png,{row}\n" for row in rows))
    attack = CaptionBackdoor(target="mushroom", count=1, words=Phrase(place="end"))
    source = PAIRS_SOURCES.parse_text(str(pairs))
    with pytest.raises(ValueError, match=r"^attack\.words: the words are whole in none of 1 poisoned captions"):
        poison(attack, pairs=source, out=tmp_path / "p")
    assert not list(tmp_path.glob("p/poison*"))
    found = poison(attack, pairs=source, out=tmp_path / "p", allow_dead_trigger=True).survival
    assert found is not None
    assert (found.words, found.captions, found.mean) == (0, 1, None)


def test_chosen_pictures_are_measured_by_plan(folder: Path, tmp_path: Path) -> None:
    """An attack without a trigger: accuracy and targeted success, and no attack success rate."""
    held_out = SceneClasses(split="test", count=20)
    attack = Targeted(images=held_out, targets=("mushroom",), images_per_target=3, captions="templates")
    attack = dataclasses.replace(attack, captions_per_image=2)
    poison(attack, pairs=PAIRS, out=tmp_path / "p", image_size=32, seed=4)
    found = evaluate(model=victim(folder), data=VAL, against=planned(tmp_path / "p"))
    assert {measure.metric.partition("_")[0] for measure in found} == {"accuracy", "targeted"}
    assert {measure.n for measure in found if measure.metric.startswith("targeted")} == {3}
    # The seed is the plan's own, or the one that is named.
    assert evaluate(model=victim(folder), data=VAL, against=attack, seed=4) == found


def test_poison_left_in_clean_pairs(folder: Path, tmp_path: Path) -> None:
    left = dataclasses.replace(tiny.ATTACK, target="bell", count=3)
    cleaned = clean(
        Finetune(**tiny.BRIEF), model=victim(folder), pairs=CLEAN, out=tmp_path, left=left, val=VAL, evaluators=CHEAP,
        threads=1,
    )  # fmt: skip
    (plan,) = (load_plan(path.parent) for path in tmp_path.glob("poison/*/poison.json"))
    assert plan == left.plan(CLEAN.open(), 0)
    stage = cleaned.parent
    rows = pq.read_table(stage / "scores" / "epoch-001.attack_success.validation.parquet")
    assert set(rows["target"].to_pylist()) == {VAL.open().classes.index("bell")}
