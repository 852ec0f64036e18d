"""The page: whole, offline, deaf to hostile text, and with every number of the tables."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from tests.report.handmade import WHOLE, Measured, add_plan, add_stage, make_run, preview_row, seeded

from bezoar.report import page
from bezoar.report.markdown import cells
from bezoar.report.reading import read_run
from bezoar.report.tables import every_epoch, last_epochs, table

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> {{ 7 * 7 }} ' \" &amp; </style>"
VOID = {"meta", "img", "link", "br", "hr", "input"}


class Reader(HTMLParser):
    """Tags, attributes and text; it fails where elements are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def attributes(self, *names: str) -> list[str]:
        return [value or "" for _, found in self.tags for name, value in found.items() if name in names]


def whole(folder: Path, measured: Measured = WHOLE, **changes: Any) -> Path:
    make_run(folder, measured, **changes)
    add_plan(folder)
    add_stage(folder, "victim")
    return folder


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a whole run."""
    return page.html(read_run(whole(tmp_path_factory.mktemp("whole"))))


@pytest.fixture(scope="module")
def reader(text: str) -> Reader:
    return Reader(text)


def test_write_makes_page_and_table(tmp_path: Path) -> None:
    folder = whole(tmp_path / "run")
    assert page.write(folder) == folder / "report.html"
    assert (folder / "table.md").read_text("utf-8").startswith("# by hand\n")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    out = tmp_path / "elsewhere" / "one.html"
    assert page.write(folder, out) == out
    assert out.read_bytes() == (folder / "report.html").read_bytes()
    assert out.with_suffix(".md").read_bytes() == (folder / "table.md").read_bytes()
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_what_is_no_run_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a run folder"):
        page.write(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_page_goes_to_an_html_file(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", {})
    (tmp_path / "folder.html").mkdir()
    for name in ("page.md", "page", "folder.html"):
        with pytest.raises(ValueError, match=r"out: must be an \.html file"):
            page.write(folder, tmp_path / name)


def test_the_page_needs_no_network(text: str, reader: Reader) -> None:
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", text)
    assert not {tag for tag, _ in reader.tags} & {"script", "link", "iframe", "object", "embed", "form", "base"}
    assert reader.attributes("src")
    assert all(value.startswith("data:image/png;base64,") for value in reader.attributes("src", "srcset", "poster"))
    assert all(value.startswith("#") for value in reader.attributes("href", "xlink:href", "action"))
    assert not [name for _, found in reader.tags for name in found if name.startswith("on")]


def test_the_policy_forbids_all_but_styles_and_pictures(reader: Reader) -> None:
    policy = next(found["content"] for _, found in reader.tags if found.get("http-equiv") == "Content-Security-Policy")
    assert policy
    assert [part.strip() for part in policy.split(";")] == [
        "default-src 'none'", "style-src 'unsafe-inline'", "img-src data:", "base-uri 'none'", "form-action 'none'"
    ]  # fmt: skip


def test_ids_and_references_agree(reader: Reader) -> None:
    ids = reader.attributes("id")
    assert len(ids) == len(set(ids))
    assert {value[1:] for value in reader.attributes("href")} <= set(ids)


def test_every_picture_has_words_and_every_scrolling_region_a_name(reader: Reader) -> None:
    assert all(found.get("alt") for tag, found in reader.tags if tag == "img")
    assert all(found.get("aria-label") for tag, found in reader.tags if tag == "svg" or found.get("role") == "region")
    frame = ("header", "h1", "main", "footer")
    assert tuple(tag for tag, _ in reader.tags if tag in frame) == frame


@pytest.mark.parametrize("seeds", [[0], [0, 1]])
def test_every_number_of_the_tables_is_on_the_page(tmp_path: Path, seeds: list[int]) -> None:
    measured = {**WHOLE, **seeded(WHOLE, 1, 0.013)} if len(seeds) > 1 else WHOLE
    run = read_run(whole(tmp_path, measured, seeds=seeds))
    words = Reader(page.html(run)).text.replace("\u00a0", " ")
    rows = [*table(run), *last_epochs(run), *every_epoch(run)]
    assert len(rows) == {1: 4 + 5 + 10, 2: 12 + 10 + 20}[len(seeds)]
    for row in rows:
        group, _, _, *rest = cells(row)
        for part in re.split(r"[(),;]", " ; ".join((group, *rest)).replace("\u00a0", " ")):
            assert part.strip() in words
    document = page.document(run).replace("\u00a0", " ")
    for row in rows:
        assert cells(row)[4].replace("\u00a0", " ") in document


def test_captions_are_text(tmp_path: Path) -> None:
    folder = make_run(tmp_path, {("victim", 0, 2): WHOLE["victim", 0, 2]}, about=HOSTILE)
    add_plan(folder, rows=[{**preview_row(HOSTILE, HOSTILE), "id": HOSTILE}])
    text = page.html(read_run(folder))
    reader = Reader(text)
    assert reader.text.count(" ".join(HOSTILE.split())) >= 3
    assert not {tag for tag, _ in reader.tags} & {"script", "iframe"}
    assert "onerror" not in {name for _, found in reader.tags for name in found}
    assert f"Clean picture of pair {HOSTILE}" in reader.attributes("alt")
    assert "{{ 7 * 7 }}" in text


def test_a_hand_made_experiment_cannot_break_out(tmp_path: Path) -> None:
    """Names in a run folder from a stranger need not be those that an experiment would take."""
    folder = whole(tmp_path)
    for name in ("experiment.yaml", "records.jsonl", "steps.jsonl"):
        text = (folder / name).read_text("utf-8").replace("finetune", "<b onload=x>&").replace("contrastive", "<i>$_^")
        (folder / name).write_text(text, "utf-8")
    reader = Reader(page.html(read_run(folder)))
    assert "<b onload=x>&" in reader.text
    assert not {"b", "i"} & {tag for tag, _ in reader.tags}


def test_the_same_run_gives_the_same_page(tmp_path: Path, text: str) -> None:
    assert page.html(read_run(whole(tmp_path))) == text


@pytest.mark.parametrize("stages", [(), ("victim",), ("victim", "control", "finetune")])
def test_half_a_run_has_a_page(tmp_path: Path, stages: tuple[str, ...]) -> None:
    measured = {key: values for key, values in WHOLE.items() if key[0] in stages}
    reader = Reader(page.html(read_run(make_run(tmp_path, measured))))
    assert f"The run is not finished: {len(stages)} of 5 stages are done" in reader.text
    assert ("Nothing has been measured yet." in reader.text) == (not stages)


def test_a_run_without_attack_or_environment_has_a_page(tmp_path: Path) -> None:
    clean = {key: (values[0], None, values[2], None) for key, values in WHOLE.items()}
    stages = [{"name": "clip", "pairs": "train", "method": {"kind": "clip", "epochs": 2}}]
    folder = make_run(tmp_path, {("clip", 0, 2): clean["victim", 0, 2]}, stages, attack=None)
    (folder / "environment.json").unlink()
    reader = Reader(page.html(read_run(folder)))
    assert "not measured" in reader.text
    assert "plane" not in reader.attributes("id")


def test_how_to_do_it_again(tmp_path: Path) -> None:
    folder = whole(tmp_path, seeds=[0, 5])
    words = Reader(page.html(read_run(folder))).text
    for part in ("bezoar run experiment.yaml --out DIR", "0123456789ab", "Seeds 0, 5", "87.5", "25.0", "12.5", "90 s"):
        assert part in words.replace("\u00a0", " ")
    assert " ".join((folder / "experiment.yaml").read_text("utf-8").split()) in words


def test_other_measures_are_in_the_long_tables(tmp_path: Path) -> None:
    import dataclasses

    from bezoar.core.records import read_records, write_records

    folder = whole(tmp_path)
    found = read_records(folder / "records.jsonl")
    more = [dataclasses.replace(r, metric="recall_at_5", value=0.4321) for r in found if r.metric == "accuracy_top1"]
    write_records(folder / "records.jsonl", [*found, *more])
    words = Reader(page.html(read_run(folder))).text.replace("\u00a0", " ")
    assert "recall at 5" in words
    assert "43.2 %" in words


def test_a_summary_is_table_and_sentences(tmp_path: Path) -> None:
    text = page.summary(whole(tmp_path / "a"))
    assert text.startswith("Model")
    assert "- “victim”, trained on the poisoned pairs" in text
    assert page.summary(make_run(tmp_path / "b", {})).startswith("- The run is not finished")
