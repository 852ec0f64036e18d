"""A sweep on the workers of a local Ray cluster; without Ray, one line says what is missing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.experiment.test_run import facts, weights
from tests.experiment.test_sweep_run import two
from tests.tiny import same

from bezoar.core.records import read_records
from bezoar.experiment.on_ray import Ray
from bezoar.experiment.sweep import parse_sweep
from bezoar.experiment.sweep_run import run_sweep


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"^on: ray needs Ray: pip install 'bezoar\[ray\]'$"):
        Ray(two().base)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of two cores in this machine."""
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, num_gpus=0, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_its_workers_give_the_same(cluster: Any, tmp_path: Path) -> None:
    with Ray(two().base) as hands:
        assert hands.jobs == 2
        run_sweep(two(), tmp_path / "ray", hands=hands)
    assert cluster.is_initialized()  # it was not ours to leave
    run_sweep(two(), tmp_path / "here")
    theirs, ours = weights(tmp_path / "ray"), weights(tmp_path / "here")
    assert theirs.keys() == ours.keys()
    assert all(same(theirs[name], ours[name]) for name in ours)
    found = [facts(read_records(tmp_path / name / "records.jsonl")) for name in ("ray", "here")]
    assert found[0] == found[1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_an_error_comes_through_as_it_is(cluster: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^jobs: must be at least 1, got 0$"):
        Ray(two().base, 0)
    greedy = parse_sweep({**two().plain, "experiment": {**two().plain["experiment"], "threads": 3}})
    with pytest.raises(ValueError, match="on: ray: the cluster has not what one training asks for"):
        Ray(greedy.base)
