"""Loss curves: what is drawn, and how long logs are averaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.report.handmade import WHOLE, make_run, seeded

from bezoar.report.losses import loss_curves, losses
from bezoar.report.reading import read_run


def line(step: int, **changes: Any) -> dict[str, Any]:
    return {"stage": "victim", "seed": 0, "step": step, "pass": "all", "terms": {"a": 1.0 * step}, **changes}


def test_loss_curves_by_stage_seed_and_term() -> None:
    lines = [line(9), line(19), line(9, seed=1), line(9, stage="control", terms={"a": 3.0, "b": 4.0})]
    assert loss_curves(lines) == {
        ("victim", 0, "a"): ([9, 19], [9, 19]),
        ("victim", 1, "a"): ([9], [9]),
        ("control", 0, "a"): ([9], [3]),
        ("control", 0, "b"): ([9], [4]),
    }


def test_terms_of_several_passes_are_told_apart() -> None:
    curves = loss_curves([line(9), line(19, **{"pass": "safe"})])
    assert list(curves) == [("victim", 0, "all: a"), ("victim", 0, "safe: a")]


@pytest.mark.parametrize(("count", "kept"), [(1, 1), (160, 160), (161, 81), (1600, 160), (1601, 146)])
def test_long_logs_are_averaged_down(count: int, kept: int) -> None:
    ((steps, values),) = loss_curves([line(step) for step in range(count)]).values()
    assert len(steps) == len(values) == kept
    assert values == pytest.approx(steps)
    width = -(-count // kept)
    assert sum(steps[:-1]) * width + sum(range(width * (kept - 1), count)) == pytest.approx(sum(range(count)))


def test_losses_of_a_stage(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, {**WHOLE, **seeded(WHOLE, 1)}, seeds=[0, 1]))
    plot = losses(run, run.groups["cleanclip"], "here")
    assert plot
    assert (plot.name, plot.label) == ("here", "Loss of cleanclip over its steps")
    axes = plot.figure.axes[0]
    assert len(axes.lines) == 4
    assert np.asarray(axes.lines[0].get_xydata()).tolist() == [[9.0, 5.0], [19.0, 2.5]]
    assert axes.get_legend_handles_labels()[1] == ["contrastive"]


def test_a_stage_without_steps_has_no_losses(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, {}))
    assert losses(run, run.groups["victim"], "losses") is None
