"""The parts of a sweep as files: which there are, whole, and the same each time."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests.report.sweeping import store, victims

from bezoar.report.sweep_choice import across
from bezoar.report.sweep_export import export_sweep
from bezoar.report.sweep_tables import document
from bezoar.report.sweeps import read_sweep


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    works, found = victims()
    return store(tmp_path / "sweep", works, found, seeds=[0, 1])


def test_everything(folder: Path, tmp_path: Path) -> None:
    files = export_sweep(folder, tmp_path / "out", by=["lr"])
    assert sorted(path.name for path in files) == sorted([
        *(f"{stem}.{ending}" for stem in ("summary", "front") for ending in ("md", "csv", "tex")),
        *(f"{stem}.{ending}" for stem in ("plane", "plane-by-lr", "axis-lr-victim", "axis-lr-other")
          for ending in ("svg", "png")),
    ])  # fmt: skip
    out = tmp_path / "out"
    assert (out / "summary.md").read_text() == document(read_sweep(folder), across)
    assert "| Victim |" in (out / "front.md").read_text()
    assert r"\toprule" in (out / "summary.tex").read_text()
    rules = {line["rule"] for line in csv.DictReader(io.StringIO((out / "front.csv").read_text()))}
    assert rules == {"Pareto front"}
    for path in out.glob("*.svg"):
        ElementTree.fromstring(path.read_text())
        assert path.stat().st_size < 1_000_000
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in out.glob("*.png"))


def test_the_same_records_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    one, other = (export_sweep(folder, tmp_path / name) for name in ("one", "other"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


def test_only_what_is_asked_for(folder: Path, tmp_path: Path) -> None:
    assert [path.name for path in export_sweep(folder, tmp_path / "tables", ["csv"])] == ["summary.csv", "front.csv"]
    plots = export_sweep(folder, tmp_path / "plots", ["svg"], each_seed=True)
    assert [path.name for path in plots] == ["plane.svg", "axis-lr-victim.svg", "axis-lr-other.svg"]


def test_mistakes_come_before_any_file(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^formats: 'pdf' is none of"):
        export_sweep(folder, tmp_path / "out", ["pdf"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"^by: no axis is called 'nothing'"):
        export_sweep(folder, tmp_path / "out", by=["nothing"])
    assert not (tmp_path / "out").exists()
