"""An experiment from plain values: every mistake is said with its path, and grids and changes do what they say."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests import tiny
from tests.toy import Split

from bezoar.cleaning import CleanCLIP, Finetune
from bezoar.core import yaml
from bezoar.core.settings import dump
from bezoar.data.captions import Eda
from bezoar.experiment.experiment import Experiment, override, parse
from bezoar.pretraining import ClipPretraining


def changed(path: str, value: Any) -> dict[str, Any]:
    plain = tiny.experiment()
    override(plain, path, value)
    return plain


def fault(plain: Any) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        parse(plain, "file.yaml")
    return str(caught.value)


# ------------------------------------------------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("modle", "x", "unknown key 'modle'; did you mean 'model'? (choices: about, allow_dead_trigger, attack, "),
        ("stages.victim.methd", "clip", "stages.0: unknown key 'methd'; did you mean 'method'?"),
        ("stages.cleanclip.method.lrr", 1, "stages.2.method: unknown key 'lrr'; did you mean 'lr'?"),
        ("stages.cleanclip.method.kind", "cleanclap", "'cleanclap' is not a method; did you mean 'cleanclip'?"),
        ("stages.2.method.caption_view.p_dlete", 1, "method.caption_view: unknown key 'p_dlete'; did you mean"),
        ("attack.trigger.sise", 3, "attack.trigger: unknown key 'sise'; did you mean 'size'?"),
        ("attack.trigger.kind", "pach", "attack.trigger: kind: 'pach' is not a trigger; did you mean 'patch'?"),
        ("attack.tarjet", "x", "attack: unknown key 'tarjet'; did you mean 'target'?"),
        ("pairs.train.cuont", 3, "pairs.train: unknown key 'cuont'; did you mean 'count'?"),
        ("labeled.validation.split", "tset", "labeled.validation.split: Input should be 'validation', 'test',"),
        ("evaluators.0.tops", [1], "evaluators.0: unknown key 'tops'; did you mean 'top'?"),
        ("evaluators", ["zero_shoot"], "evaluators.0: kind: 'zero_shoot' is not an evaluator; did you mean"),
        ("stages.victim.method.lr", "1e-3", "stages.0.method.lr: Input should be a valid number, got '1e-3'"),
        ("stages.victim.method.epochs", 1.5, "stages.0.method.epochs: Input should be a valid integer, got "),
        ("stages.victim.method.epochs", True, "stages.0.method.epochs: Input should be a valid integer, got True"),
        ("stages.victim.poison", 1, "stages.0.poison.bool: Input should be a valid boolean, got 1"),
        ("threads", 0, "threads: Input should be greater than or equal to 1, got 0"),
        ("seeds", [], "seeds: Tuple should have at least 1 item"),
        ("seeds", [0, 1, 0], "seeds: each stands once, got [0, 1, 0]"),
        ("seeds", 0, "seeds: Input should be a valid array, got 0"),
        ("stages", [], "stages: Tuple should have at least 1 item"),
        ("stages.victim.evaluate_every", 0, "stages.0.evaluate_every: Input should be greater than or equal to 1"),
        ("name", "a/b", "name: String should match pattern"),
        ("attack", None, "stages.0.poison: is true, but the experiment has no attack"),
        ("stages.victim.poison", "lft", "stages.0.poison: no attack is called 'lft'"),
        ("stages.cleanclip.threat", "lft", "stages.2.threat: no attack is called 'lft'"),
        ("stages.cleanclip.threat", True, "stages.2.threat: Input should be a valid string, got True"),
        ("attacks", {"a/b": {"kind": "backdoor", "target": "star"}}, "attacks.a/b"),
        ("attacks", {"left": {"kind": "backdoor"}}, "attacks.left.target: Field required"),
        ("attacks", {"left": {"kind": "bakdoor"}}, "attacks.left: kind: 'bakdoor' is not an attack; did you mean"),
        ("select_on", "validaton", "no labeled or held-out set is called 'validaton'; did you mean 'validation'"),
        ("report_on", "test", "report_on: no labeled or held-out set is called 'test' (choices: validation)"),
    ],
)  # fmt: skip
def test_a_mistake_is_said_with_its_path(path: str, value: Any, said: str) -> None:
    assert said in fault(changed(path, value))


@pytest.mark.parametrize("plain", [None, [], "quickstart", 3])
def test_what_is_no_mapping(plain: Any) -> None:
    assert fault(plain) == f"file.yaml: must be a mapping of settings, got {type(plain).__name__}"


def test_what_is_missing() -> None:
    plain = tiny.experiment()
    del plain["pairs"], plain["stages"][1]["method"]
    assert fault(plain).splitlines() == ["pairs: Field required", "stages.1.method: Field required"]


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden"])
def test_names_that_would_leave_the_run_folder(name: str) -> None:
    assert "String should" in fault(tiny.experiment(labeled={name: {"kind": "scenes"}}, select_on=name, report_on=name))
    plain = tiny.experiment(pairs={name: {"kind": "scenes"}})
    for stage in plain["stages"]:
        stage["pairs"] = name
    assert "String should" in fault(plain)


def stages(*given: dict[str, Any]) -> dict[str, Any]:
    clip = {"kind": "clip", "epochs": 1}
    return tiny.experiment(stages=[{"pairs": "train", "method": clip, **one} for one in given])


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        (stages({"name": "a"}, {"name": "a"}), "stages.1.name: 'a' is the name of an earlier stage"),
        (stages({"name": "a", "pairs": "trian"}), "stages.0.pairs: no pairs are called 'trian'; did you mean 'train'?"),
        (stages({"name": "a", "start": "b"}, {"name": "b"}), "stages.0.start: no earlier stage 'b'"),
        (stages({"name": "a", "start": "a"}), "stages.0.start: no earlier stage 'a'"),
        (stages({"name": "victim"}, {"name": "b", "start": "vitcim"}), "did you mean 'victim'?"),
        (
            stages({"name": "a", "grid": {"lr": [0.1]}}, {"name": "b", "start": "a"}),
            "stages.1.start: 'a' has a grid, and a stage starts from one model",
        ),
        (stages({"name": "a", "grid": {"lrr": [1]}}), "stages.0.grid: clip has no field 'lrr'; did you mean 'lr'?"),
        (
            stages({"name": "a", "grid": {"lr": [0.1, -1]}}),
            "stages.0.grid.lr: Input should be greater than or equal to 0, got -1",
        ),
        (stages({"name": "a", "grid": {"lr": ["x"]}}), "stages.0.grid.lr: Input should be a valid number, got 'x'"),
        (stages({"name": "a", "grid": {"lr": 0.1}}), "stages.0.grid.lr: Input should be a valid array, got 0.1"),
        (stages({"name": "a", "grid": {"lr": []}}), "stages.0.grid.lr: must list numbers, words or booleans"),
        (stages({"name": "a", "grid": {"lr": [1, 1]}}), "stages.0.grid.lr: must list numbers, words or booleans"),
        (stages({"name": "a", "grid": {"lr": [[1]]}}), "stages.0.grid.lr: must list numbers, words or booleans"),
        (stages({"name": "a", "grid": {"lr": [1]}}, {"name": "a lr=1"}), "stages.1.name: 'a lr=1' is the name of"),
        (stages(*({"name": "a", "grid": {"lr": [lr]}} for lr in (1, 2))), "stages.1.name: 'a' is the name of an"),
        (
            stages({"name": "a", "keep": "none"}, {"name": "b", "start": "a"}),
            "stages.1.start: 'a' keeps no model to start from (keep: none)",
        ),
        (
            stages({"name": "a", "keep": "none", "keep_every": 1}, {"name": "b", "start": "a"}),
            "stages.1.start: 'a' keeps no model to start from (keep: none)",
        ),
        (
            stages({"name": "a", "keep": "best"}) | {"labeled": {}},
            "stages.0.keep: 'best' is chosen on a labeled or held-out set, and there is none",
        ),
        (stages({"name": "a", "keep": "bset"}), "stages.0.keep: Input should be 'none', 'last' or 'best', got 'bset'"),
        (stages({"name": "a", "keep_every": 0}), "stages.0.keep_every: Input should be greater than or equal to 1"),
        (stages({"name": "a", "evaluate_steps": 0}), "stages.0.evaluate_steps: Input should be greater than or equal"),
        (stages({"name": "a", "evaluate_every": 0}), "stages.0.evaluate_every: Input should be greater than or equal"),
        (stages({"name": "a"}) | {"compile": 1}, "compile: Input should be a valid boolean, got 1"),
        (stages({"name": "a"}) | {"deterministic": "yes"}, "deterministic: Input should be a valid boolean"),
    ],
)  # fmt: skip
def test_stages_that_cannot_be(plain: dict[str, Any], said: str) -> None:
    assert said in fault(plain)


# ---------------------------------------------------------------------------------------------------------------- grids


def test_a_grid_stands_for_all_combinations() -> None:
    plain = stages(
        {"name": "first"},
        {"name": "sweep", "start": "first", "grid": {"lr": [1e-3, 0.01], "epochs": [1, 5]}, "evaluate_every": 2},
    )
    points = parse(plain).expanded()
    assert [point.name for point in points] == [
        "first", "sweep lr=0.001 epochs=1", "sweep lr=0.001 epochs=5",
        "sweep lr=0.01 epochs=1", "sweep lr=0.01 epochs=5",
    ]  # fmt: skip
    assert [(point.method.lr, point.method.epochs) for point in points[1:]] == [
        (1e-3, 1),
        (1e-3, 5),
        (0.01, 1),
        (0.01, 5),
    ]
    assert {(point.start, point.evaluate_every, point.pairs) for point in points[1:]} == {("first", 2, "train")}
    assert all(not point.grid for point in points)


def test_a_grid_over_words_booleans_and_a_method_of_ones_own() -> None:
    own = {"kind": "tests.toy:Split"}
    plain = stages(
        {"name": "own", "method": own, "grid": {"hard_lr": [0.5], "schedule": ["linear", "constant"]}},
        {"name": "views", "method": {"kind": "cleanclip"}, "grid": {"joint_views": [True, False]}},
    )
    points = parse(plain).expanded()
    assert [point.name for point in points] == [
        "own hard_lr=0.5 schedule=linear", "own hard_lr=0.5 schedule=constant",
        "views joint_views=True", "views joint_views=False",
    ]  # fmt: skip
    assert points[0].method == Split(hard_lr=0.5, schedule="linear")
    assert points[3].method == CleanCLIP(joint_views=False)


# -------------------------------------------------------------------------------------------------------------- changes


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("stages.cleanclip.method.lr", 0.5),
        ("stages.2.method.lr", 0.5),
        ("stages.finetune.method", {"kind": "finetune", "epochs": 3}),
        ("pairs.train.count", 8),
        ("attack.trigger.size", 3),
        ("attack.templates.0", "the {c}"),
        ("evaluators.1.target", "star"),
        ("threads", 2),
        ("about", "new"),
    ],
)
def test_a_change_by_name_or_number(path: str, value: Any) -> None:
    plain = changed(path, value)
    at: Any = plain
    for step in path.split("."):
        names = [one.get("name") if isinstance(one, dict) else None for one in at] if isinstance(at, list) else []
        at = at[names.index(step)] if step in names else at[int(step)] if isinstance(at, list) else at[step]
    assert at == value
    assert plain != tiny.experiment()
    parse(plain)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("stages.victm.poison", "stages.victm: no such entry; did you mean 'victim'? (choices: cleanclip, "),
        ("stages.3.poison", "stages.3: no such entry"),
        ("stages.-1.poison", "stages.-1: no such entry"),
        ("stages.².poison", "stages.²: no such entry"),
        ("stages.3", "stages.3: no such entry"),
        ("attack.triger.size", "attack.triger: no such key; did you mean 'trigger'?"),
        ("attack.target.size", "attack.target: is 'mushroom', it has no 'size'"),
        ("attack.templates.first", "attack.templates.first: no such entry (choices: 0)"),
        ("model.x.y", "model: is 'micro-cnn-32', it has no 'x'"),
    ],
)  # fmt: skip
def test_a_change_that_leads_nowhere(path: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        override(tiny.experiment(), path, 1)
    assert said in str(caught.value)


def test_a_change_of_what_is_no_mapping() -> None:
    with pytest.raises(ValueError, match="experiment: is None, it has no 'seeds'"):
        override(None, "seeds", [1])


# -------------------------------------------------------------------------------------------------------------- attacks

LEFT = {"kind": "backdoor", "target": "star", "count": 2}
OTHER = {"kind": "backdoor", "target": "bell", "count": 2}


def with_attacks(**of_stages: dict[str, Any]) -> Experiment:
    plain = tiny.experiment(attacks={"left": LEFT, "other": OTHER})
    for stage in plain["stages"]:
        stage |= of_stages.get(stage["name"], {})
    return parse(plain)


@pytest.mark.parametrize(
    ("of_stages", "poisoned", "measured"),
    [
        ({}, ("mushroom", None, None), ("mushroom",) * 3),
        ({"cleanclip": {"poison": "left"}}, ("mushroom", None, "star"), ("mushroom", "mushroom", "star")),
        ({"cleanclip": {"poison": True}}, ("mushroom", None, "mushroom"), ("mushroom",) * 3),
        ({"victim": {"poison": "left"}}, ("star", None, None), ("star",) * 3),
        ({"victim": {"poison": "left", "threat": "other"}}, ("star", None, None), ("bell",) * 3),
        (
            {"cleanclip": {"poison": "left", "threat": "other"}}, ("mushroom", None, "star"),
            ("mushroom", "mushroom", "bell"),
        ),
        ({"finetune": {"threat": "other"}}, ("mushroom", None, None), ("mushroom", "bell", "mushroom")),
        ({"victim": {"poison": False}}, (None, None, None), ("mushroom",) * 3),
        (
            {"victim": {"poison": "left"}, "cleanclip": {"start": "finetune"}}, ("star", None, None), ("star",) * 3,
        ),
        (
            {"victim": {"poison": "left"}, "finetune": {"start": None}}, ("star", None, None),
            ("star", "mushroom", "star"),
        ),
    ],
)  # fmt: skip
def test_who_is_poisoned_by_what_and_what_is_measured(
    of_stages: dict[str, Any], poisoned: tuple[str | None, ...], measured: tuple[str, ...]
) -> None:
    """Measured is what a stage names, else its own poison, else what the model it starts from was measured by."""
    experiment = with_attacks(**of_stages)
    targets = [
        tuple(getattr(attack, "target", None) for attack in map(of, experiment.stages))
        for of in (experiment.poisoning, experiment.threatening)
    ]
    assert targets == [poisoned, measured]


def test_without_any_attack_nothing_is_measured() -> None:
    plain = tiny.experiment(attack=None, attacks={"left": LEFT})
    plain["stages"][0]["poison"] = False
    assert [parse(plain).threatening(stage) for stage in parse(plain).stages] == [None] * 3
    plain["stages"][0]["poison"] = True
    assert "stages.0.poison: is true, but the experiment has no attack" in fault(plain)


def test_points_of_a_grid_are_poisoned_as_their_stage() -> None:
    experiment = with_attacks(cleanclip={"poison": "left", "threat": "other", "grid": {"lr": [0.1, 0.2]}})
    points = experiment.expanded()[2:]
    assert [(point.poison, point.threat) for point in points] == [("left", "other")] * 2
    assert {getattr(experiment.threatening(point), "target", None) for point in points} == {"bell"}


def test_pinned_a_grid_over_files_is_spelt_out_though_the_stage_itself_reads_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("cat\ndog\n")
    plain = tiny.experiment()
    plain["stages"][2] |= {"method": {"kind": "supervised"}, "grid": {"classes": ["a.txt", "imagenet"], "lr": [0.1]}}
    pinned = parse(plain).pinned()
    names, methods = zip(*((stage.name, stage.method) for stage in pinned.stages[2:]), strict=True)
    assert names == ("cleanclip classes=a.txt lr=0.1", "cleanclip classes=imagenet lr=0.1")
    assert [method.classes for method in methods] == [("cat", "dog"), "imagenet"]
    assert pinned.pinned() == pinned


def test_pinned_every_attack_is_named_by_what_it_reads(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), (9, 8, 7)).save(tmp_path / "logo.png")
    trigger = {"kind": "patch", "pattern": {"kind": "picture", "path": str(tmp_path / "logo.png")}}
    own = {"kind": "backdoor", "target": "star", "trigger": trigger}
    experiment = parse(tiny.experiment(attack=own, attacks={"left": own, "plain": LEFT}))
    pinned = experiment.pinned()
    assert experiment.attack is not None
    assert pinned.attack == experiment.attack.pinned() != experiment.attack
    assert pinned.attacks == {"left": pinned.attack, "plain": experiment.attacks["plain"]}
    assert pinned.pinned() == pinned == parse(yaml.parse(yaml.render(dump(pinned))))


# ---------------------------------------------------------------------------------------------------- there and back


def test_plain_values_there_and_back() -> None:
    experiment = parse(tiny.experiment())
    text = yaml.render(dump(experiment))
    assert parse(yaml.parse(text)) == experiment
    assert "2e-" not in text or isinstance(yaml.parse(text)["stages"][0]["method"]["lr"], float)


def test_in_python() -> None:
    """The same value from settings values and from plain ones, and a wrong one is refused in Python too."""
    made = Experiment(
        name="tiny",
        model="micro-cnn-32",
        pairs=parse(tiny.experiment()).pairs,
        stages=(parse(tiny.experiment()).stages[0],),
        attack=tiny.ATTACK,
    )
    assert made.stages[0].method == ClipPretraining(**{**tiny.BRIEF, "epochs": 2})
    assert made.expanded() == made.stages
    with pytest.raises(ValueError, match="at least 1 item"):
        Experiment(name="tiny", pairs=made.pairs, stages=())


def test_parsing_changes_nothing() -> None:
    plain = tiny.experiment()
    before = copy.deepcopy(plain)
    experiment = parse(plain)
    assert plain == before
    assert experiment.stages[1].method == Finetune(**tiny.BRIEF)
    assert experiment.stages[2].method == CleanCLIP(**tiny.BRIEF, caption_view=Eda(wordnet="none"))


def test_two_names_that_would_share_a_folder_are_refused() -> None:
    plain = tiny.experiment()
    plain["stages"] = [plain["stages"][0] | {"name": name} for name in ("a b", "A_b")]
    with pytest.raises(ValueError, match="'a b' and 'A_b' would share a folder"):
        parse(plain)


def test_a_rank_below_one_is_refused_before_anything_is_trained() -> None:
    plain = tiny.experiment() | {"evaluators": [{"kind": "zero_shot", "top": [0]}]}
    with pytest.raises(ValueError, match=r"evaluators.0.top.0: .* greater than or equal to 1"):
        parse(plain)
