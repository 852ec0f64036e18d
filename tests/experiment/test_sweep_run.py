"""A sweep: everything is trained once, whoever trains it, and its records say where they stand."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests import tiny
from tests.experiment.test_run import counted, facts, weights
from tests.experiment.test_sweep import LR, plain

import bezoar.experiment.sweep_claims
import bezoar.experiment.sweep_run
from bezoar.core import yaml
from bezoar.core.files import exclusive, read_json
from bezoar.core.progress import Event
from bezoar.core.records import Record, read_records
from bezoar.experiment.experiment import parse
from bezoar.experiment.run import run
from bezoar.experiment.sweep import Sweep, parse_sweep
from bezoar.experiment.sweep_claims import claim
from bezoar.experiment.sweep_run import every_work, run_sweep

AXES = [{"lr": LR}, {"stages.cleanclip.method.in_modal_weight": [1, 4]}]


def two(**more: Any) -> Sweep:
    """A victim, fine-tuning at two learning rates, CleanCLIP at three points."""
    return parse_sweep({"name": "two", "experiment": plain(), "axes": AXES, **more})


@dataclasses.dataclass(frozen=True)
class Done:
    folder: Path
    records: list[Record]
    events: list[Event]
    trained: list[str]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder, events = tmp_path_factory.mktemp("sweep") / "out", list[Event]()
    with pytest.MonkeyPatch.context() as patch:
        trained = counted(patch)
        records = run_sweep(two(), folder, listen=events.append)
    return Done(folder, records, events, trained)


@pytest.fixture
def copied(done: Done, tmp_path: Path) -> Path:
    return Path(shutil.copytree(done.folder, tmp_path / "copied"))


def same(folder: Path, done: Done) -> bool:
    left, right = weights(folder), weights(done.folder)
    assert left.keys() == right.keys()
    assert all(tiny.same(left[name], right[name]) for name in left)
    assert facts(read_records(folder / "records.jsonl")) == facts(done.records)
    assert read_json(folder / "sweep.json") == read_json(done.folder / "sweep.json")
    return True


def test_nothing_is_trained_twice(done: Done) -> None:
    assert done.trained == [
        "victim", "finetune lr=0.001", "cleanclip lr=0.001 in_modal_weight=1", "finetune lr=0.01",
        "cleanclip lr=0.01 in_modal_weight=1", "cleanclip lr=0.001 in_modal_weight=4",
    ]  # fmt: skip
    assert len(list((done.folder / "stages").iterdir())) == 6
    assert len(list((done.folder / "poison").iterdir())) == 2  # the victim's, and what is left in the clean pairs


def test_records_say_where_they_stand(done: Done) -> None:
    assert read_records(done.folder / "records.jsonl") == done.records
    assert {record.run for record in done.records} == {"two"}
    found = {(record.stage, json.dumps(dict(record.axes)), record.epoch) for record in done.records}
    weight = "stages.cleanclip.method.in_modal_weight"
    assert found == {
        ("victim", "{}", 1), ("victim", "{}", 2),
        *(("finetune", json.dumps({"lr": lr}), 1) for lr in (1e-3, 1e-2)),
        *(("cleanclip", json.dumps({"lr": lr, weight: n}), 1) for lr, n in ((1e-3, 1), (1e-2, 1), (1e-3, 4))),
    }  # fmt: skip


def test_a_point_is_what_a_run_of_it_gives(done: Done, tmp_path: Path) -> None:
    """The same weights and the same numbers."""
    changed = plain()
    for stage in changed["stages"][1:]:
        stage["method"]["lr"] = 1e-2
    run(parse(changed), tmp_path)
    theirs, ours = weights(tmp_path), weights(done.folder)
    assert len(theirs) == 3
    assert all(tiny.same(ours[name], theirs[name]) for name in theirs)


def test_the_index_says_what_records_are_of(done: Done) -> None:
    told = read_json(done.folder / "sweep.json")
    assert (told["schema"], told["select_on"], told["report_on"], told["seeds"]) == (1, "validation", "validation", [0])
    assert told["axes"] == {"lr": [1e-3, 1e-2], "stages.cleanclip.method.in_modal_weight": [1, 4]}
    assert told["choose"] == list(told["axes"])
    victim, fine, *_ = told["works"]
    assert (victim["stage"], victim["poisoned"], victim["start"], victim["axes"]) == ("victim", True, None, {})
    assert (fine["group"], fine["kind"], fine["start"], fine["axes"]) == ("finetune", "finetune", 0, {"lr": 1e-3})
    assert fine["method"]["lr"] == 1e-3
    assert told["classes"]["validation"] > 2
    assert {name for work in told["works"] for name in work["folders"]} == set(weights(done.folder))


def test_progress_is_told_over_all(done: Done) -> None:
    told = [event for event in done.events if event.task == "sweep"]
    total = 2 * 32 + 5 * 16
    assert {(event.total, event.unit) for event in told} == {(total, "pairs")}
    assert [event.done for event in told] == sorted(event.done for event in told)
    assert (told[-1].done, dict(told[-1].facts)) == (total, {"stages left": 0})


def test_done_it_does_nothing(copied: Path, done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = counted(monkeypatch)
    run_sweep(two(), copied)
    assert trained == []
    assert same(copied, done)


@pytest.mark.slow
def test_side_by_side_it_gives_the_same(done: Done, tmp_path: Path) -> None:
    run_sweep(two(), tmp_path / "out", jobs=2)
    assert same(tmp_path / "out", done)


def test_a_new_point_trains_only_itself(
    copied: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trained = counted(monkeypatch)
    axes = [*AXES, {"stages.finetune.method.weight_decay": [50.0]}]
    records = run_sweep(two(axes=axes), copied)
    assert trained == ["finetune lr=0.001 weight_decay=50.0"]
    assert "its last sweep had other settings; what both train is not trained again" in caplog.text
    assert {r.axes["stages.finetune.method.weight_decay"] for r in records if r.stage == "finetune"} == {0.1, 50.0}


def test_broken_off_it_goes_on(done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = counted(monkeypatch)

    def stop(event: Event) -> None:
        if event.task == "finetune lr=0.01":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(two(), tmp_path / "out", listen=stop)
    assert len(trained) == 4
    run_sweep(two(), tmp_path / "out")
    assert sorted(trained) == sorted([*done.trained, "finetune lr=0.01"])
    assert same(tmp_path / "out", done)


def test_what_diverges_is_told_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    axes = {"stages.finetune.method.lr": [1e-3, 1e30], "stages.victim.method.lr": [1e-3, 1e30]}
    trained = counted(monkeypatch)
    sweep = parse_sweep({"experiment": plain(), "axes": axes})
    records = run_sweep(sweep, tmp_path)
    failed = {(w["stage"], *w["axes"].values()): w["failed"] for w in read_json(tmp_path / "sweep.json")["works"]}
    assert "not finite" in failed["victim", 1e30]["0"]
    assert failed["finetune", 1e-3, 1e30] == failed["cleanclip", 1e30] == failed["victim", 1e30]
    assert "not finite" in failed["finetune", 1e30, 1e-3]["0"]
    assert failed["finetune", 1e-3, 1e-3] == failed["cleanclip", 1e-3] == {}
    assert {(r.stage, *r.axes.values()) for r in records} == {
        ("victim", 1e-3),
        ("finetune", 1e-3, 1e-3),
        ("cleanclip", 1e-3),
    }
    assert len(trained) == 5
    assert run_sweep(sweep, tmp_path) == records
    assert len(trained) == 5  # it would diverge again


# ------------------------------------------------------------------------------------------ several in one folder


@pytest.mark.slow
def test_two_processes_share_the_work(done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each trains what the other has not taken."""
    monkeypatch.setattr(bezoar.experiment.sweep_claims, "LOOK", 0.1)
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.render(dict(two().plain)))
    words = [sys.executable, "-m", "bezoar", "sweep", str(file), "--out", str(tmp_path / "out"), "--jobs", "1"]
    other = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not list((tmp_path / "out").glob("stages/victim-*/training_state")):
        assert other.poll() is None, other.communicate()
        time.sleep(0.02)
    trained = counted(monkeypatch)
    run_sweep(two(), tmp_path / "out")
    _, err = other.communicate(timeout=60)
    assert other.returncode == 0, err
    theirs = [name for name, _ in re.findall(r"^(.*): (\d+)/\2 steps", err, re.MULTILINE)]
    assert "victim" in theirs
    assert trained
    assert sorted([*trained, *theirs]) == sorted(done.trained)
    run_sweep(two(), tmp_path / "out")
    assert same(tmp_path / "out", done)


def test_what_others_have_is_left_to_them(copied: Path, done: Done, caplog: pytest.LogCaptureFixture) -> None:
    """And taken up when they are gone."""
    (job,) = next(w for w in every_work(two(), copied) if w.axes.get("lr") == 1e-2 and w.group == "finetune").jobs
    shutil.rmtree(job.folder)
    held = claim(job)
    assert held is not None
    with held:
        assert claim(job) is None
        records = run_sweep(two(), copied)
        assert len(records) < len(done.records)
        assert "1 trainings are left to the processes that have them" in caplog.text
    run_sweep(two(), copied)
    assert same(copied, done)


def test_a_stage_waits_for_its_start(tmp_path: Path) -> None:
    """Somebody else trains the victim: this process waits, and cleans it when it is there."""
    sweep = two()
    victim = every_work(sweep, tmp_path)[0].jobs[0]
    held = claim(victim)
    assert held is not None

    def later() -> None:
        time.sleep(1)
        held.close()

    thread = threading.Thread(target=later)
    thread.start()
    assert run_sweep(sweep, tmp_path)
    thread.join()
    assert victim.done


def test_another_sweep_at_work_is_not_disturbed(copied: Path) -> None:
    (job,) = every_work(two(), copied)[1].jobs
    shutil.rmtree(job.folder)
    held = claim(job)
    assert held is not None
    with (
        held,
        pytest.raises(ValueError, match=r"out: a sweep with other settings is at work in .*; name another folder"),
    ):
        run_sweep(two(axes={"lr": LR}), copied)


def test_a_folder_that_became_anothers_is_left(copied: Path) -> None:
    (job,) = every_work(two(), copied)[1].jobs
    shutil.rmtree(job.folder)

    def other(event: Event) -> None:
        (copied / "sweep.yaml").write_text("name: other\n") if event.task == job.label else None

    with pytest.raises(ValueError, match="has become the folder of another sweep"):
        run_sweep(two(), copied, listen=other)


def test_while_it_is_prepared_others_wait(copied: Path, done: Done, caplog: pytest.LogCaptureFixture) -> None:
    said = "is being prepared by another process; this one waits for it"
    held = exclusive(copied)
    held.__enter__()

    def later() -> None:
        for _ in range(600):
            if said in caplog.text:
                break
            time.sleep(0.1)
        held.__exit__(None, None, None)

    thread = threading.Thread(target=later)
    thread.start()
    run_sweep(two(), copied)
    thread.join()
    assert said in caplog.text
    assert same(copied, done)


# -------------------------------------------------------------------------------------------------- what is refused


def test_the_folder_of_a_run_is_no_place(tmp_path: Path) -> None:
    (tmp_path / "experiment.yaml").write_text("")
    with pytest.raises(ValueError, match="is the folder of a run; name another for a sweep"):
        run_sweep(two(), tmp_path)


def test_a_newer_version_has_been_here(copied: Path) -> None:
    told = read_json(copied / "sweep.json")
    (copied / "sweep.json").write_text(json.dumps({**told, "schema": 2}))
    with pytest.raises(ValueError, match=r"sweep.json: schema 2, this version reads 1"):
        run_sweep(two(), copied)


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"stages.cleanclip.method.batch_size": [8, 64]}, "cleanclip batch_size=64.method.batch_size: 64 is more than"),
        ({"attack.target": ["mushroom", "mushrom"]}, "mushrom"),
    ],
)  # fmt: skip
def test_nothing_begins_before_all_points_are_checked(axes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        run_sweep(parse_sweep({"experiment": plain(), "axes": axes}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_too_small_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import bezoar.experiment.sweep_cost

    monkeypatch.setattr(bezoar.experiment.sweep_cost, "free_bytes", lambda path: 1000)
    with pytest.raises(OSError, match=r"needs about 0\.1 GB, 0\.0 GB are free"):
        run_sweep(two(), tmp_path / "out")


def test_ranks_and_jobs_are_not_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="jobs: 2 stages cannot run side by side on 2 ranks"):
        run_sweep(two(), tmp_path, jobs=2)
