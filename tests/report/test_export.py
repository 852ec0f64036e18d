"""Exports: the right files, each whole, under names that stay in their folder."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image
from tests.report.handmade import ATTACKS, HEAD, WHOLE, add_data, add_plan, make_run, many_attacks, seeded

from bezoar.report.export import export

TABLES = ("result", "last-epochs", "every-epoch")


def test_everything(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", WHOLE)
    add_data(folder, "captions are templates")
    before = sorted(folder.rglob("*"))
    files = export(folder, to=tmp_path / "out", by=["lr"])
    plots = ("plane", "plane-by-lr", "losses-cleanclip")
    names = {f"{name}.{end}" for name in TABLES for end in ("md", "csv", "tex")}
    assert {path.name for path in files} == names | {f"{name}.{end}" for name in plots for end in ("svg", "png")}
    assert sorted(files) == sorted((tmp_path / "out").iterdir())
    assert sorted(folder.rglob("*")) == before
    for path in files:
        content = path.read_bytes()
        if path.suffix == ".svg":
            assert ElementTree.fromstring(content).tag.endswith("svg")
        elif path.suffix == ".png":
            with Image.open(io.BytesIO(content)) as picture:
                assert min(picture.size) > 300
        else:
            assert "captions are templates" in content.decode()
    rows = list(csv.reader(io.StringIO((tmp_path / "out" / "every-epoch.csv").read_text())))
    assert len(rows) == 1 + 2 * len(WHOLE)


def test_several_attacks_have_a_table_and_a_dose(tmp_path: Path) -> None:
    attacks = {f"a{n}": {**ATTACKS["patch"], "rate": n / 100} for n in (1, 2, 3)}
    folder = many_attacks(tmp_path / "run", {(name, 0, 2): (0.6, 0.9, 0.6, 0.9) for name in attacks}, attacks)
    for number, name in enumerate(attacks, 1):
        add_plan(folder, name=name, count=40 * number, survival={"mean": None, "linf": 12.0}, **HEAD)
    files = {path.name: path for path in export(folder, to=tmp_path / "out")}
    assert {"attacks.md", "attacks.csv", "attacks.tex", "dose-poisoned_pairs.svg"} <= set(files)
    assert len(files["attacks.csv"].read_text().splitlines()) == 1 + 3
    tex = files["attacks.tex"].read_text()
    assert r"\label{tab:attacks}" in tex
    assert "Attack & Verdict & Clean accuracy & Attack success & Poisoned" in tex
    assert "L∞" in files["attacks.md"].read_text()
    assert "An attack takes where" in tex
    assert "An attack takes where" in files["attacks.md"].read_text()


def test_only_what_is_asked_for(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", WHOLE)
    assert [path.name for path in export(folder, to=tmp_path / "a", formats=["csv"])] == [f"{n}.csv" for n in TABLES]
    assert {path.suffix for path in export(folder, to=tmp_path / "b", formats=["svg"])} == {".svg"}
    with pytest.raises(ValueError, match="formats: 'pdf' is none of md, csv, tex, svg, png"):
        export(folder, to=tmp_path / "c", formats=["pdf"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="by: no setting is called"):
        export(folder, to=tmp_path / "c", by=["nothing"])
    assert not (tmp_path / "c").exists()


def test_the_same_run_gives_the_same_files(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", WHOLE)
    first, second = (export(folder, to=tmp_path / name) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_names_of_stages_stay_in_the_folder(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", {**WHOLE, **seeded(WHOLE, 1)}, seeds=[0, 1])
    for name in ("experiment.yaml", "records.jsonl", "steps.jsonl"):
        text = (folder / name).read_text("utf-8").replace("cleanclip", "../../cleanclip")
        (folder / name).write_text(text, "utf-8")
    files = export(folder, to=tmp_path / "out", formats=["svg"], by=["stages.finetune.method.lr"])
    assert {path.parent for path in files} == {tmp_path / "out"}
    assert {path.name for path in files} == {
        "plane.svg", "plane-by-stages.finetune.method.lr.svg", "losses-.._.._cleanclip.svg"
    }  # fmt: skip


def test_runs_with_the_same_stages_do_not_overwrite_each_other(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / name, WHOLE, name=name) for name in ("a b", "a_b")]
    names = [path.name for path in export(*folders, to=tmp_path / "out", formats=["svg"])]
    assert len(set(names)) == len(names) == 4
    assert "losses-a_b-cleanclip-2.svg" in names


def test_a_run_without_an_attack_has_tables_and_no_plane(tmp_path: Path) -> None:
    clean = {key: (values[0], None, values[2], None) for key, values in WHOLE.items()}
    names = [path.name for path in export(make_run(tmp_path / "run", clean), to=tmp_path / "out")]
    assert "result.csv" in names
    assert "plane.svg" not in names
