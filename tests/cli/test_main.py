"""Exit codes, and mistakes in one line each: field, value, choices, and no traceback."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests import tiny
from tests.cli.conftest import Bezoar
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

import bezoar as package
from bezoar.attacks import Backdoor
from bezoar.core import yaml
from bezoar.core.files import exclusive
from bezoar.core.machine import LostError
from bezoar.data import Scenes
from bezoar.experiment import verbs
from bezoar.models.checkpoint import save

TRAIN = ("train", "clip", "--model", "micro-cnn-32", "--pairs", "{kind: scenes, count: 16}", "--batch-size", 8)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from bezoar.cli.main import main\n"
        "try: main(['train', 'cleanclip', '--help'])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "heavy = {'torch', 'open_clip', 'torchvision', 'timm', 'matplotlib', 'pyarrow', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert "in-modal-weight" in found.stdout
    assert found.stderr == ""


def test_importing_the_package_costs_nothing() -> None:
    code = (
        "import sys, importlib; before = set(sys.modules); import bezoar\n"
        "more = {name for name in set(sys.modules) - before if not name.startswith('bezoar')}\n"
        "assert not more & {'torch', 'numpy', 'pydantic', 'tyro'}, more\n"
        "assert not [name for name in sys.modules if name.startswith('bezoar.')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("words", [["--version"], ["version"]])
def test_version(words: list[str], bezoar: Bezoar) -> None:
    assert bezoar(*words) == (0, f"bezoar {package.__version__}\n", "")


@pytest.mark.parametrize(
    "verb",
    ["", "quickstart", "recipes", "run", "poison", "train", "clean", "evaluate", "report", "model", "zoo", "sweep"],
)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    from bezoar.cli.main import main

    with pytest.raises(SystemExit) as stop:
        main([*filter(None, [verb]), "--help"])
    assert stop.value.code == 0
    said = capsys.readouterr()
    assert f"usage: bezoar {verb}".strip() in said.out
    assert said.err == ""


# ------------------------------------------------------------------------------------------------------- wrong usage


EVALUATE = "evaluate --model micro-cnn-32 --data scenes"
PLAN = "poison backdoor --pairs scenes --out x"
CLEAN = "clean cleanclip --model micro-cnn-32 --pairs scenes:clean --out x"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "",
            "Expected one of {quickstart, recipes, run, data, poison, train, clean, evaluate, sweep, report, model, "
            "zoo}.",
        ),
        ("frain", "Unrecognized options: frain; Available subcommands: quickstart, recipes, run, "),
        ("train clap --pairs scenes --model x --out x", "Unrecognized options: clap; Available subcommands: clip, "),
        ("train clip", "Missing from bezoar train: --pairs"),
        ("train clip --pears scenes", "Unrecognized options: --pears"),
        ("recipes quikstart", "recipe: 'quikstart' is neither a recipe nor a file; did you mean 'quickstart'?"),
        ("run quikstart", "recipe: 'quikstart' is neither a recipe nor a file; did you mean 'quickstart'?"),
        ("run missing.yaml", "missing.yaml: cannot be read: "),
        ("run ./missing", "missing: cannot be read: "),
        ("run quickstart --jobs 0 --dry-run", "jobs: must be at least 1, got 0"),
        ("run quickstart --seeds 1 1", "seeds: each stands once, got [1, 1]"),
        ("run quickstart seeds", "'seeds': a change reads path.to.key=value"),
        ("run quickstart stages.victm.poison=true", "stages.victm: no such entry; did you mean 'victim'?"),
        ("run quickstart stages.victim.method.lr=x", "stages.0.method.lr: Input should be a valid number"),
        ("run quickstart attack.trigger.size=six", "attack.trigger.size: Input should be a valid integer"),
        ("run quickstart attack.target=[", "attack.target=[, line 1, column 2: not valid YAML"),
        ("report nowhere", "run: there is no folder nowhere"),
        (
            "evaluate --model nowhere --data scenes",
            "'nowhere' is not an architecture, a file, a folder or a hub name",
        ),
        ("evaluate --model micro-cn-32 --data scenes", "did you mean micro-cnn-32"),
        (f"{EVALUATE}:tset", "data.split: Input should be 'validation', 'test', 'train' or 'clean', got 'tset'"),
        (f"{EVALUATE}s", "data: kind: 'sceness' is not a labeled set; did you mean 'scenes'?"),
        (
            "evaluate --model RN50 --held-out scenes:clean --trigger patch --target star",
            "data: an attack is measured on",
        ),
        (
            "train clip --epoch 3 --model RN50 --pairs scenes --out x",
            "Unrecognized options: --epoch, 3; Perhaps you meant: --epochs",
        ),
        (
            "poison backdor --target star --pairs scenes --out x",
            "options: backdor --target star; Available subcommands: backdoor,",
        ),
        (
            "poison backdoor --target star --pairs scenes --out x --image-size 0",
            "image-size: must be at least 1, got 0",
        ),
        ("data inspect", "Missing from bezoar data inspect: SOURCE A .csv"),
        (f"{EVALUATE} --target star", "trigger: a target needs the trigger that is to call it up"),
        (f"{EVALUATE} --trigger patch", "target: a trigger needs the class it is to call up"),
        (f"{EVALUATE} --trigger pach --target star", "trigger: kind: 'pach' is not a trigger; did you mean 'patch'"),
        (f"{EVALUATE} --trigger patch:red --target star", "trigger.pattern: kind: 'red' is not a pattern"),
        (
            f"{EVALUATE} --trigger patch --target star --poison x",
            "trigger: give a poison folder or a trigger, not both",
        ),
        (f"{EVALUATE} --templates opnai", "templates: no templates are called 'opnai'; did you mean 'openai'?"),
        (f"{EVALUATE} --poison nowhere", "poison: nowhere is not a poison folder: it has no poison.json"),
        (PLAN, "Missing from bezoar poison backdoor: --target"),
        (f"{PLAN} --target star --rate 2", "rate: Input should be less than or equal to 1, got 2.0"),
        (f"{PLAN} --target star --rate x", "rate: could not convert string to float: 'x'"),
        (f"{CLEAN} --lr -1", "lr: Input should be greater than or equal to 0, got -1.0"),
        (f"{CLEAN} --caption-view edda", "'edda' is not a caption view; did you mean 'eda'?"),
        (f"{CLEAN} --schedule cosin", "'cosin' for argument '--schedule'. Expected one of ('cosine', "),
    ],
)
def test_wrong_usage_is_one_line_and_2(
    words: str, said: str, bezoar: Bezoar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = bezoar(*words.split())
    assert (found.code, found.out) == (2, "")
    assert found.err.startswith("bezoar: ")
    assert found.err.count("\n") == 1
    assert said in found.err
    assert not list(tmp_path.iterdir())


def one_line(found: Any) -> str:
    assert found.code == 2
    assert found.err.count("\n") == 1, found.err
    assert found.err.startswith("bezoar: ")
    return str(found.err)


def test_a_target_that_is_no_class(bezoar: Bezoar, tmp_path: Path) -> None:
    scene = "{kind: scenes, count: 4}"
    said = one_line(
        bezoar("evaluate", "--model", "micro-cnn-32", "--data", scene, "--trigger", "patch", "--target", "star s")
    )
    assert "target: 'star s' is not a class; did you mean 'star'? (choices: " in said
    pairs = Scenes(count=16)
    verbs.poison(Backdoor(target="strawberry", count=2), pairs=pairs, out=tmp_path / "poison", image_size=32)
    said = one_line(bezoar(*TRAIN, "--out", tmp_path / "run", "--poison", tmp_path / "poison", "--val", scene))
    assert "target: 'strawberry' is not a class" in said
    assert not (tmp_path / "run").exists()


def test_a_patch_larger_than_the_image(bezoar: Bezoar, tmp_path: Path) -> None:
    big = "{kind: patch, size: 40, reference: 32}"
    words = (
        "poison",
        "backdoor",
        "--target",
        "star",
        "--count",
        2,
        "--trigger",
        big,
        "--pairs",
        "{kind: scenes, count: 16}",
    )
    for extra in ((), ("--dry-run",)):
        said = one_line(bezoar(*words, "--image-size", 32, "--out", tmp_path / "poison", *extra))
        assert "trigger.size: a patch of 40 px does not fit an image of 32×32 px (size 40" in said
    scene = "{kind: scenes, count: 4}"
    said = one_line(
        bezoar("evaluate", "--model", "micro-cnn-32", "--data", scene, "--trigger", big, "--target", "star")
    )
    assert "trigger.size: a patch of 40 px" in said


def test_a_checkpoint_of_another_architecture(bezoar: Bezoar, tmp_path: Path) -> None:
    save(tiny.clip("micro-cnn-32"), tmp_path / "model")
    card = tmp_path / "model" / "model.json"
    card.write_text(card.read_text().replace("micro-cnn-32", "micro-vit-32"))
    said = one_line(bezoar("evaluate", "--model", tmp_path / "model", "--data", "scenes"))
    assert f"model: {tmp_path / 'model'} is not a micro-vit-32: missing " in said


def test_a_folder_that_is_no_model(bezoar: Bezoar, tmp_path: Path) -> None:
    said = one_line(bezoar("evaluate", "--model", tmp_path, "--data", "scenes"))
    assert f"model: {tmp_path} holds no file of weights" in said


def test_a_folder_in_use(bezoar: Bezoar, tmp_path: Path) -> None:
    with exclusive(tmp_path):
        said = one_line(bezoar(*TRAIN, "--out", tmp_path))
    assert f"out: {tmp_path} is in use by another run (process " in said


@pytest.mark.parametrize(
    "words", [TRAIN, ("run", "quickstart"), ("poison", "backdoor", "--target", "star", "--pairs", "scenes")]
)
def test_output_that_cannot_be_written(words: tuple[object, ...], bezoar: Bezoar, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = one_line(bezoar(*words, "--out", tmp_path / "file" / "run"))
    assert f"out: cannot write to {tmp_path / 'file' / 'run'}: Not a directory" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a list", "must be a mapping of settings, got list"),
        ("", "must be a mapping of settings, got NoneType"),
        ("just words", "must be a mapping of settings, got str"),
        ("name: a\nname: b", "line 2, column 1: not valid YAML: found duplicate key"),
        ("name: [", "line 1, column 8: not valid YAML"),
    ],
)
def test_yaml_of_the_wrong_kind(text: str, said: str, bezoar: Bezoar, tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text(text)
    found = one_line(bezoar("run", path))
    assert str(path) in found
    assert said in found


def test_yaml_with_several_faults_is_a_line_each(bezoar: Bezoar, tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.render(tiny.experiment(threads="two", modle="x", seeds=[])))
    found = bezoar("run", path, "--out", tmp_path / "run")
    assert found.code == 2
    assert "Traceback" not in found.err
    assert len(found.err.splitlines()) >= 1
    assert not (tmp_path / "run").exists()


def test_more_than_a_batch(bezoar: Bezoar, tmp_path: Path) -> None:
    said = one_line(bezoar(*TRAIN, "--batch-size", 17, "--out", tmp_path / "run"))
    assert "batch_size: 17 is more than the 16 pairs there are" in said


# ------------------------------------------------------------------------------------------------------ other ends


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ValueError("field: value"), 2, "bezoar: field: value"),
        (FloatingPointError("not finite at step 7"), 1, "bezoar: not finite at step 7"),
        (RuntimeError("a process died"), 1, "bezoar: a process died"),
        (OSError(28, "No space left on device"), 1, "bezoar: [Errno 28] No space left on device"),
        (KeyboardInterrupt(), 130, "bezoar: interrupted; the same command continues"),
    ],
)
def test_how_it_ends(
    error: BaseException, code: int, said: str, bezoar: Bezoar, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(verbs, "train", fail)
    assert bezoar(*TRAIN, "--out", "x") == (code, "", said + "\n")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("field: value"), "rank 1 of 2: field: value"),
        (FloatingPointError("not finite at step 7"), "rank 1 of 2: not finite at step 7"),
        (OSError(28, "No space left on device"), "rank 1 of 2: [Errno 28] No space left on device"),
        (LostError("another rank is lost"), None),
        (KeyboardInterrupt(), None),
    ],
)
def test_torchrun_is_told_what_is_a_cause_and_when(
    error: BaseException, told: str | None, bezoar: Bezoar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the earliest as the root of all: what only followed may not claim to be that."""

    def fail(*_: Any, **__: Any) -> None:
        raise error

    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "TORCHELASTIC_ERROR_FILE": tmp_path / "error.json"}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(verbs, "train", fail)
    began = int(time.time())
    assert bezoar(*TRAIN, "--out", "x").err.startswith("bezoar: rank 1 of 2: ")
    assert (tmp_path / "error.json").exists() == (told is not None)
    if told is not None:
        failure = ProcessFailure(1, 4242, 1, str(tmp_path / "error.json"))
        assert failure.message == told
        assert began <= failure.timestamp <= time.time()


@pytest.mark.parametrize("words", [PLAN, "recipes", "report x", EVALUATE, "data inspect scenes"])
def test_what_one_process_does_is_refused_to_several(
    words: str, bezoar: Bezoar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    words += " --target star" if words == PLAN else ""
    verb = words.partition(" ")[0]
    said = f"bezoar: rank 0 of 2: {verb}: is done by one process; start it without torchrun\n"
    assert bezoar(*words.split()) == (2, "", said)
    assert not list(tmp_path.iterdir())


def test_half_of_what_torchrun_sets(bezoar: Bezoar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setenv("RANK", "0")
    found = bezoar(*TRAIN, "--out", "x")
    assert found.code == 2
    assert found.err.startswith("bezoar: RANK and WORLD_SIZE: must be set together, with 0 <= RANK < WORLD_SIZE, got")
    assert found.err.count("\n") == 1


def test_a_bug_of_ours_keeps_its_traceback(bezoar: Bezoar, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise KeyError("ours")

    monkeypatch.setattr(verbs, "train", fail)
    with pytest.raises(KeyError):
        bezoar(*TRAIN, "--out", "x")
