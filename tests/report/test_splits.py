"""Splits as a run has left them: which are read, every number in its table, and what is drawn of them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from tests.report.handmade import Measured, add_stage, make_run
from tests.report.splitting import PAIRS, POISON, add_splits

from bezoar.core.records import read_records, write_records
from bezoar.report import export, page, split_plots, views
from bezoar.report.pooling import pooled
from bezoar.report.reading import read_run
from bezoar.report.runs import Run
from bezoar.report.split_plots import BARS, histories, sheets, split_stages
from bezoar.report.split_table import split_grid, split_values
from bezoar.report.splits import METRICS, PANELS, spread
from bezoar.report.views import LEVELS, view

MEASURED: Measured = {("victim", 0, epoch): (0.4, 0.5, 0.41, 0.51) for epoch in range(1, 13)}
STEM = "safe_set.pairs.parquet"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten splits of twelve epochs."""
    folder = make_run(tmp_path_factory.mktemp("run"), MEASURED)
    add_splits(folder, "victim", range(3, 13), at=add_stage(folder, "victim"))
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return read_run(folder)


def test_every_epoch_is_read(run: Run) -> None:
    (found,) = run.splits.values()
    assert [split.point.epoch for split in found] == list(range(3, 13))
    for split in found:
        assert int((split.safe + split.risky).sum()) == PAIRS
        assert split.poison is not None
        assert int(split.poison.sum()) == POISON
        assert split.mixture == [[0.1, 0.1, 0.003], [0.9, 0.3, 0.0025]]


@pytest.mark.parametrize(
    ("count", "most", "shown"),
    [(3, 8, [0, 1, 2]), (9, 8, [0, 1, 2, 3, 5, 6, 7, 8]), (5, 2, [0, 4]), (5, 1, [4]), (0, 8, [])],
)
def test_spread_evenly(count: int, most: int, shown: list[int]) -> None:
    assert list(spread(range(count), most)) == shown


def test_every_split_is_a_line_of_the_table(run: Run) -> None:
    grid = split_grid(run)
    assert grid is not None
    assert [line[:3] for line in grid.lines] == [("victim", "0", str(epoch)) for epoch in range(3, 13)]
    assert grid.head[3:] == ("Safe", "Poison called safe", "Poison in the safe set", "By chance", "AUROC of the cosine")
    lines = list(csv.DictReader(io.StringIO(split_values([run]))))
    written = {(r.epoch, r.metric): r for r in run.records if r.evaluator == "safe_set"}
    assert len(lines) == len(written) == 10 * len(METRICS)
    for line in lines:
        record = written[int(line["epoch"]), line["metric"]]
        assert [float(line[name]) for name in ("value", "low", "high", "n")] == [
            record.value, record.low, record.high, record.n
        ]  # fmt: skip
        assert (line["run"], line["stage"], line["step"]) == ("by hand", "victim", str(10 * record.epoch))
    poison = written[3, "poison_in_safe"]
    assert grid.lines[0][3].startswith("50.0\u00a0% (")
    assert grid.lines[0][5].startswith(f"{100 * poison.value:.3f}\u00a0% (")
    assert grid.lines[0][7].startswith(f"{written[3, 'cosine_auroc'].value:.3f} (")


def test_a_run_without_splits_says_nothing_of_them(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, MEASURED))
    assert split_grid(run) is None
    assert run.splits == {}
    assert histories(run, "", 8) == ()
    assert sheets(run) == {}
    assert "held for safe" not in page.html([run])
    assert "held for safe" not in page.document([run])
    export(tmp_path, to=tmp_path / "out", formats=["md"])
    assert not (tmp_path / "out" / "splits.md").exists()


def test_a_panel_has_the_counts_as_densities(run: Run) -> None:
    (found,) = histories(run, "p-", PANELS)
    assert [when for when, _ in found.panels] == [f"epoch {epoch}" for epoch in (3, 4, 6, 7, 8, 9, 11, 12)]
    assert len({plot.name for _, plot in found.panels} | {found.shares.name}) == PANELS + 1
    axes = found.panels[0][1].figure.axes[0]
    clean, poison = (patch.get_data() for patch in axes.patches if hasattr(patch, "get_data"))
    for bars in (clean, poison):
        assert (bars.values * np.diff(bars.edges)).sum() == pytest.approx(1)
    assert len(clean.values) <= BARS
    assert len(poison.values) < len(clean.values), "few pairs stand in wide bars"
    split = run.splits["victim", 0][0]
    assert split.poison is not None
    centers = (poison.edges[1:] + poison.edges[:-1]) / 2
    mean = (split.bins + 0.5) @ split.poison * split.width / POISON
    assert (centers * poison.values).sum() / poison.values.sum() == pytest.approx(
        mean, abs=np.diff(poison.edges)[0] / 2
    )
    lower, upper = (line for line in axes.lines if len(np.asarray(line.get_xdata())) > 2)
    assert (lower.get_linestyle(), upper.get_linestyle()) == ("--", "-")
    at = np.asarray(upper.get_xdata())[np.asarray(upper.get_ydata()).argmax()]
    assert at == pytest.approx(0.3, abs=0.01)
    spans = {tuple(plot.figure.axes[0].get_xlim()) for _, plot in found.panels}
    assert len(spans) == 1, "all panels have one axis"


def test_the_safe_region_begins_where_most_are_safe(run: Run) -> None:
    (found,) = histories(run, "", PANELS)
    split = run.splits["victim", 0][-1]
    axes = found.panels[-1][1].figure.axes[0]
    begin = min(float(np.asarray(line.get_xdata())[0]) for line in axes.lines if line.get_linestyle() == ":")
    border = float(split.bins[split.safe > split.risky][0] * split.width)
    assert begin == pytest.approx(border, abs=0.02)


def test_shares_over_epochs(run: Run) -> None:
    (found,) = histories(run, "", PANELS)
    upper, lower = found.shares.figure.axes
    values = {
        line.get_label(): dict(zip(np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()), strict=True))
        for axes in (upper, lower)
        for line in axes.lines
    }
    for words, metric in (
        ("held for safe, of all", "safe_share"), ("of the poison", "poison_called_safe"),
        ("poison in the safe set", "poison_in_safe"), ("in all pairs", "poison_in_safe_by_chance"),
    ):  # fmt: skip
        told = {r.epoch: 100 * r.value for r in run.records if r.metric == metric}
        assert values[words] == pytest.approx(told)
    assert len(found.shares.spots) == 4 * 10
    assert found.shares.spots[0].text.startswith("victim, seed 0\nepoch 3\nheld for safe, of all: 50.0\u00a0% (")
    assert histories(run, "", PANELS, every=False)[0].shares.spots == ()


def test_the_page_and_its_levels(folder: Path, run: Run) -> None:
    html = page.html([run])
    assert "What was held for safe" in html
    assert html.count('aria-label="Cosines of the pairs of victim, epoch') == PANELS
    assert "## What was held for safe\n\n| Stage | Seed | Epoch |" in page.document([run])
    assert [thin.panels for thin in LEVELS] == [PANELS] * 3 + [3, 3, 0, 0]
    for thin in (LEVELS[3], LEVELS[5]):
        assert len(view(run, "", (), thin).histories[0][1]) == thin.panels
    assert "some histograms of splits" in LEVELS[3].said(True)
    assert "all histograms of splits" in LEVELS[5].said(True)
    assert "histograms" not in LEVELS[3].said(False)
    assert "poisoned pairs</li>" in html


def test_exports(folder: Path, run: Run, tmp_path: Path) -> None:
    names = {path.name for path in export(folder, to=tmp_path, formats=["md", "csv", "tex", "svg"])}
    assert {"splits.md", "splits.csv", "splits.tex", "cosines-victim.svg", "split-victim.svg"} <= names
    assert (tmp_path / "splits.csv").read_text() == split_values([run])
    assert (
        "clean and poisoned pairs each have an area of 1"
        in sheets(run)["cosines", "victim"].figure.legends[0].get_title().get_text()
    )
    drawn = (tmp_path / "cosines-victim.svg").read_text()
    assert "Cosines of the pairs of victim, split by split" in drawn
    assert len(sheets(run)["cosines", "victim"].figure.axes) == 10, "of every split"


def test_without_a_plan_only_the_share_is_drawn(tmp_path: Path) -> None:
    folder = make_run(tmp_path, MEASURED)
    add_splits(folder, "victim", range(3, 5), at=add_stage(folder, "victim"), known=False)
    run = read_run(folder)
    grid = split_grid(run)
    assert grid is not None
    assert grid.lines[0][4:] == ("–",) * 4
    (found,) = histories(run, "", PANELS)
    assert len(found.shares.figure.axes) == 1
    assert len([p for p in found.panels[0][1].figure.axes[0].patches if hasattr(p, "get_data")]) == 1
    assert run.splits["victim", 0][0].poison is None
    words = [text.get_text() for text in sheets(run)["cosines", "victim"].figure.legends[0].get_texts()]
    assert words[0] == "pairs"
    assert not any("poison" in each or "clean" in each for each in words)
    html = page.html([run])
    assert "</svg>pairs</li>" in html
    assert "poisoned pairs</li>" not in html
    assert "clean and poisoned pairs are drawn on scales" not in html.lower()


def test_without_histograms_there_are_the_shares(tmp_path: Path) -> None:
    """Of a stage that is not finished, or was copied without its scores."""
    folder = make_run(tmp_path, MEASURED)
    add_splits(folder, "victim", range(3, 5))
    (found,) = histories(read_run(folder), "", PANELS)
    assert found.panels == ()
    assert set(sheets(read_run(folder))) == {("split", "victim")}


def test_a_damaged_histogram_is_named(tmp_path: Path) -> None:
    folder = make_run(tmp_path, MEASURED)
    at = add_stage(folder, "victim")
    add_splits(folder, "victim", range(3, 5), at=at)
    (at / "scores" / f"epoch-003.{STEM}").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=rf"epoch-003\.{STEM}: cannot be read"):
        read_run(folder)


def test_seeds_are_pooled_and_the_first_is_drawn(tmp_path: Path) -> None:
    runs = []
    for seed in (0, 1):
        measured = {(stage, seed, epoch): values for (stage, _, epoch), values in MEASURED.items()}
        folder = make_run(tmp_path / str(seed), measured, seeds=[seed])
        add_splits(folder, "victim", range(3, 5), seed, add_stage(folder, "victim", seed))
        runs.append(read_run(folder))
    (both,) = pooled(runs)
    assert set(both.splits) == {("victim", 0), ("victim", 1)}
    (found,) = histories(both, "", PANELS)
    grid = split_grid(both)
    assert grid is not None
    assert [line[:3] for line in grid.lines] == [
        ("victim", seed, epoch) for seed in ("mean", "0", "1") for epoch in ("3", "4")
    ]
    assert grid.lines[0][3].startswith("50.0\u00a0% (")
    assert grid.lines[0][3].endswith("n\u00a02)")
    assert found.seed == 0
    assert len(found.shares.figure.axes[0].lines) == 4


def test_few_stages_are_drawn_on_a_page_and_all_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (split_plots, views):
        monkeypatch.setattr(module, "STAGES", 1)
    grid, method = [0.001, 0.002, 0.003], {"kind": "clip", "epochs": 2}
    stage = {"name": "a", "pairs": "train", "poison": True, "method": method, "grid": {"lr": grid}}
    folder = make_run(tmp_path, {(f"a lr={lr}", 0, 1): (0.4, 0.5, 0.41, 0.51) for lr in grid}, [stage])
    for lr in grid:
        add_splits(folder, f"a lr={lr}", range(1, 2))
    run = read_run(folder)
    assert len(split_stages(run)) == len(sheets(run)) == 3
    assert len(histories(run, "", PANELS)) == 1
    assert "2 more stages that split their pairs are in the table" in page.html([run])


def test_a_split_in_the_middle_of_an_epoch_stands_where_it_was(tmp_path: Path) -> None:
    folder = make_run(tmp_path, MEASURED)
    add_splits(folder, "victim", range(3, 5), at=add_stage(folder, "victim"))
    changed = [
        r if r.evaluator != "safe_set" or r.epoch != 3 else r.__class__(**{**vars(r), "step": 35, "whole": False})
        for r in read_records(folder / "records.jsonl")
    ]
    write_records(folder / "records.jsonl", changed)
    run = read_run(folder)
    found = histories(run, "", PANELS)[0].shares.figure.axes[0].lines[0]
    assert np.asarray(found.get_xdata()).tolist() == [3.5, 4]
    grid = split_grid(run)
    assert grid is not None
    assert grid.lines[0][2] == "3, step 35"
