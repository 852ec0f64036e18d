"""How settings values are typed: as a kind, a kind with a word, or YAML in braces; and shown the same way."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import tyro
from tests.cli.conftest import Bezoar

from bezoar.attacks import ATTACKS, Attack, Backdoor, CaptionBackdoor, DualKey, Labels, Pick, Several, Targeted
from bezoar.attacks.caption_triggers import Phrase
from bezoar.attacks.patterns import Solid
from bezoar.attacks.places import Random
from bezoar.attacks.triggers import TRIGGERS, Patch, Trigger
from bezoar.cleaning import ADP, NAD
from bezoar.cli.families import one_word, registry, short, subcommands
from bezoar.core.settings import Settings
from bezoar.data import SceneClasses, Scenes, Table
from bezoar.data.captions import Eda
from bezoar.data.views import Moco
from bezoar.experiment.experiment import METHODS
from bezoar.training.method import Method
from bezoar.training.shrink_perturb import ShrinkPerturb


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Patch(), "patch"),
        (Scenes(), "scenes"),
        (SceneClasses(split="test"), '{"kind": "scenes", "split": "test"}'),
        (Patch(size=3, place=Random(seed=2)), '{"kind": "patch", "size": 3, "place": {"kind": "random", "seed": 2}}'),
        (Eda(wordnet="none"), '{"kind": "eda", "wordnet": "none"}'),
    ],
)
def test_shown_as_it_would_be_typed(value: Settings, expected: str) -> None:
    assert short(value) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("patch", Patch()),
        ("patch:solid", Patch(pattern=Solid())),
        ("{kind: patch, size: 3}", Patch(size=3)),
        ("patch:solid:yellow", Patch(pattern=Solid(color=(255, 255, 0)))),
        (short(Patch(size=3, pattern=Solid(color=(1, 2, 3)))), Patch(size=3, pattern=Solid(color=(1, 2, 3)))),
    ],
)
def test_read_from_one_word(word: str, expected: Trigger) -> None:
    spec = one_word(TRIGGERS)
    value = spec.instance_from_str([word])
    assert value == expected
    assert spec.instance_from_str(spec.str_from_instance(value)) == expected
    assert spec.is_instance(value)
    assert spec.is_instance(None)
    assert not spec.is_instance("patch")
    assert spec.str_from_instance(None) == ["none"]


def test_every_family_of_one_word_is_known_to_the_parser() -> None:
    @dataclasses.dataclass
    class Flags:
        trigger: Trigger = Patch()
        pairs: Scenes | None = None

    found = tyro.cli(Flags, args=["--trigger", "patch:solid"], registry=registry())
    assert found.trigger == Patch(pattern=Solid())


NEEDED: dict[str, dict[str, Any]] = {"pseudo_labels": {"labels": "labels.parquet"}}
"""What a method has no default for."""


def needed(kind: str) -> tuple[dict[str, Any], list[str]]:
    fields = NEEDED.get(kind, {})
    return fields, [word for name, value in fields.items() for word in (f"--{name}", value)]


@pytest.mark.parametrize("kind", METHODS.members)
def test_every_method_is_a_subcommand_with_its_fields_as_flags(kind: str) -> None:
    union: Any = subcommands(METHODS)
    fields, flags = needed(kind)
    words = [kind, *flags, "--epochs", "3", "--lr", "0.5", "--steps", "7"]
    found: Method = tyro.cli(union, args=words, registry=registry(), config=(tyro.conf.OmitSubcommandPrefixes,))
    assert found == METHODS.members[kind](epochs=3, lr=0.5, steps=7, **fields)


@pytest.mark.parametrize("kind", METHODS.members)
def test_every_method_can_be_shrunk_and_perturbed_before(kind: str) -> None:
    union: Any = subcommands(METHODS)
    fields, flags = needed(kind)
    words = [kind, *flags, "--shrink-perturb", "{shrink: 0.9}"]
    found: Method = tyro.cli(union, args=words, registry=registry(), config=(tyro.conf.OmitSubcommandPrefixes,))
    assert found == METHODS.members[kind](shrink_perturb=ShrinkPerturb(shrink=0.9), **fields)


def method(*words: str) -> Method:
    union: Any = subcommands(METHODS)
    found: Method = tyro.cli(union, args=words, registry=registry(), config=(tyro.conf.OmitSubcommandPrefixes,))
    return found


@pytest.mark.parametrize("none", ["none", "None", "null"])
def test_what_may_be_left_out_is_none_in_a_word(none: str) -> None:
    words = ["--steps", none, "--schedule-at", "0", "--schedule-steps", none, "--max-scale", none]
    assert method("nad", *words) == NAD(steps=None, schedule_at=0, schedule_steps=None, max_scale=None)
    assert method("adp", "--image-view", none) == ADP(image_view=None)
    assert method("nad", "--schedule-steps", "150000", "--clip-norm", "0.5") == NAD(
        schedule_steps=150_000, clip_norm=0.5
    )


def test_members_that_may_be_left_out_are_typed_as_others_are(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    pictures = f"{{kind: table, path: {path}, id_key: id}}"
    assert method("adp", "--image-view", "moco", "--pictures", pictures) == ADP(
        image_view=Moco(), pictures=Table(path=str(path), id_key="id")
    )


@pytest.mark.parametrize(("field", "said"), [("steps", "whole number, nor none"), ("clip-norm", "number, nor none")])
def test_a_word_that_is_no_number(field: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        method("nad", f"--{field}", "some")
    assert f"'some' is no {said}" in " ".join(capsys.readouterr().err.replace("│", " ").split())


def attack(words: list[str]) -> Attack:
    union: Any = subcommands(ATTACKS)
    found: Attack = tyro.cli(union, args=words, registry=registry(), config=(tyro.conf.OmitSubcommandPrefixes,))
    return found


TARGETED = ["targeted", "--images", "scenes:test"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["dual_key", "--target", "cup", "--words", "phrase:mmm", "--trigger", "patch:solid", "--halves", "2"],
            DualKey(target="cup", words=Phrase(text="mmm"), trigger=Patch(pattern=Solid()), halves=2.0),
        ),
        (
            ["caption_backdoor", "--target", "cup", "--words", "{kind: phrase, place: end}"],
            CaptionBackdoor(target="cup", words=Phrase(place="end")),
        ),
        (["labels", "--target", "cup", "--count", "3"], Labels(target="cup", count=3)),
        (
            [*TARGETED, "--targets", "cup", "dog", "--synonyms", "{cup: [mug, beaker]}"],
            Targeted(
                images=SceneClasses(split="test"),
                targets=("cup", "dog"),
                synonyms={"cup": ("mug", "beaker")},
            ),
        ),
        (
            [*TARGETED, "--chosen", "[{id: '7', target: cup}, {id: a, target: dog}]"],
            Targeted(
                images=SceneClasses(split="test"), chosen=(Pick(id="7", target="cup"), Pick(id="a", target="dog"))
            ),
        ),
        (
            [
                "several",
                "--attacks",
                "[{kind: backdoor, target: cup}, {kind: labels, target: dog}]",
                "--seeds",
                "1",
                "2",
            ],
            Several(attacks=(Backdoor(target="cup"), Labels(target="dog")), seeds=(1, 2)),
        ),
    ],
)
def test_attacks_that_hold_other_values_are_typed_too(words: list[str], expected: Attack) -> None:
    assert attack(words) == expected


@pytest.mark.parametrize("kind", ATTACKS.members)
def test_every_attack_tells_of_its_flags(kind: str, bezoar: Bezoar) -> None:
    with pytest.raises(SystemExit) as stop:
        bezoar("poison", kind, "--help")
    assert stop.value.code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*TARGETED, "--chosen", "[{id: a, targt: b}]"], "chosen.0: unknown key 'targt'; did you mean 'target'"),
        ([*TARGETED, "--synonyms", "mug"], "synonyms: Input should be an object, got 'mug'"),
        ([*TARGETED, "--synonyms", "{cup: [mug"], "synonyms: "),
        (["several", "--attacks", "[{kind: labels, target: cup}]"], "attacks: Tuple should have at least 2 items"),
        (
            ["several", "--attacks", "[{kind: label}, {kind: labels, target: cup}]"],
            "attacks.0: kind: 'label' is not an attack; did you",
        ),
    ],
)
def test_what_cannot_be_read_as_yaml_is_told_in_a_line(words: list[str], message: str, bezoar: Bezoar) -> None:
    said = bezoar("poison", *words, "--pairs", "scenes", "--out", "nowhere")
    assert said.code == 2
    assert said.err.startswith(f"bezoar: {message}")
    assert said.err.count("\n") == 1
