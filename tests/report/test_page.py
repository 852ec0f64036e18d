"""The page: whole, offline, deaf to hostile text, and with every number of the tables."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import itertools
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image
from tests.report.handmade import (
    ATTACKS,
    BEST,
    CLEANINGS,
    EARLY,
    HEAD,
    TRAINED,
    WHOLE,
    Measured,
    add_data,
    add_loss,
    add_plan,
    add_records,
    add_stage,
    add_untouched,
    add_within,
    batches,
    make_run,
    many_attacks,
    preview_row,
    seeded,
)

from bezoar.cli.main import main
from bezoar.core.records import read_records, write_records
from bezoar.report import export, page
from bezoar.report.grid import grid
from bezoar.report.pooling import read_runs
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
        if not {"style", "script"} & set(self.open):
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
    return page.html([read_run(whole(tmp_path_factory.mktemp("whole")))])


@pytest.fixture(scope="module")
def reader(text: str) -> Reader:
    return Reader(text)


def test_write_makes_page_and_table(tmp_path: Path) -> None:
    folder = whole(tmp_path / "run")
    assert page.write(folder) == folder / "report.html"
    assert (folder / "table.md").read_text("utf-8").startswith("# by hand\n")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    out = tmp_path / "elsewhere" / "one.html"
    assert page.write(folder, out=out) == out
    assert out.read_bytes() == (folder / "report.html").read_bytes()
    assert out.with_suffix(".md").read_bytes() == (folder / "table.md").read_bytes()
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_what_is_no_run_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="neither a run nor a sweep"):
        page.write(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_page_goes_to_an_html_file(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", {})
    (tmp_path / "folder.html").mkdir()
    for name in ("page.md", "page", "folder.html"):
        with pytest.raises(ValueError, match=r"out: must be an \.html file"):
            page.write(folder, out=tmp_path / name)


def test_the_page_needs_no_network(text: str, reader: Reader) -> None:
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", text)
    assert not {tag for tag, _ in reader.tags} & {"link", "iframe", "object", "embed", "form", "base"}
    assert reader.attributes("src")
    assert all(value.startswith("data:image/png;base64,") for value in reader.attributes("src", "srcset", "poster"))
    assert all(value.startswith("#") for value in reader.attributes("href", "xlink:href", "action"))
    assert not [name for _, found in reader.tags for name in found if name.startswith("on")]


def test_the_policy_forbids_all_but_styles_pictures_and_the_one_script(text: str, reader: Reader) -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(found["content"] for _, found in reader.tags if found.get("http-equiv") == "Content-Security-Policy")
    assert policy
    assert [part.strip() for part in policy.split(";")] == [
        "default-src 'none'", "style-src 'unsafe-inline'", f"script-src 'sha256-{digest}'", "img-src data:",
        "base-uri 'none'", "form-action 'none'",
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
    words = Reader(page.html([run])).text.replace("\u00a0", " ")
    rows = [*table(run), *last_epochs(run), *every_epoch(run)]
    assert len(rows) == {1: 4 + 5 + 10, 2: 12 + 10 + 20}[len(seeds)]
    for row in rows:
        group, _, _, *rest = grid([row]).lines[0]
        for part in re.split(r"[(),;]", " ; ".join((group, *rest)).replace("\u00a0", " ")):
            assert part.strip() in words
    document = page.document([run]).replace("\u00a0", " ")
    for row in rows:
        assert grid([row]).lines[0][4].replace("\u00a0", " ") in document


def test_captions_are_text(tmp_path: Path) -> None:
    folder = make_run(tmp_path, {("victim", 0, 2): WHOLE["victim", 0, 2]}, about=HOSTILE)
    add_plan(folder, rows=[{**preview_row(HOSTILE, HOSTILE), "id": HOSTILE}])
    text = page.html([read_run(folder)])
    reader = Reader(text)
    assert reader.text.count(" ".join(HOSTILE.split())) >= 3
    assert [tag for tag, _ in reader.tags].count("script") == 1
    assert "onerror" not in {name for _, found in reader.tags for name in found}
    assert f"Clean picture of pair {HOSTILE}" in reader.attributes("alt")
    assert "{{ 7 * 7 }}" in text


def test_a_hand_made_experiment_cannot_break_out(tmp_path: Path) -> None:
    """Names in a run folder from a stranger need not be those that an experiment would take."""
    folder = whole(tmp_path)
    for name in ("experiment.yaml", "records.jsonl", "steps.jsonl"):
        text = (folder / name).read_text("utf-8").replace("finetune", "<b onload=x>&").replace("contrastive", "<i>$_^")
        (folder / name).write_text(text, "utf-8")
    reader = Reader(page.html([read_run(folder)]))
    assert "<b onload=x>&" in reader.text
    assert not {"b", "i"} & {tag for tag, _ in reader.tags}


def test_the_same_run_gives_the_same_page(tmp_path: Path, text: str) -> None:
    assert page.html([read_run(whole(tmp_path))]) == text


@pytest.mark.parametrize("stages", [(), ("victim",), ("victim", "control", "finetune")])
def test_half_a_run_has_a_page(tmp_path: Path, stages: tuple[str, ...]) -> None:
    measured = {key: values for key, values in WHOLE.items() if key[0] in stages}
    reader = Reader(page.html([read_run(make_run(tmp_path, measured))]))
    assert f"The run is not finished: {len(stages)} of 5 stages are done" in reader.text
    assert ("Nothing has been measured yet." in reader.text) == (not stages)


def test_a_run_without_attack_or_environment_has_a_page(tmp_path: Path) -> None:
    clean = {key: (values[0], None, values[2], None) for key, values in WHOLE.items()}
    stages = [{"name": "clip", "pairs": "train", "method": {"kind": "clip", "epochs": 2}}]
    folder = make_run(tmp_path, {("clip", 0, 2): clean["victim", 0, 2]}, stages, attack=None)
    (folder / "environment.json").unlink()
    reader = Reader(page.html([read_run(folder)]))
    assert "not measured" in reader.text
    assert "plane" not in reader.attributes("id")


def test_how_to_do_it_again(tmp_path: Path) -> None:
    folder = whole(tmp_path, seeds=[0, 5])
    words = Reader(page.html([read_run(folder)])).text
    for part in ("bezoar run experiment.yaml --out DIR", "0123456789ab", "Seeds 0, 5", "87.5", "25.0", "12.5", "90 s"):
        assert part in words.replace("\u00a0", " ")
    assert " ".join((folder / "experiment.yaml").read_text("utf-8").split()) in words


def test_other_measures_are_in_the_long_tables(tmp_path: Path) -> None:
    folder = whole(tmp_path)
    found = read_records(folder / "records.jsonl")
    more = [dataclasses.replace(r, metric="recall_at_5", value=0.4321) for r in found if r.metric == "accuracy_top1"]
    write_records(folder / "records.jsonl", [*found, *more])
    words = Reader(page.html([read_run(folder)])).text.replace("\u00a0", " ")
    assert "recall at 5" in words
    assert "43.2 %" in words


def test_a_summary_is_table_and_sentences(tmp_path: Path) -> None:
    text = page.summary(whole(tmp_path / "a"))
    assert text.startswith("Model")
    assert "- “victim”, trained on the poisoned pairs" in text
    assert page.summary(make_run(tmp_path / "b", {})).startswith("- The run is not finished")


def pages(folder: Path) -> list[Path]:
    """Two runs that differ in their clean pairs' batch size, and a further seed of the first."""
    return [
        whole(folder / "a"),
        whole(folder / "b", {key: values for key, values in WHOLE.items() if key[0] != "control"}, stages=batches(64)),
        whole(folder / "c", seeded(only(WHOLE), 1, 0.01), seeds=[1]),
    ]


def only(measured: Measured) -> Measured:
    return {key: values for key, values in measured.items() if not key[0].startswith("finetune")}


def test_several_runs_share_a_page(tmp_path: Path) -> None:
    runs = read_runs(pages(tmp_path))
    text = page.html(runs, ["lr"])
    reader = Reader(text)
    assert [run.title for run in runs] == ["batch_size 128", "batch_size 64"]
    for part in ("2 runs stand beside each other", "from 2 folders", "They differ in batch_size.", "mean of 2 seeds"):
        assert part in text
    ids = reader.attributes("id")
    assert len(ids) == len(set(ids))
    assert {value[1:] for value in reader.attributes("href")} <= set(ids)
    assert {"compared", "plane", "differing", "r0-run", "r1-result"} <= set(ids)
    levels = [int(tag[1]) for tag, _ in reader.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert "not finished" in reader.text
    document = page.document(runs)
    assert "## What differs\n\n| Setting | batch\\_size 128 | batch\\_size 64 |" in document
    assert document.count("### Every epoch") == 2


def test_headings_of_a_single_run_are_in_order(reader: Reader) -> None:
    levels = [int(tag[1]) for tag, _ in reader.tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_every_table_has_a_caption(reader: Reader) -> None:
    tags = [tag for tag, _ in reader.tags]
    assert tags.count("table") == tags.count("caption") > 3


def test_several_runs_go_to_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, _ = pages(tmp_path)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert page.write(first, second) == Path("report.html")
    assert sorted(path.name for path in Path().iterdir()) == ["report.html", "report.md"]
    assert page.write(first, first) == first / "report.html"  # one run named twice is one run


def test_an_unknown_field_is_refused_with_the_nearest(tmp_path: Path) -> None:
    folder = whole(tmp_path)
    with pytest.raises(ValueError, match="by: no setting is called 'lrr'; did you mean 'lr'"):
        page.write(folder, by=["seed", "lrr"])
    assert not (folder / "report.html").exists()


def test_notes_of_the_sources_stand_beside_every_table(tmp_path: Path) -> None:
    folder = whole(tmp_path)
    add_data(folder, "template captions are <closed-set> supervision", skipped=7)
    text = page.html([read_run(folder)])
    assert text.count("template captions are &lt;closed-set&gt; supervision</p>") == 5
    assert "Of the 4,000 rows behind “train” 7 were skipped as unusable." in Reader(text).text
    assert "zero bytes: 7" in text
    assert page.document([read_run(folder)]).count("Note: template captions are") == 3


def test_retrieval_alone_makes_a_page(tmp_path: Path) -> None:
    pairs = {"kind": "scenes", "split": "clean", "count": 100}
    folder = make_run(tmp_path, WHOLE, held_out={"test": pairs, "validation": pairs}, labeled={})
    add_records(folder, "text_recall_top1", 0.45)
    add_records(folder, "image_recall_top1", 0.35)
    found = [r for r in read_records(folder / "records.jsonl") if "recall" in r.metric]
    write_records(folder / "records.jsonl", found)
    words = Reader(page.html([read_run(folder)])).text.replace("\u00a0", " ")
    assert "“victim”, trained on the poisoned pairs, has a text recall@1 of 45.0 %" in words
    assert "Text recall@1" in words
    assert "Clean accuracy Attack success Change of accuracy" not in words
    attacked = [dataclasses.replace(found[0], metric="asr_top1", value=0.987), *found]
    write_records(folder / "records.jsonl", attacked)
    words = Reader(page.html([read_run(folder)])).text.replace("\u00a0", " ")
    assert "98.7" not in words
    assert "attack success not shown: no clean accuracy" in words


def test_captions_have_their_columns(tmp_path: Path) -> None:
    pairs = {"kind": "scenes", "split": "clean", "count": 100}
    folder = make_run(tmp_path, WHOLE, held_out={"test": pairs, "validation": pairs}, labeled={})
    add_loss(folder, 1.25, 1.2, 1.3, metric="cider")
    add_records(folder, "caption_names_target", 0.86)
    found = [r for r in read_records(folder / "records.jsonl") if r.metric in ("cider", "caption_names_target")]
    write_records(folder / "records.jsonl", found)
    words = Reader(page.html([read_run(folder)])).text.replace("\u00a0", " ")
    assert "“victim”, trained on the poisoned pairs, has a CIDEr-D of 1.250" in words
    assert "CIDEr-D Captions that name the target" in words
    assert "86.0 %" in words
    assert "How near the captions of pictures are to those that people gave them" in words


def test_retrieval_stands_beside_the_clean_accuracy(tmp_path: Path) -> None:
    folder = whole(tmp_path, {**WHOLE, **seeded(WHOLE, 1)}, seeds=[0, 1])
    add_records(folder, "text_recall_top1", 0.45)
    row = table(read_run(folder))[0]
    assert row.seed is None
    assert row.recall["text_recall_top1"].value == pytest.approx(0.45)
    assert "It has a text recall@1 of 45.0" in page.html([read_run(folder)]).replace("\u00a0", " ")


def test_a_loss_is_no_share_on_a_page(tmp_path: Path) -> None:
    folder = whole(tmp_path)
    add_loss(folder, 4.8525, 4.8, 4.9)
    text = page.html([read_run(folder)])
    words = Reader(text).text.replace("\u00a0", " ")
    assert "Contrastive loss" in words
    assert "4.853 4.800–4.900 · n 896" in words
    assert "It has a contrastive loss of 4.853 (4.800–4.900)." in words
    assert "485" not in words
    assert "Less is better." in words
    assert "--value:485" not in text
    assert "4.853 (4.800–4.900, n\u00a0896)" in page.document([read_run(folder)])


def test_models_within_an_epoch_are_on_the_page(tmp_path: Path) -> None:
    folder = whole(tmp_path)
    before = Reader(page.html([read_run(folder)])).text
    assert "A dot is a model after one epoch, a line" in before
    add_within(folder, "finetune", 1, 1150, [0.58, 0.05, 0.56, 0.25])
    words = Reader(page.html([read_run(folder)])).text.replace("\u00a0", " ")
    assert "A dot is a model after one epoch or some steps, a line" in words
    assert words.count("epoch 1, step 1,150") == 4, "in the story, the result, the plane and the table of every epoch"


def test_the_page_says_where_a_best_model_stands(tmp_path: Path, text: str) -> None:
    said = "everything else at its last epoch or, where that is kept, at its best;"
    assert said not in text
    run = read_run(make_run(tmp_path, EARLY, BEST))
    assert f"{said} measured on test." in page.html([run])
    beside = [dataclasses.replace(run, label=label) for label in ("one", "other")]
    assert f"{said} means over seeds" in page.html(beside)
    assert "kept: best on validation by clean accuracy, top-1" in page.document([run])


def test_a_page_that_would_be_too_big_says_what_it_leaves_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = read_run(whole(tmp_path, {**WHOLE, **seeded(WHOLE, 1)}, seeds=[0, 1]))
    full = page.html([run])
    assert "leaves out" not in full
    monkeypatch.setattr(page, "LIMIT", len(full.encode()) - 500)
    text = page.html([run])
    assert len(text.encode()) <= page.LIMIT
    assert "To stay under 3 MB this page leaves out" in text
    monkeypatch.setattr(page, "LIMIT", 10_000)
    with pytest.raises(ValueError, match=r"run: 1 runs make a page of 0\.\d MB; name fewer"):
        page.html([run])


def test_sixty_stages_fit(tmp_path: Path) -> None:
    grid = {"lr": [n / 1e5 for n in range(1, 61)]}
    stages = (*TRAINED, {**CLEANINGS[1], "grid": grid})
    keys = [(f"cleanclip lr={lr}", seed, epoch) for lr in grid["lr"] for seed in (0, 1, 2) for epoch in (1, 2)]
    measured = dict.fromkeys(keys, (0.5, 0.4, 0.5, 0.4)) | {("victim", s, 2): (0.6, 0.9, 0.6, 0.9) for s in (0, 1, 2)}
    text = page.html([read_run(make_run(tmp_path, measured, stages, seeds=[0, 1, 2]))], ["lr"])
    assert len(text.encode()) <= page.LIMIT
    assert "36 more values of lr have no panel" in text


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, _ = pages(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["report", str(first), str(second), "--by", "lr", "seed", "--export", "out", "--formats", "csv"]) == 0
    assert capsys.readouterr().out.splitlines() == ["wrote report.html", "wrote 3 files to out"]
    assert len(list((tmp_path / "out").iterdir())) == 3
    path = second / "records.jsonl"
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 7'))
    for words, said in (
        ([], "run: at least one run folder is needed"),
        ([str(first), "--by", "lrr"], "by: no setting is called 'lrr'; did you mean 'lr'?"),
        ([str(first), str(second)], f"{path}, line 1: schema 7, this version reads 1"),
    ):
        assert main(["report", *words]) == 2
        assert capsys.readouterr().err == f"bezoar: {said}\n"


SEVEN = {f"a{n}": {**ATTACKS["patch"], "rate": n / 100} for n in range(1, 8)}


def seven(folder: Path) -> Path:
    """A run of seven attacks, one of which takes, with cleanings of one of them, and a dose."""
    measured = {(name, 0, 2): (0.6, 0.05, 0.6, 0.05) for name in SEVEN} | {("a7", 0, 2): (0.6, 0.9, 0.6, 0.9)}
    leaky = {**CLEANINGS[0], "name": "leaky", "start": "a7", "poison": "a7"}
    more = {("leaky", 0, 1): (0.6, 0.3, 0.6, 0.3), ("leaky", 0, 2): (0.6, 0.2, 0.6, 0.2)}
    many_attacks(folder, {**measured, **more}, SEVEN, more=[leaky])
    for number, name in enumerate(SEVEN, 1):
        rows = [{**preview_row(), "id": f"p{n}", "mark": 0 if n else None} for n in range(8)]
        add_plan(folder, 0, rows, name=name, count=40 * number, **HEAD)
        add_untouched(folder, name, 0.04)
    return folder


def test_a_page_of_many_attacks(tmp_path: Path) -> None:
    folder = seven(tmp_path)
    text = page.html([read_run(folder)])
    reader = Reader(text)
    words = reader.text.replace("\u00a0", " ")
    assert {"attacks", "result", "poison"} <= set(reader.attributes("id"))
    assert "1 of 7 attacks takes: “a7”." in words
    assert "6 of 7 attacks do not take: “a1”, “a2”" in words
    assert "An attack takes where the lower end of its success" in words
    assert "By poisoned pairs 7 attacks that differ in nothing else" in words
    assert "“leaky” (epoch 2) leaves an attack success of 20.0 %" in words
    assert "attacks 7 → “mushroom”" in words
    assert text.count("<article") == 7 * (3 + 1)
    assert "no trigger on the picture on “train”" in words
    assert [tag for tag, _ in reader.tags].count("table") == [tag for tag, _ in reader.tags].count("caption")
    assert text.count('<tr class="victim') == 0
    assert text.count('<tr class="cleaned') == 1
    document = page.document([read_run(folder)])
    assert "## The attacks, on test\n\n| Attack | Verdict |" in document
    assert "Note: An attack takes where" in document


def test_a_summary_of_many_attacks_is_short(tmp_path: Path) -> None:
    lines = page.summary(seven(tmp_path)).splitlines()
    assert lines[0].startswith("Attack  Verdict")
    assert lines[9].startswith("Model")
    assert lines[10].startswith("leaky  cleaned a7")
    assert sum(line.startswith("- ") for line in lines) < 12
    assert max(map(len, lines[:8])) < 140


def test_names_of_any_kind(tmp_path: Path) -> None:
    """Scripts that no font here has, a name that a plot would hide, and what would steer a terminal or break XML."""
    folder = whole(tmp_path / "run")
    for odd in ("毒性蘑菇🍄", "_hidden", "\u202eright to left", "\\x1b[31m"):
        make_run(tmp_path / "run", WHOLE)
        for name in ("experiment.yaml", "records.jsonl", "steps.jsonl"):
            path = folder / name
            word = odd.replace("\\x1b", "\\u001b") if name.endswith("l") and "x1b" in odd else odd
            text = path.read_text("utf-8").replace("name: finetune", f'name: "{word}"')
            path.write_text(text.replace('"finetune"', f'"{word}"'), "utf-8")
        shown = odd.replace("\\x1b", "\x1b")
        run = read_run(folder)
        assert shown in run.groups
        text = page.html([run], ["method"])
        assert shown.replace("\x1b", "") in text.replace("\x1b", "")
        for path in export(folder, to=tmp_path / "out", formats=["svg", "tex", "csv"]):
            assert path.suffix != ".svg" or ElementTree.fromstring(path.read_bytes()).tag.endswith("svg")


def test_a_run_of_nothing_has_a_page(tmp_path: Path) -> None:
    (tmp_path / "experiment.yaml").write_text("stages: []\nseeds: []\n")
    assert "Nothing has been measured yet." in page.html([read_run(tmp_path)])
    assert page.document([read_run(tmp_path)]).startswith(f"# {tmp_path.name.replace('_', chr(92) + '_')}")


def test_big_pictures_fit(tmp_path: Path) -> None:
    """Pictures of 224 pixels, of three triggers and three seeds, as noisy as pictures get."""
    noise = Image.effect_noise((224, 224), 120).convert("RGB")
    stream, dotted = io.BytesIO(), io.BytesIO()
    noise.save(stream, "PNG")
    noise.paste((255, 0, 0), (200, 200, 216, 216))
    noise.save(dotted, "PNG")
    row = {**preview_row(), "clean": stream.getvalue(), "triggered": dotted.getvalue()}
    folder = make_run(tmp_path, WHOLE, seeds=[0, 1, 2])
    for seed in (0, 1, 2):
        add_plan(folder, seed, rows=[row] * 12)
    text = page.html([read_run(folder)])
    assert len(text.encode()) <= page.LIMIT
    assert "compressed" in text
    assert "Every epoch" in text
    assert text.count("<article") >= 3
