"""A full disk loses nothing that was finished, says what it refused, and with room again the same command goes on."""

from __future__ import annotations

import errno
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.broken import Driver, Whole, contents, equal

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at open files as Linux shows them")

MOMENTS = ("open", "sync", "place")
DERIVED = {
    "experiment.yaml", "environment.json", "data.json", "records.jsonl", "steps.jsonl", "report.html", "table.md",
}  # fmt: skip
"""Written anew by every run."""


def refused(said: str) -> tuple[str, str]:
    """What could not be written and why, from the one line that says so."""
    found = re.fullmatch(r"bezoar: (\S+) cannot be written: (.+)", said.splitlines()[-1])
    assert found, said
    assert "Traceback" not in said
    return found[1], found[2]


@pytest.mark.slow
def test_refused_at_each_write_in_turn(driver: Driver, whole: Whole, tmp_path: Path) -> None:
    """Opening, syncing and renaming in turns; each attempt goes on from the one before."""
    writes = whole[1]["writes"]
    names = [name for i, name in enumerate(writes) if name not in DERIVED or name not in writes[:i]]
    assert len(names) > 25
    for number, name in enumerate(names):
        moment, code = MOMENTS[number % 3], (errno.ENOSPC, errno.EDQUOT)[number % 2]
        before = contents(tmp_path)
        told = driver.run(tmp_path, refuse=name, at=moment, errno=code)
        assert told["status"] == 1, (name, told["said"])
        path, reason = refused(told["said"])
        assert Path(path) == tmp_path / name
        assert re.fullmatch(rf"{os.strerror(code)}; [\d,.]+ MB are free on its disk", reason)
        assert not list(tmp_path.rglob(".*.part"))
        after = contents(tmp_path)
        finished = {file for file in before if Path(file).parts[0] in ("stages", "poison", "prepared")}
        assert {file for file in finished if before[file] != after.get(file)} <= {
            file for file in finished if file.endswith(("training_state", "steps.jsonl"))
        }
    driver.finish(tmp_path)
    assert equal(tmp_path, whole)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("cannot mount a disk here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "nth"),
    [
        ("bezoar.attacks.preview:png", 1),
        ("bezoar.pretraining.clip:ClipPretraining.loss", 2),
        ("bezoar.evaluation.attack_success:AttackSuccess.evaluate", 1),
        ("bezoar.training.saved:write", 2),
        ("bezoar.models.checkpoint:serialize", 1),
        ("bezoar.report:write", 1),
    ],
)
def test_a_disk_that_fills_up(call: str, nth: int, driver: Driver, whole: Whole, disk: Path) -> None:
    """Really full: what writes in C++, and the append to the step log, too."""
    told = driver.run(disk / "run", call=call, nth=nth, fill=str(disk / "filler"))
    assert told["status"] == 1, told["said"]
    path, reason = refused(told["said"])
    assert path.startswith(str(disk / "run"))
    assert reason == "No space left on device; 0.0 MB are free on its disk"
    assert not list(disk.rglob(".*.part"))
    assert driver.run(disk / "run")["status"] == 1, "as long as there is no room"
    (disk / "filler").unlink()
    driver.finish(disk / "run")
    assert equal(disk / "run", whole)


@pytest.mark.slow
def test_a_disk_that_can_only_be_read(driver: Driver, disk: Path) -> None:
    driver.finish(disk / "run")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    told = driver.run(disk / "run")
    assert told["status"] == 2
    assert told["said"].splitlines()[-1] == f"bezoar: out: cannot write to {disk / 'run'}: Read-only file system"
    assert "Traceback" not in told["said"]
