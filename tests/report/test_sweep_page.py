"""The page of a sweep: whole, offline, deaf to hostile text, with every number of its tables."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from tests.report.sweeping import LR, VICTIM, cleaning, made, records, store, victims, work
from tests.report.test_page import HOSTILE, Reader

from bezoar.core.files import write_json
from bezoar.report import sweep_page
from bezoar.report.sweep_choice import across, within
from bezoar.report.sweep_page import html, only_sweep, write_page
from bezoar.report.sweep_tables import TABLES, brief, document, summary
from bezoar.report.sweeps import Swept, read_sweep


def two(**changes: Any) -> Swept:
    works, found = victims()
    return made(works, found, **{"seeds": [0, 1], **changes})


@pytest.fixture(scope="module")
def text() -> str:
    return html(two(), by=[LR])


def words(page: str) -> str:
    return " ".join(" ".join(Reader(page).words).split())


def test_the_page_loads_nothing(text: str) -> None:
    reader = Reader(text)
    assert not {tag for tag, _ in reader.tags} & {"link", "iframe", "img", "object", "embed", "base", "form"}
    for _, attributes in reader.tags:
        assert all(not (value or "").startswith(("http", "//")) for value in attributes.values())
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text


def test_ids_are_there_once_and_references_lead_somewhere(text: str) -> None:
    ids = [attributes["id"] for _, attributes in Reader(text).tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = [a["href"] for _, a in Reader(text).tags if (a.get("href") or "").startswith("#")]
    assert {reference[1:] for reference in wanted if reference} <= set(ids)


def test_every_number_of_the_table_is_on_the_page(text: str) -> None:
    sweep, said = two(), words(text)
    for line in brief(summary(sweep, across), sweep).lines:
        for cell in line[5:]:
            for part in re.split(r" \(|\)$", cell):
                assert " ".join(part.split()) in said


def test_it_has_figure_table_and_axes(text: str) -> None:
    said = words(text)
    for found in ("In short", "Accuracy against attack success", f"By {LR}", "victim lr 0.0001", "What would be chosen",
                  "victim → victim+a", "What the axes do", "Pareto fronts", "ASR drop, points"):  # fmt: skip
        assert found in said
    assert "What is missing" not in said
    assert text.count("<svg") > 10
    assert "92.1" not in said
    assert "(a defender’s choice)" in said


def test_the_same_sweep_gives_the_same_page(text: str) -> None:
    assert html(two(), by=[LR]) == text


def test_each_seed_by_itself() -> None:
    assert "for each seed by itself" in words(html(two(), within))


def test_what_is_missing_is_said() -> None:
    works, found = victims()
    works[2] = {**works[2], "failed": {"1": "the loss is not finite at step 3"}}
    kept = [[r for r in part if r.metric != "asr_top1" or not r.stage.startswith("other")] for part in found]
    said = words(html(made(works, kept, seeds=[0, 1, 2])))
    assert "No numbers of victim+a lr=0.0001, seed 1: the loss is not finite at step 3." in said
    assert "Not finished: 10 of 10 stages lack a seed at least." in said
    assert "No attack success was measured of what cleans other: it has no panel." in said


@pytest.mark.parametrize("classes", [{}, {"test": 10}])
def test_a_sweep_of_nothing_has_a_page(classes: dict[str, int]) -> None:
    said = words(html(made([VICTIM, cleaning(**{LR: 1})], [], classes=classes)))
    assert "nothing was measured on both splits" in said
    assert "Nothing has been measured yet." in words(html(made([], [])))


def test_hostile_names_are_text(tmp_path: Path) -> None:
    victim = work(HOSTILE, poisoned=True, axes={HOSTILE: HOSTILE})
    cleaned = [work(f"{HOSTILE}c", start=0, axes={HOSTILE: HOSTILE, LR: lr}) for lr in (1, 2)]
    parts = [records(one, 1, validation=(0.6, 0.2), test=(0.6, 0.2)) for one in (victim, *cleaned)]
    sweep = made([victim, *cleaned], parts, name=HOSTILE, about=HOSTILE, notes=[HOSTILE])
    reader = Reader(html(sweep, by=[HOSTILE]))
    assert [tag for tag, _ in reader.tags].count("script") == 1
    assert not [a for _, a in reader.tags if any(name.startswith("on") for name in a)]
    assert "img" not in {tag for tag, _ in reader.tags}
    store(tmp_path, [victim, *cleaned], parts, name=HOSTILE)
    assert write_page(tmp_path).name == "report.html"


def test_pages_and_tables_go_into_the_folder(tmp_path: Path) -> None:
    works, found = victims()
    folder = store(tmp_path / "sweep", works, found, seeds=[0, 1])
    (folder / "sweep.yaml").write_text("name: hand\nexperiment: quickstart\n")
    write_json(folder / "environment.json", {"schema": 1, "git": "abc1234", "packages": {"torch": "2.15"}})
    assert write_page(folder) == folder / "report.html"
    assert all((folder / name).is_file() for name in TABLES)
    said = words((folder / "report.html").read_text())
    assert "experiment: quickstart" in said
    assert "abc1234" in said
    assert "torch\u00a02.15" in " ".join(Reader((folder / "report.html").read_text()).words)


def test_or_where_it_is_told(tmp_path: Path) -> None:
    works, found = victims()
    folder = store(tmp_path / "sweep", works, found, seeds=[0, 1])
    assert write_page(folder, tmp_path / "page.html", ["lr"]) == tmp_path / "page.html"
    assert (tmp_path / "page.md").read_text() == document(read_sweep(folder), across)
    assert not (folder / "summary.md").exists()
    with pytest.raises(ValueError, match=r"^out: must be an \.html file"):
        write_page(folder, tmp_path / "page.txt")
    with pytest.raises(ValueError, match=r"^by: no axis is called 'lt'"):
        write_page(folder, by=["lt"])
    with pytest.raises(ValueError, match=r"is not the folder of a sweep"):
        write_page(tmp_path)


def test_a_sweep_is_reported_alone(tmp_path: Path) -> None:
    one, other = (store(tmp_path / name, [VICTIM], []) for name in ("one", "other"))
    run = tmp_path / "run"
    run.mkdir()
    assert only_sweep([one]) == one
    assert only_sweep([one, one]) == one
    assert only_sweep([run, run]) is None
    assert only_sweep([]) is None
    for folders in ([one, run], [run, one], [one, other]):
        with pytest.raises(ValueError, match=r"is the folder of a sweep, which is reported alone; got 2 folders"):
            only_sweep(folders)


def test_a_page_that_would_be_too_big_says_what_it_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = html(two())
    monkeypatch.setattr(sweep_page, "LIMIT", len(whole) - 1)
    lean = html(two())
    assert "<circle cx" in whole
    assert "this page leaves out what the plots would tell of each point" in lean
    monkeypatch.setattr(sweep_page, "LIMIT", 1000)
    with pytest.raises(ValueError, match=r"^sweep: it makes a page of"):
        html(two())


def test_many_arms_are_folded() -> None:
    works = [VICTIM, *(work("c", start=0, axes={"left": left}) for left in range(13))]
    parts = [records(one, 1, validation=(0.5, 0.2), test=(0.5, 0.2)) for one in works]
    page = html(made(works, parts))
    assert "13 arms" in words(page)
    assert "victim → c, cleanclip" not in words(page)
