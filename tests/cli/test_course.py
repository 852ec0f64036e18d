"""The flags that say how a training is run, measured and kept: what they do, and one line for each that cannot be."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.cli.conftest import Bezoar

from bezoar.core.files import read_json
from bezoar.core.records import read_records
from bezoar.experiment import verbs

METHOD = ("--batch-size", 8, "--epochs", 2, "--warmup-steps", 1, "--model", "micro-cnn-32", "--threads", 1)
PAIRS = ("--pairs", "{kind: scenes, count: 16}")
VAL = ("--val", "{kind: scenes, count: 8}")
HELD = ("--held-out", "{kind: scenes, split: clean, count: 8}")
TRAIN = ("train", "clip", *METHOD, *PAIRS)


@pytest.mark.parametrize("verb", ["train", "clean"])
@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ((), {"keep": "last", "keep_every": None, "evaluate_every": 1, "evaluate_steps": None, "workers": 0}),
        (("--keep", "none", "--evaluate-every", 4), {"keep": "none", "keep_every": None, "evaluate_every": 4}),
        (("--keep", "every:12", "--workers", 3), {"keep": "last", "keep_every": 12, "workers": 3}),
        (
            ("--keep", "best", "--best-by", "contrastive_loss", "--evaluate-steps", 50),
            {"keep": "best", "keep_every": None, "best_by": "contrastive_loss", "evaluate_steps": 50},
        ),
        (
            ("--compile", "--deterministic", "--device", "cpu", "--seed", 7),
            {"compile": True, "deterministic": True, "device": "cpu", "seed": 7, "threads": 1},
        ),
    ],
)
def test_every_flag_arrives(
    verb: str, flags: tuple[object, ...], expected: dict[str, Any], bezoar: Bezoar, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def stop(*_: Any, **named: Any) -> None:
        given.update(named)
        raise KeyboardInterrupt

    monkeypatch.setattr(verbs, verb, stop)
    method = {"train": "clip", "clean": "finetune"}[verb]
    assert bezoar(verb, method, *METHOD, *PAIRS, "--out", "x", *flags).code == 130
    assert {name: given[name] for name in expected} == expected


EVERY = "is none of none, last, best, every:N (as every:8)"
MEASURED = "is not measured on 'validation'"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--keep", "every:0"), f"keep: 'every:0' {EVERY}"),
        (("--keep", "every:"), f"keep: 'every:' {EVERY}"),
        (("--keep", "bset"), f"keep: 'bset' {EVERY}"),
        (("--keep", "best"), "stages.0.keep: 'best' is chosen on a labeled or held-out set, and there is none"),
        (
            ("--keep", "best", "--best-by", "accuracy_top11", *VAL),
            f"stages.clip.best_by: 'accuracy_top11' {MEASURED}; did you mean 'accuracy_top1'? (choices: accuracy_",
        ),
        (("--keep", "best", *HELD), f"stages.clip.best_by: 'accuracy_top1' {MEASURED} (choices: contrastive_loss, "),
        (("--best-by", "asr_top1"), "best-by: says what --keep best goes by; give both, or neither"),
        (
            ("--evaluate-steps", 9, "--evaluate-every", 2),
            "evaluate-every: counts epochs where evaluate-steps counts steps; give one of them",
        ),
        (("--evaluate-every", 0), "evaluate_every: Input should be greater than or equal to 1, got 0"),
        (("--evaluate-steps", 0), "evaluate_steps: Input should be greater than or equal to 1, got 0"),
        (("--workers", -1), "workers: Input should be greater than or equal to 0, got -1"),
        (("--workers", 17), "workers: 17 loader processes are more than the 16 pairs there are"),
        (("--threads", 0), "threads: Input should be greater than or equal to 1, got 0"),
        (("--chunk-size", 0), "chunk_size: Input should be greater than or equal to 1, got 0"),
        (("--ema", 1), "ema: Input should be less than 1, got 1.0"),
        (("--clip-norm", 0), "clip_norm: Input should be greater than 0, got 0.0"),
        (("--max-scale", 1), "max_scale: Input should be greater than 1, got 1.0"),
        (("--batch-norm", "global"), "invalid choice 'global' for argument '--batch-norm'. Expected one of ('local', "),
        (("--lock", "imgae"), "stages.clip.method.lock: no parameter is named 'imgae'; did you mean 'image'?"),
        (
            ("--lock", "image", "visual.layer9.*"),
            "stages.clip.method.lock: no parameter is named 'visual.layer9.*'",
        ),
        pytest.param(
            ("--precision", "fp16"),
            "stages.clip.method.precision: 'fp16' needs a CUDA device, this one is cpu (choices: auto, bf16, fp32)",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU"),
        ),
        pytest.param(
            ("--device", "cuda"), "device: 'cuda' is not available here (choices: auto, cpu)",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU"),
        ),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_what_cannot_be_is_one_line_and_nothing_is_written(
    flags: tuple[object, ...], said: str, bezoar: Bezoar, tmp_path: Path
) -> None:
    found = bezoar(*TRAIN, "--out", tmp_path / "run", *flags)
    assert (found.code, found.out) == (2, "")
    assert found.err.startswith("bezoar: ")
    assert found.err.count("\n") == 1, found.err
    assert said in found.err
    assert not (tmp_path / "run").exists()


def test_without_a_compiler_it_is_said_at_once(bezoar: Bezoar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("backend='inductor' raised:\nInvalidCxxCompiler: No working C++ compiler found in g++")

    monkeypatch.setattr(torch, "compile", fail)
    found = bezoar(*TRAIN, "--out", tmp_path / "run", "--compile")
    assert (found.code, found.out) == (2, "")
    assert found.err == (
        "bezoar: compile: torch.compile does not work on this machine's cpu: InvalidCxxCompiler: No working C++ "
        "compiler found in g++\n"
    )
    assert not (tmp_path / "run").exists()


@pytest.fixture
def indifferent() -> Iterator[None]:
    """What ``--deterministic`` asks of a process is taken back."""
    before = os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    yield
    torch.use_deterministic_algorithms(False)
    if before is None:
        os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)


@pytest.mark.usefixtures("indifferent")
def test_a_run_is_measured_and_kept_as_told(bezoar: Bezoar, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Then the same with another rate: it is run beside, and what differs is named."""
    caplog.set_level(logging.WARNING)
    flags = ("--keep", "every:1", "--evaluate-steps", 1, "--deterministic", *VAL)
    told = bezoar(*TRAIN, *flags, "--out", tmp_path)
    assert told.code == 0, told.err
    (stage,) = tmp_path.glob("stages/*")
    assert f"model   {stage / 'model'}\n" in told.out
    assert {path.name for path in stage.glob("models/*")} == {"epoch-001", "epoch-002"}
    found = [(one.epoch, one.step) for one in read_records(tmp_path / "records.jsonl")]
    assert list(dict.fromkeys(found)) == [(0, 1), (1, 2), (1, 3), (2, 4)]
    assert not caplog.text
    told = bezoar(*TRAIN, *flags, "--out", tmp_path, "--lr", 2e-3, "--keep", "none")
    assert told.code == 0, told.err
    assert "model   " not in told.out
    assert "its last run had other settings (stages.clip.method.lr, stages.clip.keep" in caplog.text
    other = next(path for path in tmp_path.glob("stages/*") if path != stage)
    assert read_json(other / "stage.json")["weights"] is None
    assert not (other / "model").exists()
