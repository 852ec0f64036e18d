"""Several ranks of one run, as ``torchrun`` starts them: what they leave, how they end, and how the run goes on.

A status of 1 also says that a rank did not hang: the driver kills what outlives another by a minute.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from tests.integration.broken import ROOT, Driver, Told, content_of, contents
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from bezoar.core import yaml
from bezoar.core.files import read_json
from bezoar.core.frame import Frame
from bezoar.core.records import read_lines, read_records
from bezoar.data import Scenes
from bezoar.data.prepared import Prepared
from bezoar.models.opening import load_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="forks, and looks at processes as Linux shows them"),
]

STEP = "bezoar.training.stepping:Stepper.__call__"
LOST = "another rank is lost"
ONE: list[Mapping[str, Any]] = [{}]
"""What befalls a single process: nothing."""


def die(step: int, **fate: Any) -> dict[str, Any]:
    """Killed in a step, counted from the start of the process, where states are written after every step."""
    return {"call": STEP, "nth": step, "states": True, **fate}


class Ranks:
    """One stage, of two epochs with three steps each unless ``method`` changes it, on a tower without batch
    statistics."""

    def __init__(self, driver: Driver, scratch: Path, **method: Any) -> None:
        self.driver, self.path = driver, scratch / "ranks.yaml"
        (stage, *_) = tiny.experiment()["stages"]
        stage |= {"poison": False, "evaluate_steps": 2, "keep": "best", "best_by": "contrastive_loss"}
        stage["method"] |= {"batch_size": 12, "precision": "fp32", **method}
        scenes = {"kind": "scenes", "count": 40}
        evaluators = [{"kind": "zero_shot", "templates": ["a {c}"]}, {"kind": "contrastive_loss"}]
        plain = tiny.experiment(
            model="micro-vit-32", pairs={"train": scenes}, attack=None, stages=[stage], evaluators=evaluators,
            held_out={"captioned": {"kind": "scenes", "split": "clean", "count": 16}}, select_on="captioned",
        )  # fmt: skip
        self.path.write_text(yaml.render(plain))

    def run(self, folder: Path, fates: Sequence[Mapping[str, Any]], *words: str) -> list[Told]:
        return self.driver.together(folder, *fates, words=words, path=self.path)

    def finish(self, folder: Path, world: int) -> list[Told]:
        told = self.run(folder, ONE * world)
        assert [one["status"] for one in told] == [0] * world, told
        return told


@pytest.fixture(scope="module")
def ranks(driver: Driver, tmp_path_factory: pytest.TempPathFactory) -> Ranks:
    return Ranks(driver, tmp_path_factory.mktemp("ranks"))


@pytest.fixture(scope="module")
def alone(ranks: Ranks, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Told]]:
    """The run of one process."""
    folder = tmp_path_factory.mktemp("alone")
    return folder, ranks.finish(folder, 1)


@pytest.fixture(scope="module")
def two(ranks: Ranks, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Told]]:
    """The run of two that nothing broke off."""
    folder = tmp_path_factory.mktemp("two")
    return folder, ranks.finish(folder, 2)


@pytest.fixture(scope="module")
def broken(ranks: Ranks, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Told]]:
    """A run of two in which rank 1 was killed in the middle of the second epoch."""
    folder = tmp_path_factory.mktemp("broken")
    return folder, ranks.run(folder, [{"states": True}, die(5)])


def seen(folder: Path) -> torch.Tensor:
    """What the model that a run has kept makes of a few pictures."""
    (path,) = folder.glob("stages/*/model")
    pictures = Prepared(Scenes(count=8).open(), Frame(32))
    with torch.no_grad():
        return load_model(str(path)).eval().encode_image(torch.stack([pictures[index] for index in range(8)]))


def close(folder: Path, other: Path) -> bool:
    """Whether two runs left the same but for rounding: files, steps, records, and the model that was kept."""
    one, two = contents(folder), contents(other)
    assert one.keys() == two.keys()
    for left, right in zip(one["steps.jsonl"], two["steps.jsonl"], strict=True):
        terms, expected = left.pop("terms"), right.pop("terms")
        assert left == right
        assert terms == pytest.approx(expected, rel=1e-3)
    for a, b in zip(read_records(folder / "records.jsonl"), read_records(other / "records.jsonl"), strict=True):
        assert (a.epoch, a.step, a.data, a.metric, a.n) == (b.epoch, b.step, b.data, b.metric, b.n)
        assert a.metric != "contrastive_loss" or a.value == pytest.approx(b.value, rel=1e-3)
    torch.testing.assert_close(seen(folder), seen(other), rtol=0, atol=2e-3)
    return True


def equal(folder: Path, other: Path) -> bool:
    """Whether two runs of as many ranks left the same bits."""
    one, two = contents(folder), contents(other)
    assert one.keys() == two.keys()
    assert not [name for name in one if one[name] != two[name]]
    return True


# ----------------------------------------------------------------------------------------------------- what they leave


def test_two_ranks_leave_what_one_process_does(alone: tuple[Path, list[Told]], two: tuple[Path, list[Told]]) -> None:
    assert close(two[0], alone[0])
    (done,) = two[0].glob("stages/*/stage.json")
    assert read_json(done)["ranks"] == 2
    (before,) = alone[0].glob("stages/*/stage.json")
    kept = ("ranks", "weights")
    assert {key: value for key, value in content_of(done).items() if key not in kept} == {
        key: value for key, value in content_of(before).items() if key not in kept
    }


def test_only_the_first_speaks_and_writes(two: tuple[Path, list[Told]]) -> None:
    lead, other = two[1]
    assert "report  " in lead["said"]
    assert other["said"] == ""
    assert other["writes"] == []
    assert (lead["error"], other["error"]) == ({}, {})


# ------------------------------------------------------------------------------------------------------ how they end


def test_a_killed_rank_ends_the_other_and_the_same_command_goes_on(
    broken: tuple[Path, list[Told]], ranks: Ranks, two: tuple[Path, list[Told]], tmp_path: Path
) -> None:
    """First one rank, then the other; the run ends as one that nothing broke off."""
    folder = Path(shutil.copytree(broken[0], tmp_path / "run"))
    lead, other = broken[1]
    assert (lead["status"], other["status"]) == (1, -9)
    # Closed or reset: whether it was still sending.
    line = (
        rf"bezoar: rank \d of 2: {LOST} \([^()]*Connection (closed|reset) by peer[^()]*\); the same command continues"
    )
    assert re.fullmatch(line, lead["said"].splitlines()[-1]), lead["said"]
    assert "Traceback" not in lead["said"]
    lead, other = ranks.run(folder, [die(1), {}])
    assert (lead["status"], other["status"]) == (-9, 1)
    assert re.fullmatch(line + "\n", other["said"]), other["said"]
    ranks.finish(folder, 2)
    assert equal(folder, two[0])


@pytest.mark.parametrize("world", [1, 3])
def test_it_goes_on_with_another_number_of_ranks(
    world: int, broken: tuple[Path, list[Told]], ranks: Ranks, two: tuple[Path, list[Told]], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(broken[0], tmp_path / "run"))
    lead, *others = ranks.finish(folder, world)
    warning = f"WARNING: resuming on {world} ranks what began on 2: the weights will differ in their last bits"
    assert lead["said"].count(warning) == 1
    assert [other["said"] for other in others] == [""] * (world - 1)
    assert close(folder, two[0])


def test_a_rank_killed_within_a_split_goes_on_with_the_same_bits(driver: Driver, tmp_path: Path) -> None:
    """SafeCLIP, in an epoch that is split: amid the risky pairs, and between them and the safe."""
    robust = Ranks(
        driver, tmp_path, kind="safeclip", epochs=3, in_modal_epochs=1, slow_epochs=0, bank_size=8,
        safe_posterior=0.999, caption_view={"kind": "eda", "wordnet": "none"},
    )  # fmt: skip
    robust.finish(tmp_path / "two", 2)
    steps = [(line["epoch"], line["pass"]) for line in content_of(tmp_path / "two" / "steps.jsonl")]
    assert steps[:6] == [(0, "in_modal")] * 3 + [(1, "risky")] * 2 + [(1, "safe")]
    for step in (5, 6):
        folder = tmp_path / str(step)
        lead, other = robust.run(folder, [{"states": True}, die(step)])
        assert (lead["status"], other["status"]) == (1, -9), lead["said"]
        (path,) = folder.glob("stages/*/training_state")
        at = torch.load(path, weights_only=True)["progress"]
        assert (at["step"], at["epoch"], at["number"], at["batch"]) == (step - 1, 1, 0, step - 4)
        robust.finish(folder, 2)
        assert equal(folder, tmp_path / "two")


def first(told: Sequence[Told], folder: Path) -> tuple[int, str]:
    """The rank that ``torchrun`` holds to be the cause, and what it says of it, from what the ranks have left."""
    failures = {}
    for rank, one in enumerate(told):
        path = folder / f"{rank}.json"
        if one["error"]:
            path.write_text(json.dumps(one["error"]))
        failures[rank] = ProcessFailure(rank, one["pid"], one["status"], str(path))
    rank, failure = ChildFailedError("bezoar", failures).get_first_failure()
    return rank, failure.message


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_fails_ends_the_run_with_its_reason(
    rank: int, broken: tuple[Path, list[Told]], ranks: Ranks, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(broken[0], tmp_path / "run"))
    fates: list[Mapping[str, Any]] = [{}, {}]
    fates[rank] = die(1, raised="the loss of one rank is odd")
    told = ranks.run(folder, fates)
    assert [one["status"] for one in told] == [1, 1]
    reason = f"rank {rank} of 2: the loss of one rank is odd"
    assert told[rank]["said"].splitlines()[-1] == f"bezoar: {reason}"
    assert LOST in told[1 - rank]["said"]
    assert told[1 - rank]["error"] == {}
    time.sleep(1)  # to the second is what torchrun counts
    assert first(told, tmp_path) == (rank, reason)
    assert not [one for one in told if "Traceback" in one["said"]]


def test_a_signal_to_one_rank_ends_both(broken: tuple[Path, list[Told]], ranks: Ranks, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(broken[0], tmp_path / "run"))
    lead, other = ranks.run(folder, [{}, die(1, signal=signal.SIGTERM)])
    assert (lead["status"], other["status"]) == (1, 130)
    assert other["said"] == "bezoar: rank 1 of 2: interrupted; the same command continues\n"
    assert other["error"] == {}, "an end from outside is no reason"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("pairs.train={kind: table, path: missing.csv}", "path: missing.csv does not exist"),
        ("stages.victim.method.batch_size=13", "method.batch_size: 13 pairs cannot be shared equally by 2"),
    ],
)  # fmt: skip
def test_what_the_first_refuses_ends_all(word: str, said: str, ranks: Ranks, tmp_path: Path) -> None:
    lead, other = ranks.run(tmp_path / "run", ONE * 2, word)
    assert (lead["status"], other["status"]) == (2, 1)
    assert lead["said"].count("\n") == 1
    assert lead["said"].startswith("bezoar: rank 0 of 2: ")
    assert said in lead["said"]
    assert other["said"].startswith("bezoar: rank 1 of 2: rank 0 has stopped: ")
    assert not (tmp_path / "run").exists()


def test_stages_cannot_run_side_by_side_on_ranks(ranks: Ranks, tmp_path: Path) -> None:
    told = ranks.run(tmp_path / "run", ONE * 2, "--jobs", "2")
    assert [one["status"] for one in told] == [2, 2]
    assert told[0]["said"] == (
        "bezoar: rank 0 of 2: jobs: 2 stages cannot run side by side on 2 ranks, which train one together\n"
    )
    assert not (tmp_path / "run").exists()


def test_one_killed_before_the_first_step(ranks: Ranks, tmp_path: Path) -> None:
    """The first while it prepares pictures, with the other waiting for it."""
    lead, other = ranks.run(tmp_path, [{"call": "bezoar.data.prepared:load", "nth": 30}, {}])
    assert (lead["status"], other["status"]) == (-9, 1)
    assert LOST in other["said"]


# ------------------------------------------------------------------------------------------------------------ torchrun


def test_under_torchrun(ranks: Ranks, tmp_path: Path) -> None:
    """A real one, a rank of which is killed: it ends at once, and says which it was."""
    words = ["stages.victim.method.epochs=100", "threads=1"]
    command = [
        "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "bezoar", "run",
        str(ranks.path), *words, "--out", str(tmp_path / "run"),
    ]  # fmt: skip
    places = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    with subprocess.Popen(
        [sys.executable, *command], env={**os.environ, "PYTHONPATH": places, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            end = time.monotonic() + 240
            while not list(tmp_path.glob("run/stages/*/training_state")):
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < end, "waited in vain"
                time.sleep(0.05)
            os.kill(rank_of(process.pid, 1), signal.SIGKILL)
            _, said = process.communicate(timeout=60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 1
    assert f"bezoar: rank 0 of 2: {LOST}" in said or "bezoar: rank 0 of 2: interrupted" in said
    cause = said.partition("Root Cause")[2]
    assert "rank      : 1 " in cause
    assert "Signal 9 (SIGKILL)" in cause
    assert said.count("exitcode  : -9 ") == 1, "the other one has ended by itself"
    steps = [line["step"] for line in read_lines(next(tmp_path.glob("run/stages/*/steps.jsonl")))]
    assert steps == sorted(set(steps))


def rank_of(pid: int, rank: int) -> int:
    """The process of a rank among the children of ``torchrun``."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if f"\0RANK={rank}\0" in Path(f"/proc/{child}/environ").read_text():
            return int(child)
    raise AssertionError("no such rank")
