"""Trainings of a sweep by the workers of a Ray cluster, which see the folder of the sweep as this machine does."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Any

from bezoar.core.progress import Listener, silent

if TYPE_CHECKING:
    from bezoar.experiment.experiment import Experiment
    from bezoar.experiment.sweep_works import Share


class Ray:
    """A connection to a cluster; each training asks it for the experiment's cores, and for a GPU where it uses one."""

    def __init__(self, experiment: Experiment, jobs: int | None = None) -> None:
        """Connect to the cluster that ``RAY_ADDRESS`` names, or to the one that this machine is part of.

        Raises ``ValueError`` where Ray is not installed, no cluster is reachable, or it has not what a training needs.
        """
        from bezoar.models.clip import pick_device

        try:
            import ray
        except ImportError:
            raise ValueError("on: ray needs Ray: pip install 'bezoar[ray]'") from None
        if jobs is not None and jobs < 1:
            raise ValueError(f"jobs: must be at least 1, got {jobs}")
        self.ray: Any = ray
        self.ours = not ray.is_initialized()
        if self.ours:
            where = os.environ.get("RAY_ADDRESS") or "auto"
            try:
                ray.init(address=where, log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, RuntimeError, ValueError) as error:
                said = str(error).splitlines()[0]
                raise ValueError(f"on: ray: no cluster at '{where}' ({said}); `ray start --head` begins one") from None
        self.asks = {
            "num_cpus": experiment.threads + experiment.workers,
            "num_gpus": 1 if pick_device(experiment.device).type == "cuda" else 0,
        }
        there = ray.cluster_resources()
        kinds = {"num_cpus": "CPU", "num_gpus": "GPU"}
        fits = [int(there.get(kinds[name], 0) // count) for name, count in self.asks.items() if count]
        self.jobs = min([*fits, *([jobs] if jobs is not None else [])])
        if self.jobs < 1:
            self.close()
            raise ValueError(f"on: ray: the cluster has not what one training asks for: {self.asks}")

    def __enter__(self) -> Ray:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Leave a cluster that was connected to here; what still trains there for this process ends."""
        if self.ours:
            self.ray.shutdown()

    def start(self, work: Callable[[Share, Listener], None], job: Share) -> Future[None]:
        """Have one training done; its own error comes through. Steps are not told, only that it is over."""
        task = self.ray.remote(max_retries=0, **self.asks)(_work)
        told = Future[None]()

        def hear(found: Future[None]) -> None:
            error = found.exception()
            if error is not None:
                told.set_exception(getattr(error, "cause", None) or error)
            else:
                told.set_result(None)

        task.remote(work, job).future().add_done_callback(hear)
        return told


def _work(work: Callable[[Share, Listener], None], job: Share) -> None:
    work(job, silent)
