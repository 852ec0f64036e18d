"""SIGINT, SIGTERM and SIGHUP end a run alike: 130, one line that says how to go on, nothing half."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tests.integration.broken import Driver, Whole, equal

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at open files as Linux shows them")
LOSS = "bezoar.pretraining.clip:ClipPretraining.loss"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_it_cleanly(name: str, driver: Driver, whole: Whole, tmp_path: Path) -> None:
    told = driver.run(tmp_path, call=LOSS, nth=5, signal=getattr(signal, name))
    assert told["status"] == 130
    assert told["said"].splitlines()[-1] == "bezoar: interrupted; the same command continues"
    assert "Traceback" not in told["said"]
    assert not list(tmp_path.rglob(".*.part"))
    driver.finish(tmp_path)
    assert equal(tmp_path, whole)


@pytest.mark.slow
def test_in_the_middle_of_a_write(driver: Driver, whole: Whole, tmp_path: Path) -> None:
    told = driver.run(tmp_path, write="*/training_state", moment="half", signal=signal.SIGTERM)
    assert told["status"] == 130
    assert not list(tmp_path.rglob(".*.part"))
    assert not list(tmp_path.rglob("training_state"))
    driver.finish(tmp_path)
    assert equal(tmp_path, whole)


@pytest.mark.slow
def test_nohup_is_kept(driver: Driver, whole: Whole, tmp_path: Path) -> None:
    told = driver.run(tmp_path, call=LOSS, nth=5, signal=signal.SIGHUP, ignored=["SIGHUP"])
    assert told["status"] == 0, told["said"]
    assert equal(tmp_path, whole)
