"""A round of evaluation of a micro model: evaluators that share one sweep over the pictures and their features against
each on its own, and a zero-shot head from large batches of prompts of one length against one class at a time. One
thread, processor time.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from bezoar.attacks.base import Threat
from bezoar.attacks.triggers import Patch
from bezoar.data import SceneClasses
from bezoar.data.prepared import Prepared
from bezoar.data.prompts import fill
from bezoar.evaluation import AttackSuccess, Context, LabeledImages, ZeroShot, looks_of
from bezoar.evaluation.base import wordings
from bezoar.evaluation.pictures import Look
from bezoar.models.clip import create
from bezoar.training.precision import autocast_for

EVALUATORS = (ZeroShot(), AttackSuccess(), ZeroShot(templates="plain"), AttackSuccess(templates="plain"))


def medians(works: list[Callable[[], object]], rounds: int) -> list[float]:
    """Seconds of each, which take turns."""
    took: list[list[float]] = [[] for _ in works]
    for _ in range(rounds + 1):
        for work, times in zip(works, took, strict=True):
            began = time.process_time()
            work()
            times.append(time.process_time() - began)
    return [statistics.median(times[1:]) for times in took]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default="micro-cnn-32")
    given = parser.parse_args()
    torch.set_num_threads(1)
    model = create(given.model).eval()
    labeled, threat = SceneClasses(count=given.count).open(), Threat(Patch(), "mushroom")

    def context(looks: tuple[Look, ...]) -> Context:
        sets = {"test": LabeledImages(labeled, Prepared(labeled, model.frame))}
        return Context(sets=sets, threat=threat, autocast=autocast_for("auto", model.device), looks=looks)

    def together() -> None:
        shared = context(looks_of(EVALUATORS, threat))
        for evaluator in EVALUATORS:
            evaluator.evaluate(model, shared)

    def apart() -> None:
        for evaluator in EVALUATORS:
            evaluator.evaluate(model, context(()))

    one, other = medians([apart, together], given.rounds)
    print(
        f"{len(EVALUATORS)} evaluators, {given.count} pictures: each alone {one:.2f} s, together {other:.2f} s, "
        f"ratio {one / other:.2f}"
    )

    def by_class() -> Tensor:
        round_, rows = context(()), []
        with torch.no_grad(), round_.autocast():
            for name in labeled.classes:
                prompts = [fill(wording, name) for wording in wordings("openai", labeled, "test")]
                rows.append(F.normalize(model.encode_captions(prompts).mean(0), dim=0))
        return torch.stack(rows)

    def at_once() -> Tensor:
        return context(()).head(model, "test", "openai")

    away = float((by_class().float() - at_once()).abs().max())
    one, other = medians([by_class, at_once], given.rounds)
    print(
        f"head of {len(labeled.classes)} classes, 80 prompts each: class by class {one:.2f} s, at once {other:.2f} s, "
        f"ratio {one / other:.2f}, largest difference {away:.1e}"
    )


if __name__ == "__main__":
    main()
