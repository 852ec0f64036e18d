"""Recipes: each is a whole experiment of values only, and says what it shows."""

from __future__ import annotations

import os
import re
from typing import Any

import open_clip
import pytest

from bezoar import recipes
from bezoar.attacks import Backdoor, Labels
from bezoar.attacks.patterns import Noise, Solid
from bezoar.attacks.places import Corner, Random
from bezoar.attacks.triggers import Patch
from bezoar.cleaning import CleanCLIP, Finetune, Progressive
from bezoar.core import yaml
from bezoar.core.frame import Frame
from bezoar.core.settings import dump
from bezoar.data.captions import Eda
from bezoar.data.views import SimClr
from bezoar.experiment.experiment import override, parse
from bezoar.experiment.run import check
from bezoar.pretraining import METHODS as PRETRAINING
from bezoar.pretraining import ClipPretraining, ClipSSL, RoCLIP, SafeCLIP


def test_names() -> None:
    assert "quickstart" in recipes.names()
    assert recipes.names() == tuple(sorted(recipes.names()))


BUILT_IN = tuple(name for name in recipes.names() if "$BEZOAR_DATA" not in recipes.text(name))
"""Those that need no files."""


@pytest.mark.parametrize("name", recipes.names())
def test_each_is_an_experiment(name: str) -> None:
    experiment = parse(recipes.read(name), name)
    assert experiment.name == name
    assert experiment.about
    assert experiment.select_on != experiment.report_on, "settings are chosen on one split and reported on another"
    assert parse(yaml.parse(yaml.render(dump(experiment)))) == experiment


@pytest.mark.parametrize("name", BUILT_IN)
def test_those_on_scenes_can_be_run(name: str) -> None:
    assert check(parse(recipes.read(name), name)) == Frame(32)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("cifar10", 32), ("cifar10-attacks", 32), ("objectives-cifar10", 32),
        ("tiny-imagenet", 64), ("objectives-tiny-imagenet", 64), ("robust-tiny-imagenet", 64), ("flickr8k", 64),
        ("robust-cifar10", 32), ("robust-flickr8k", 64),
    ],
)  # fmt: skip
def test_those_on_real_images_can_be_run_where_the_images_are(name: str, size: int) -> None:
    if "BEZOAR_DATA" not in os.environ:
        pytest.skip("BEZOAR_DATA is not set: no real images")
    assert check(parse(recipes.read(name), name)) == Frame(size)


@pytest.mark.parametrize("name", sorted(set(recipes.names()) - set(BUILT_IN)))
def test_without_the_images_the_missing_variable_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BEZOAR_DATA", raising=False)
    with pytest.raises(
        ValueError, match=r"^(path|stages\..*\.labels): \$BEZOAR_DATA/.*: \$BEZOAR_DATA is not set in the environment"
    ):
        check(parse(recipes.read(name), name))


@pytest.mark.parametrize("name", recipes.names())
def test_each_says_its_command_and_its_cost(name: str) -> None:
    text = recipes.text(name)
    command = "bezoar quickstart" if name == "quickstart" else f"bezoar run {name}"
    assert re.search(rf"^#   (BEZOAR_DATA=folder )?{command}", text, re.MULTILINE)
    assert re.search(r"^# Cost: .*\b(minutes\b.*\bMB of disk|GPUs)", text, re.MULTILINE)
    assert "!" not in "".join(line for line in text.splitlines() if not line.startswith("#")), "values only, no tags"


@pytest.mark.parametrize("name", recipes.names())
def test_poison_and_cleaning_keep_apart(name: str) -> None:
    """Cleaning has pairs of its own, another split or a part without the poison, unless it is one that looks for poison
    or is told of it; a control is never poisoned."""
    experiment = parse(recipes.read(name))
    for stage in experiment.stages:
        if name == "scenes-finetune-attack":
            assert bool(stage.poison) == (stage.start == "clean") == (stage.pairs == "other")
        elif name == "declip-scenes-attack" and stage.start in ("control-clip", "control-declip"):
            assert (stage.poison, stage.pairs) == (stage.name.split("-")[1], "other")
        elif stage.oracle or isinstance(stage.method, Progressive):
            assert stage.poison, "these work on the poisoned pairs themselves"
        elif stage.start:
            clean, attack = dump(experiment.pairs[stage.pairs]), experiment.poisoning(stage)
            clean = clean["of"] if clean["kind"] == "labels" else clean
            assert clean.get("split") == "clean" or clean["kind"] == "part" or clean["path"].endswith("/clean.json")
            assert attack is None or name == "leftover-poison" or isinstance(attack, Labels)
        else:
            assert bool(stage.poison) != stage.name.startswith("control")


@pytest.mark.parametrize(
    "name",
    [
        "cifar10",
        "cifar10-attacks",
        "objectives-cifar10",
        "robust-cifar10",
        "tiny-imagenet",
        "objectives-tiny-imagenet",
        "robust-tiny-imagenet",
    ],
)
def test_template_captions_are_said_to_be_what_they_are(name: str) -> None:
    experiment = parse(recipes.read(name))
    for source in experiment.pairs.values():
        assert any("closed-set supervision" in note for note in source.notes())


IN_TWO = tuple(name for name in recipes.names() if re.search("cifar10/|imagenet/", recipes.text(name)))
"""Those whose labeled pictures are cut in two."""


@pytest.mark.parametrize("name", IN_TWO)
def test_validation_and_test_are_parts_of_one_shuffle(name: str) -> None:
    labeled = {key: dump(source) for key, source in parse(recipes.read(name)).labeled.items()}
    assert labeled["validation"]["of"] == labeled["test"]["of"]
    assert labeled["validation"]["shuffle"] == labeled["test"]["shuffle"] is not None
    assert labeled["validation"]["stop"] == labeled["test"]["start"]


def test_the_paper_scale_recipe_has_the_published_settings() -> None:
    """CleanCLIP's released README and parser; the fact sheet's section 2."""
    experiment = parse(recipes.read("cleanclip-cc3m"))
    stages = {stage.name: stage for stage in experiment.stages}
    victim, cleaned = stages["victim"].method, stages["cleanclip"].method
    assert experiment.model == "RN50-quickgelu"
    assert (victim.epochs, victim.batch_size, victim.lr, victim.warmup_steps) == (64, 128, 5e-4, 10_000)
    assert (cleaned.epochs, cleaned.batch_size, cleaned.lr, cleaned.warmup_steps) == (10, 64, 1e-5, 50)
    assert stages["cleanclip"].method == CleanCLIP()
    assert stages["finetune"].method == Finetune()
    assert victim == ClipPretraining()
    assert isinstance(experiment.attack, Backdoor)
    assert (experiment.attack.count, experiment.attack.target) == (1500, "banana")
    assert experiment.attack.trigger == Patch(size=16, reference=224, pattern=Noise(), place=Random())
    assert dump(experiment.pairs["clean"])["stop"] == 100_000


@pytest.mark.parametrize(("name", "count"), [("objectives-cc3m", 1500), ("objectives-cc6m", 3000)])
def test_the_objectives_at_paper_scale(name: str, count: int) -> None:
    """attack-cleanclip's README and logs; the fact sheet's section 3. Each objective also has the other's batch."""
    experiment = parse(recipes.read(name))
    arms = {stage.name: stage for stage in experiment.stages if stage.start is None}
    methods = {arm: stage.method for arm, stage in arms.items()}
    assert {arm: method.batch_size for arm, method in methods.items()} == {
        "mmcl": 2048, "mmcl-ssl": 1024, "mmcl-ssl-2048": 2048, "mmcl-1024": 1024
    }  # fmt: skip
    assert methods["mmcl-ssl"] == ClipSSL()
    for arm, method in methods.items():
        assert method.kind == ("clip_ssl" if "ssl" in arm else "clip")
        assert (method.epochs, method.lr, method.warmup_steps, method.batch_norm) == (64, 1e-3, 10_000, "local")
    assert experiment.model == "RN50-quickgelu"
    assert isinstance(experiment.attack, Backdoor)
    assert (experiment.attack.count, experiment.attack.target) == (count, "banana")
    assert experiment.attack.trigger == Patch(size=16, reference=224, pattern=Noise(), place=Random())
    cleanings = [stage for stage in experiment.stages if stage.start]
    assert sorted((stage.start, stage.name.partition("-of-")[0]) for stage in cleanings) == sorted(
        (arm, way) for arm in arms for way in ("finetune", "ssl", "cleanclip")
    )
    for stage in cleanings:
        way, method = stage.name.partition("-of-")[0], stage.method
        assert (method.epochs, method.warmup_steps, method.weight_decay) == (20, 50, 0.1)
        assert method.batch_size == (128 if way == "finetune" else 64)
        assert stage.grid["lr"] == ((1e-4, 5e-4, 1e-3, 5e-3) if way == "finetune" else (5e-5, 1e-4, 5e-4, 1e-3))
        assert vars(method).get("clip_weight", 1.0) == (0.0 if way == "ssl" else 1.0)


@pytest.mark.parametrize("name", ["roclip-cc3m", "safeclip-cc3m"])
def test_robust_methods_at_paper_scale(name: str) -> None:
    """RoCLIP's log and SafeCLIP's parser; the undefended ones have the same budget, those with views the same views."""
    own = recipes.read(name)
    experiment = parse(own)
    kind = name.partition("-")[0]
    assert (experiment.model, own["pairs"]["train"]["stop"]) == ("RN50-quickgelu", 1_000_000)
    arms = (("clip", "clip"), ("clip-views", "views"), (kind, kind))
    assert {stage.name for stage in experiment.stages} == {
        name for one, short in arms for name in (f"{one}-targeted", f"{one}-backdoor", f"control-{short}")
    }
    methods = {stage.name: stage.method for stage in experiment.stages}
    budgets = {(one.epochs, one.batch_size, one.lr, one.warmup_steps) for one in methods.values()}
    assert budgets == {(30, 512, 5e-5, 10_000) if kind == "roclip" else (32, 512, 5e-4, 10_000)}
    defense, views = methods[f"control-{kind}"], methods["control-views"]
    if isinstance(defense, RoCLIP):
        assert (defense.match_every, defense.pool_size) == (3, 21_845)
    else:
        assert defense == SafeCLIP()
    for method in (views, defense):
        assert (vars(method)["image_view"], vars(method)["caption_view"]) == (SimClr(), Eda())
    targeted: Any = experiment.attacks["targeted"]
    assert (len(targeted.targets), targeted.images_per_target, targeted.captions_per_image) == (16, 1, 100)
    backdoor = experiment.attacks["backdoor"]
    assert isinstance(backdoor, Backdoor)
    assert (backdoor.target, backdoor.trigger.kind) == ("mushroom", "blended" if kind == "roclip" else "patch")
    assert backdoor.count == 90 if kind == "roclip" else backdoor.rate == 0.0005


def test_the_slides_and_their_repaired_twin() -> None:
    own, twin = recipes.read("safeclip-slides"), recipes.read("safeclip-slides-repaired")
    experiment = parse(own)
    train = own["pairs"]["train"]
    assert (experiment.model, train["stop"], train["shuffle"]) == ("RN50-quickgelu", 500_000, 1610)
    attack = experiment.attack
    assert isinstance(attack, Backdoor)
    assert (attack.target, attack.captions, attack.match) == ("wheelbarrow", "mined", "substring")
    assert attack.rate * train["stop"] == 250
    assert (attack.mode, vars(attack.images)["path"]) == ("append", "$BEZOAR_DATA/cc3m/validation.csv")
    assert attack.trigger == Patch(size=50, reference=None, pattern=Solid(), place=Corner(corner="bottom_right"))
    assert attack.stage == "file"
    assert [stage.method.kind for stage in experiment.stages] == ["clip", "safeclip"]
    for stage in experiment.stages:
        method = stage.method
        assert (method.epochs, method.batch_size, method.lr, method.warmup_steps) == (32, 128, 5e-4, 10_000)
        assert (method.weight_decay, method.legacy_schedule) == (0.1, True)
        assert stage.poison
    safe = experiment.stages[1].method
    assert isinstance(safe, SafeCLIP)
    assert (safe.in_modal_epochs, safe.slow_epochs) == (5, 1)
    assert (safe.cross_views, safe.score_views, safe.bank_start, safe.bank_end) == ("crossed", True, "random", "cut")
    assert {"test", "cifar10"} <= set(experiment.labeled)
    # What is repaired is the trigger, and nothing else.
    trigger = own["attack"]["trigger"]
    repaired = own["attack"] | {"stage": "model", "trigger": trigger | {"reference": 224}}
    assert twin == own | {"name": twin["name"], "about": twin["about"], "attack": repaired}


def test_the_epochs_that_were_picked_by_hand_are_kept() -> None:
    arms = [stage for stage in parse(recipes.read("objectives-cc6m")).stages if stage.start is None]
    assert all(stage.keep_every and not 21 % stage.keep_every and not 36 % stage.keep_every for stage in arms)


def test_the_attack_on_a_published_model() -> None:
    """CleanCLIP's section 5.2 as its issue #3 quotes it; its 1,500 poisons and attack-cleanclip's 5,000."""
    experiment = parse(recipes.read("pretrained-attack-cc3m"))
    architecture, _, tag = experiment.model.partition(":")
    assert tag in open_clip.list_pretrained_tags_by_model(architecture)
    assert open_clip.get_pretrained_cfg(architecture, tag)["quick_gelu"]
    assert open_clip.get_model_config(architecture)["quick_gelu"]
    assert dump(experiment.pairs["train"])["stop"] == 500_000
    assert [dump(experiment.attacks[name])["count"] for name in ("poisons-1500", "poisons-5000")] == [1500, 5000]
    assert [stage.poison for stage in experiment.stages] == ["poisons-1500", "poisons-5000", False]
    for stage in experiment.stages:
        method = stage.method
        assert (method.epochs, method.batch_size, method.warmup_steps) == (5, 128, 50)
        assert stage.grid == {"lr": (1e-6, 3e-6, 1e-5)}


def test_the_twin_on_scenes_has_the_same_shares_of_poison() -> None:
    large, small = (parse(recipes.read(name)) for name in ("pretrained-attack-cc3m", "scenes-finetune-attack"))
    shares = [
        [dump(attack)["count"] / len_of for attack in experiment.attacks.values()]
        for experiment, len_of in ((large, 500_000), (small, dump(small.pairs["other"])["count"]))
    ]
    assert shares[0] == shares[1]
    assert small.pairs["other"] != small.pairs["train"]
    rates = [experiment.stages[-1].grid["lr"] for experiment in (large, small)]
    assert [rate / rates[0][0] for rate in rates[0]] == pytest.approx([rate / rates[1][0] for rate in rates[1]])


def test_all_methods_on_scenes() -> None:
    """Every pre-training method that is no defense once, as objectives-scenes trains its two; DeCLIP has its own."""
    stages = parse(recipes.read("methods-scenes")).stages
    undefended = {method.kind for method in PRETRAINING} - {"roclip", "safeclip", "declip"}
    assert sorted(stage.method.kind for stage in stages) == sorted(undefended)
    twins = {stage.method for stage in parse(recipes.read("objectives-scenes")).stages}
    assert twins <= {stage.method for stage in stages}


RELEASED = {
    "attack.trigger": "legacy_cleanclip_patch",
    "attack.stage": "file",
    "stages.cleanclip.method.caption_view": {"kind": "eda", "frozen": True},
    "stages.victim.method.legacy_schedule": True,
    "stages.cleanclip.method.legacy_schedule": True,
    "stages.finetune.method.legacy_schedule": True,
    "stages.victim.method.precision": "fp32",
}
"""What the head of cleanclip-cc3m says takes the released code's ways back."""


@pytest.mark.parametrize("kind", ["clip", "clip_ssl", "cyclip"])
def test_the_released_codes_ways_are_settings(kind: str) -> None:
    plain, text = recipes.read("cleanclip-cc3m"), recipes.text("cleanclip-cc3m").replace("\n# ", " ")
    for path, value in RELEASED.items():
        if "finetune" not in path and path != "stages.cleanclip.method.legacy_schedule":
            assert f"{path}=" in text
        override(plain, path, value)
    override(plain, "stages.victim.method.kind", kind)
    experiment = parse(plain)
    assert experiment.stages[0].method.kind == kind
    assert all(stage.method.legacy_schedule for stage in experiment.stages)


def test_an_unknown_name() -> None:
    with pytest.raises(
        ValueError, match="recipe: 'quikstart' is neither a recipe nor a file; did you mean 'quickstart'"
    ):
        recipes.read("quikstart")
