"""``bezoar sweep``: a file in, a table out; where it runs; mistakes in one line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests import tiny
from tests.cli.conftest import Bezoar
from tests.cli.test_cluster import program
from tests.report.sweeping import store, victims

from bezoar import recipes
from bezoar.cli.sweep import read_sweep
from bezoar.core import yaml
from bezoar.core.records import read_records

AXES: dict[str, Any] = {"stages.finetune.method.lr": [1e-3, 1e-2]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A victim and its fine-tuning at two learning rates; the experiment lies in a file beside the sweep."""
    plain = tiny.experiment()
    (tmp_path / "base.yaml").write_text(yaml.render(plain | {"stages": plain["stages"][:2]}))
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.render({"experiment": "base.yaml", "axes": AXES}))
    return path


def test_a_sweep_ends_in_its_tables(bezoar: Bezoar, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = bezoar("sweep", file, "--out", out, "--jobs", 1)
    assert found.code == 0, found.err
    assert "best accuracy at ASR ≤ 5 %" in found.out
    assert f"sweep   {out}" in found.out
    assert found.out.splitlines()[-1] == f"report  {out / 'report.html'}"
    names = ("summary.md", "summary.csv", "front.csv", "sweep.yaml", "sweep.json", "report.html")
    assert all((out / name).exists() for name in names)
    assert {
        record.axes["stages.finetune.method.lr"] for record in read_records(out / "records.jsonl") if record.axes
    } == {1e-3, 1e-2}
    assert "sweep: " in found.err
    again = bezoar("sweep", out / "sweep.yaml", "--out", out, "--jobs", 1, "--each-seed")
    assert again.code == 0, again.err
    assert "for each seed by itself" in again.out
    assert "steps" not in again.err
    page = bezoar("report", out, "--out", tmp_path / "page.html", "--by", "lr", "--export", tmp_path / "parts")
    assert page.code == 0, page.err
    assert page.out.startswith(f"wrote {tmp_path / 'page.html'}\nwrote ")
    assert (tmp_path / "parts" / "plane-by-lr.svg").exists()
    assert (tmp_path / "parts" / "summary.tex").exists()


def test_the_folder_of_a_sweep_is_reported(bezoar: Bezoar, tmp_path: Path) -> None:
    """Of records alone: neither sweep.yaml nor stages are needed."""
    works, records = victims()
    folder = store(tmp_path / "sweep", works, records, seeds=[0, 1])
    assert bezoar("report", folder) == (0, f"wrote {folder / 'report.html'}\n", "")
    assert "by the mean over seeds" in (folder / "summary.md").read_text()
    assert bezoar("report", folder, "--each-seed").code == 0
    assert "for each seed by itself" in (folder / "summary.md").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("sweep run", "runs: sweep is the folder of a sweep, which is reported alone; got 2 folders"),
        ("sweep --by lrs", "by: no axis is called 'lrs'; did you mean 'lr'?"),
        ("run --each-seed", "each-seed: is for the folder of a sweep"),
        ("sweep --formats svg", "formats: are those of an export: name its folder with --export"),
    ],
)
def test_a_report_that_cannot_be_is_one_line(
    words: str, said: str, bezoar: Bezoar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(tmp_path / "sweep", *victims(), seeds=[0, 1])
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path)
    assert bezoar("report", *words.split()) == (2, "", f"bezoar: {said}\n")


def test_settings_and_seeds_may_be_changed(bezoar: Bezoar, file: Path, tmp_path: Path) -> None:
    words = ("stages.finetune.method.epochs=2", "--seeds", 4, 5, "--dry-run", "--jobs", 1)
    found = bezoar("sweep", file, *words, "--out", tmp_path / "out")
    assert found.code == 0, found.err
    *costs, points, total = found.out.splitlines()
    assert [line.split()[0] for line in costs] == ["victim", "finetune", "finetune"]
    assert points == ("2 points, 3 distinct stages, with 2 seeds 6 trainings, of which 0 are done; 8 without sharing")
    assert total.startswith("in all 32 steps, about ")
    assert total.endswith("MB of disk")
    assert not (tmp_path / "out").exists()


def test_a_recipe_may_be_swept(bezoar: Bezoar, tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.render({"experiment": "quickstrat", "axes": AXES}))
    found = bezoar("sweep", path, "--dry-run")
    assert found.code == 2
    assert found.err.startswith(
        "bezoar: recipe: 'quickstrat' is neither a recipe nor a file; did you mean 'quickstart'?"
    )


def test_sweeps_that_come_with_bezoar_go_by_their_name(bezoar: Bezoar) -> None:
    smaller = ("model=micro-cnn-32-fast", "pairs.train.count=256", "pairs.clean.count=128")
    words = (*smaller, "--seeds", 1, "--dry-run", "--jobs", 1)
    found = bezoar("sweep", "cleaning-scenes", *words)
    assert found.code == 0, found.err
    assert "4 points, 26 distinct stages, with 1 seed 26 trainings" in found.out
    unknown = bezoar("sweep", "cleaning-scene", "--dry-run")
    assert unknown.code == 2
    assert unknown.err.startswith(
        "bezoar: sweep: 'cleaning-scene' is neither a sweep nor a file; did you mean 'cleaning-scenes'?"
    )
    assert "cleaning-scenes  " in bezoar("recipes").out
    assert bezoar("recipes", "cleaning-scenes").out == recipes.sweep_text("cleaning-scenes")


def test_the_example_of_the_page_is_a_sweep(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "sweeps.md").read_text("utf-8")
    path = tmp_path / "sweep.yaml"
    path.write_text(page.partition("```yaml\n")[2].partition("```")[0])
    sweep = read_sweep(str(path), (), None)
    assert (len(sweep.points()), sweep.base.seeds, sweep.choose) == (15, (10, 11, 12), ("lr",))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--spread 2", "spread: needs --on slurm or --on local"),
        ("--on ray --spread 2", "spread: needs --on slurm or --on local"),
        ("--on local --spread 0", "spread: must be at least 1, got 0"),
        ("--on ray --dry-run", "dry-run: is done here: leave out --on ray"),
        ("--on ray --gpus 1", "gpus: needs --on slurm or --on local"),
        ("--jobs 0", "jobs: must be at least 1, got 0"),
        ("--partition x", "partition: needs --on slurm"),
        ("stages.finetune.method.lrr=1", "stages.1.method: unknown key 'lrr'; did you mean 'lr'?"),
        ("stages.finetun.method.lr=1", "stages.finetun: no such entry; did you mean 'finetune'?"),
    ],
)
def test_what_is_refused(words: str, said: str, bezoar: Bezoar, file: Path, tmp_path: Path) -> None:
    found = bezoar("sweep", file, "--out", tmp_path / "out", *words.split())
    assert (found.code, found.out) == (2, "")
    assert found.err.startswith(f"bezoar: {said}")
    assert found.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"stages.1.method.lrr": [1]}, "axes.stages.1.method.lrr: stages.1.method: unknown key 'lrr'; did you mean"),
        ({"stages.finetne.lr": [1]}, "axes.stages.finetne.lr: stages.finetne: no such entry; did you mean 'finetune'?"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("words", [(), ("--dry-run",), ("--on", "local")])
def test_an_axis_that_is_no_setting(
    words: tuple[str, ...], axes: dict[str, Any], said: str, bezoar: Bezoar, file: Path, tmp_path: Path
) -> None:
    """One line, at once, wherever it is to run."""
    file.write_text(yaml.render({"experiment": "base.yaml", "axes": axes}))
    found = bezoar("sweep", file, "--out", tmp_path / "out", *words)
    assert (found.code, found.out) == (2, "")
    assert found.err.startswith(f"bezoar: {said}")
    assert found.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_no_file(bezoar: Bezoar, tmp_path: Path) -> None:
    found = bezoar("sweep", tmp_path / "none.yaml")
    assert found.code == 2
    assert "none.yaml: cannot be read" in found.err


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cluster that takes two jobs, and no third."""
    programs = tmp_path / "programs"
    programs.mkdir()
    counter, ended = tmp_path / "submitted", tmp_path / "cancelled"
    program(
        programs / "sbatch",
        f'echo x >> {counter}; n=$(wc -l < {counter}); [ "$n" -le 2 ] || {{ echo "too many jobs" >&2; exit 1; }}; '
        'echo "Submitted batch job $((4200 + n))"',
    )
    program(programs / "srun", "exit 1")
    program(programs / "scancel", f"echo $1 >> {ended}")
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    return tmp_path


def test_jobs_of_a_cluster_share_a_sweep(bezoar: Bezoar, file: Path, slurm: Path) -> None:
    out = slurm / "out"
    found = bezoar("sweep", file, "--out", out, "--on", "slurm", "--spread", 2, "--gpus", 1)
    assert found.code == 0, found.err
    assert [line for line in found.out.splitlines() if line.startswith("job ")] == [
        "job     4201, 1 rank, 1440 minutes at a time", "job     4202, 1 rank, 1440 minutes at a time",
    ]  # fmt: skip
    (resolved,) = (out / "slurm").glob("*.yaml")
    again = yaml.read(resolved)
    assert again["axes"] == [AXES]
    assert again["experiment"]["stages"][1]["method"]["kind"] == "finetune"  # resolved: base.yaml may change meanwhile


def test_a_cluster_that_refuses_one_has_none(bezoar: Bezoar, file: Path, slurm: Path) -> None:
    found = bezoar("sweep", file, "--out", slurm / "out", "--on", "slurm", "--spread", 3)
    assert found.code == 2
    assert found.err.startswith("bezoar: on: the job was refused: ")
    assert "too many jobs" in found.err
    assert (slurm / "cancelled").read_text().split() == ["4201", "4202"]
