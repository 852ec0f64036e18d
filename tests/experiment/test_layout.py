"""Where a stage's work is found again: at a digest that changes with all it depends on and with nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tests import tiny

from bezoar.attacks.triggers import Patch
from bezoar.cleaning import CleanCLIP, Finetune
from bezoar.core.files import read_json, write_json
from bezoar.data import Scenes
from bezoar.data.captions import Eda
from bezoar.data.captions.base import Resource
from bezoar.evaluation import ZeroShot
from bezoar.experiment import layout
from bezoar.experiment.experiment import Experiment, override, parse
from bezoar.experiment.layout import Layout, forget, plan_digest, stage_digest, training_digest
from bezoar.experiment.verbs import planned, poison
from bezoar.models.checkpoint import save
from bezoar.pretraining import ClipPretraining

NAMES = ("victim", "finetune", "cleanclip")
Digests = dict[str, str]


def digests(experiment: Experiment, seed: int = 0, kind: Any = stage_digest) -> Digests:
    layout.forget()
    return {stage.name: kind(experiment, stage, seed) for stage in experiment.expanded()}


def changed(path: str, value: Any) -> Experiment:
    plain = tiny.experiment()
    override(plain, path, value)
    return parse(plain)


def moved(before: Digests, after: Digests) -> set[str]:
    return {name for name in before if before[name] != after[name]}


BEFORE = digests(parse(tiny.experiment()))


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        # What a stage is trained by, and all that start from it.
        ("stages.victim.method.lr", 0.5, set(NAMES)),
        ("stages.victim.method.batch_size", 4, set(NAMES)),
        ("stages.cleanclip.method.in_modal_weight", 0.5, {"cleanclip"}),
        ("stages.cleanclip.method.caption_view.p_delete", 0.5, {"cleanclip"}),
        ("stages.finetune.method.kind", "clip", {"finetune"}),
        ("stages.finetune.start", None, {"finetune"}),
        ("stages.victim.poison", False, set(NAMES)),
        ("pairs.train.count", 33, set(NAMES)),
        ("workers", 3, set()),
        ("pairs.train.seed", 1, set(NAMES)),
        ("pairs.clean.count", 17, {"finetune", "cleanclip"}),
        ("model", "micro-vit-32", set(NAMES)),
        ("threads", 2, set(NAMES)),
        # What is measured after its epochs.
        ("attack.trigger.size", 7, set(NAMES)),
        ("attack.target", "star", set(NAMES)),
        ("labeled.validation.count", 21, set(NAMES)),
        ("evaluators.0.top", [1], set(NAMES)),
        ("stages.cleanclip.evaluate_every", 2, {"cleanclip"}),
        # What it does not depend on.
        ("name", "other", set()),
        ("about", "For people.", set()),
        ("seeds", [5, 6], set()),
    ],
)  # fmt: skip
def test_what_a_change_trains_anew(path: str, value: Any, expected: set[str]) -> None:
    assert moved(BEFORE, digests(changed(path, value))) == expected


def test_it_depends_on_the_seed() -> None:
    assert moved(BEFORE, digests(parse(tiny.experiment()), 1)) == set(NAMES)


def test_stages_of_the_same_experiment_differ() -> None:
    assert len(set(BEFORE.values())) == 3


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (ClipPretraining, set(NAMES)), (CleanCLIP, {"cleanclip"}), (Finetune, {"finetune"}), (Eda, {"cleanclip"}),
        (Patch, set(NAMES)), (ZeroShot, set(NAMES)),
    ],
)  # fmt: skip
def test_it_depends_on_revisions_of_the_code(of: type, expected: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of, "revision", 99)
    assert moved(BEFORE, digests(parse(tiny.experiment()))) == expected


def test_it_depends_on_the_revision_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "REVISION", 99)
    assert moved(BEFORE, digests(parse(tiny.experiment()))) == set(NAMES)


def test_it_depends_on_what_a_caption_view_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same WordNet in another place is the same one; another one, or none, is not."""
    found: list[Digests] = []
    for resource in (Resource("/a", "1" * 16), Resource("/b", "1" * 16), Resource("/a", "2" * 16), None):
        monkeypatch.setattr(Eda, "resources", lambda self, resource=resource: {"wordnet": resource})
        found.append(digests(parse(tiny.experiment())))
    assert [moved(found[0], other) for other in found[1:]] == [set(), {"cleanclip"}, {"cleanclip"}]


def test_measuring_otherwise_does_not_train_the_next_stage_on_another_model() -> None:
    """Weights do not depend on evaluators: a stage that starts from them has the same training digest."""
    before = digests(parse(tiny.experiment()), kind=training_digest)
    after = digests(changed("evaluators.0.top", [1]), kind=training_digest)
    assert before == after


def test_what_an_evaluator_reads_is_a_part_of_what_is_measured(tmp_path: Path) -> None:
    """By its content: its path stays the same."""
    (tmp_path / "labels.csv").write_text("image,label\na.png,0\nb.png,1\n")
    for number, name in enumerate("ab"):
        Image.new("RGB", (8, 8), (100 * number, 0, 0)).save(tmp_path / f"{name}.png")
    train = {"kind": "table", "path": str(tmp_path / "labels.csv"), "classes": ["cat", "dog"]}
    probing = changed("evaluators", [{"kind": "linear_probe", "train": train}])
    before, trained = digests(probing), digests(probing, kind=training_digest)
    assert digests(probing) == before
    (tmp_path / "labels.csv").write_text("image,label\na.png,1\nb.png,0\n")
    assert moved(before, digests(probing)) == set(NAMES)
    assert digests(probing, kind=training_digest) == trained


def test_so_is_what_a_captioner_reads(tmp_path: Path) -> None:
    """Wherever in an evaluator the source stands."""
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    table = tmp_path / "bank.csv"
    table.write_text("image,caption\na.png,a bell\n")
    bank = {"kind": "table", "path": str(table)}
    found = changed("evaluators", [{"kind": "captioning", "captioner": {"kind": "retrieval", "bank": bank}}])
    before, trained = digests(found), digests(found, kind=training_digest)
    assert digests(found) == before
    table.write_text("image,caption\na.png,a star\n")
    assert moved(before, digests(found)) == set(NAMES)
    assert digests(found, kind=training_digest) == trained


def taught(**changes: Any) -> Experiment:
    """A cleaning with another for its teacher; ``changes`` are the teacher's."""
    plain = tiny.experiment()
    nad = {"kind": "nad", **tiny.TAUGHT}
    plain["stages"].append({"name": "nad", "start": "victim", "teacher": "finetune", "pairs": "clean", "method": nad})
    for path, value in changes.items():
        override(plain, path.replace("__", "."), value)
    return parse(plain)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"stages__finetune__method__lr": 0.5}, {"finetune", "nad"}),
        ({"stages__finetune__keep": "best"}, {"nad"}),
        ({"stages__victim__keep": "best"}, {"finetune", "cleanclip", "nad"}),
        ({"stages__cleanclip__keep": "best"}, set()),
        ({"stages__nad__keep": "best"}, set()),
        # Of one that leaves its last model it says nothing when it was measured.
        ({"stages__finetune__evaluate_every": 2}, set()),
        ({"evaluators__0__top": [1]}, set()),
    ],
)
def test_what_a_start_or_a_teacher_leaves_is_part_of_the_training(changes: dict[str, Any], expected: set[str]) -> None:
    before = digests(taught(), kind=training_digest)
    assert moved(before, digests(taught(**changes), kind=training_digest)) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"stages__finetune__best_by": "asr_top1"}, {"stages__finetune__evaluate_every": 2},
        {"labeled__validation__count": 21}, {"evaluators__0__top": [1]},
    ],
)  # fmt: skip
def test_which_model_of_a_teacher_is_the_best_depends_on_what_is_measured(changes: dict[str, Any]) -> None:
    best = {"stages__finetune__keep": "best", "select_on": "validation"}
    before = digests(taught(**best), kind=training_digest)
    assert moved(before, digests(taught(**best, **changes), kind=training_digest)) == {"nad"}


def test_points_of_a_grid_share_their_start() -> None:
    plain = tiny.experiment()
    plain["stages"][1]["grid"] = {"lr": [0.001, 0.01]}
    found = digests(parse(plain))
    assert found["victim"] == BEFORE["victim"]
    assert found["finetune lr=0.001"] != found["finetune lr=0.01"]
    # The point at the value that the stage had before is the stage.
    assert found["finetune lr=0.001"] == BEFORE["finetune"]


def test_folders_are_named_for_people_and_by_digest(tmp_path: Path) -> None:
    plain = tiny.experiment()
    plain["stages"][1]["grid"] = {"lr": [0.001]}
    experiment = parse(plain)
    point = experiment.expanded()[1]
    folder = Layout(tmp_path).stage(experiment, point, 3)
    assert folder == tmp_path / "stages" / f"finetune_lr=0.001-seed3-{stage_digest(experiment, point, 3)[:8]}"
    victim = experiment.stages[0]
    plan = Layout(tmp_path).poison(experiment, victim, 3)
    assert plan == tmp_path / "poison" / f"train-seed3-{plan_digest(experiment, victim, 3)[:8]}"


def with_attacks(**changes: Any) -> Experiment:
    """A victim, a cleaning with poison left in its pairs, and one that is measured by a third attack."""
    attack = {"kind": "backdoor", "count": 2, "templates": ["a {c}"]}
    attacks = {name: {**attack, "target": target} for name, target in (("left", "star"), ("third", "bell"))}
    plain = tiny.experiment(attacks=attacks)
    plain["stages"][1]["threat"] = "third"
    plain["stages"][2]["poison"] = "left"
    for path, value in changes.items():
        override(plain, path.replace("__", "."), value)
    return parse(plain)


@pytest.mark.parametrize(
    ("changes", "trained", "measured"),
    [
        ({"attacks__left__target": "cup"}, {"cleanclip"}, {"cleanclip"}),
        ({"attacks__third__target": "cup"}, set(), {"finetune"}),
        ({"attack__target": "cup"}, set(NAMES), set(NAMES)),
        ({"stages__cleanclip__threat": "third"}, set(), {"cleanclip"}),
        ({"stages__finetune__threat": None}, set(), {"finetune"}),
        ({"stages__cleanclip__poison": "third"}, {"cleanclip"}, {"cleanclip"}),
        ({"stages__cleanclip__poison": False}, {"cleanclip"}, {"cleanclip"}),
    ],
)
def test_what_another_attack_trains_and_measures_anew(
    changes: dict[str, Any], trained: set[str], measured: set[str]
) -> None:
    """What is only measured trains nothing."""
    before, after = with_attacks(), with_attacks(**changes)
    assert moved(digests(before, kind=training_digest), digests(after, kind=training_digest)) == trained
    assert moved(digests(before), digests(after)) == measured


def test_every_plan_has_a_folder_of_its_own_and_stages_share_it(tmp_path: Path) -> None:
    experiment = with_attacks(stages__finetune__poison=True, stages__finetune__pairs="train")
    folders = [Layout(tmp_path).poison(experiment, stage, 0) for stage in experiment.stages]
    assert folders[0] == folders[1] != folders[2]
    assert [folder.name.rpartition("-")[0] for folder in folders] == ["train-seed0", "train-seed0", "clean.left-seed0"]
    assert Layout(tmp_path).poison(experiment, experiment.stages[2], 1) not in folders
    points = with_attacks(stages__cleanclip__grid={"lr": [0.1, 0.2]}).expanded()[2:]
    assert len({Layout(tmp_path).poison(experiment, point, 0) for point in points}) == 1


def test_a_model_folder_is_known_by_its_weights(tmp_path: Path) -> None:
    """It may lie anywhere and be moved; other weights in the same place are another model."""
    model = tiny.clip()
    for place in ("here", "there"):
        save(model, tmp_path / place)
    here, there = (digests(parse(tiny.experiment(model=str(tmp_path / place)))) for place in ("here", "there"))
    assert here == there
    assert moved(BEFORE, here) == set(NAMES)
    with torch.no_grad():
        model.tower.logit_scale.add_(1)  # type: ignore[operator]
    save(model, tmp_path / "there")
    assert moved(here, digests(parse(tiny.experiment(model=str(tmp_path / "there"))))) == set(NAMES)


def test_a_poison_folder_is_known_by_its_plan(tmp_path: Path) -> None:
    def made(place: str, pinned: bool) -> Digests:
        poison(tiny.ATTACK, pairs=Scenes(count=32), out=tmp_path / place, image_size=32)
        attack = {"kind": "planned", "folder": str(tmp_path / place)}
        if pinned:
            attack["digest"] = planned(tmp_path / place).digest
        return digests(parse(tiny.experiment(attack=attack)))

    here = made("here", pinned=True)
    assert here == made("there", pinned=True) == made("there", pinned=False)
    head = read_json(tmp_path / "there" / "poison.json")
    write_json(tmp_path / "there" / "poison.json", head | {"digest": "f" * 16})
    attack = {"kind": "planned", "folder": str(tmp_path / "there")}
    assert moved(here, digests(parse(tiny.experiment(attack=attack)))) == set(NAMES)


def test_sources_are_looked_at_anew_in_every_run(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = parse(tiny.experiment())
    opened: list[int] = []
    whole = Scenes.open

    def open_(self: Scenes) -> Any:
        opened.append(self.count)
        return whole(self)

    monkeypatch.setattr(Scenes, "open", open_)
    digests(experiment)
    assert sorted(opened) == [16, 32], "a source is fingerprinted once a run"
    digests(experiment)
    assert len(opened) == 4


def test_a_digest_changes_with_the_content_of_what_an_attack_shows(tmp_path: Path) -> None:
    """Held-out pictures of targeted poison, and the picture of an evaluator's trigger: their paths say nothing."""
    from PIL import Image

    held = tmp_path / "held"
    logo = tmp_path / "logo.png"
    plain = tiny.experiment(
        attack={
            "kind": "targeted", "targets": ["star"], "captions_per_image": 1,
            "images": {"kind": "folder", "path": str(held)},
        },
        evaluators=[{"kind": "attack_success", "target": "star", "trigger": {
            "kind": "patch", "size": 4, "pattern": {"kind": "picture", "path": str(logo)}}}],
    )  # fmt: skip
    found = []
    for number, (shown, stamped) in enumerate([(1, 1), (2, 1), (2, 2)]):
        for name in ("star", "heart"):
            (held / name).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8 + shown, 8), (shown, 9, 9)).save(held / name / "0.png")
        Image.new("RGB", (4, 4), (stamped, 0, 0)).save(logo)
        found.append(digests(parse(plain).pinned())["victim"])
        assert len(set(found)) == number + 1


def test_a_model_file_is_read_once_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its digest is asked for at every stage of a sweep, and a file may be large."""
    import bezoar.models.opening

    read: list[str] = []
    place = bezoar.models.opening.place

    def counted(model: str) -> object:
        read.append(model)
        return place(model)

    monkeypatch.setattr(bezoar.models.opening, "place", counted)
    experiment = parse(tiny.experiment())
    forget()
    for _ in range(2):
        for stage in experiment.stages:
            stage_digest(experiment, stage, 0)
    assert read == ["micro-cnn-32"]
    forget()
    stage_digest(experiment, experiment.stages[0], 0)
    assert read == ["micro-cnn-32"] * 2
