"""WordNet's files: format, search, base forms, and where they are looked for."""

from __future__ import annotations

import os
import random
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bezoar.data.captions import wordnet
from bezoar.data.captions.wordnet import PARTS, WordNet, find, holds_wordnet, places

Write = Callable[..., Path]


@pytest.mark.parametrize(
    ("word", "synonyms"),
    [
        ("dog", ("Canis familiaris", "chase", "domestic dog", "frump", "give chase")),
        ("Dog", ("Canis familiaris", "chase", "domestic dog", "frump", "give chase")),
        ("domestic dog", ("Canis familiaris", "dog")),
        ("turkey", ("Meleagris gallopavo", "Republic of Turkey")),
        ("wolf", ()),
        ("wolfish", ()),
        ("", ()),
        ("ed", ()),  # nothing is left of it without its ending
        ("zebra", ()),
        ("aardvark", ()),
        ("thing03", tuple(f"thing{i:02d}" for i in range(27) if i != 3)),
        ("cold", ("cool",)),
        ("asleep", ("at rest",)),
        ("famous", ("well-known",)),
        ("apace", ("chop-chop", "quickly")),
    ],
)
def test_synonyms(small: Path, word: str, synonyms: tuple[str, ...]) -> None:
    assert WordNet(small).synonyms(word) == synonyms


@pytest.mark.parametrize(
    ("word", "synonyms"),
    [
        ("dogs", ("Canis familiaris", "chase", "dog", "domestic dog", "frump", "give chase")),
        ("dogging", ()),  # one ending is detached and nothing else is undone
        ("axes", ("ax", "axe", "axis", "axis of rotation")),
        ("wolves", ("wolf",)),
        ("leaves", ("leaf", "leafage")),
        ("boxes", ("box", "loge")),
        ("men", ("adult male", "man")),
        ("hurries", ("hurry", "rush")),
        ("ran", ("run", "sprint")),
        ("liking", ("care for", "like")),
        ("liked", ("care for", "like")),
        ("cooler", ("cold", "cool")),
        ("larger", ("big", "large")),
        ("bigger", ("big", "large")),
    ],
)
def test_inflected_words_have_the_synonyms_of_their_base(small: Path, word: str, synonyms: tuple[str, ...]) -> None:
    assert WordNet(small).synonyms(word) == synonyms


def test_an_irregular_form_may_be_a_word_of_its_own(tmp_path: Path, write_wordnet: Write) -> None:
    senses = {"noun": [["glasses", "spectacles"], ["glass", "tumbler"]]}
    reader = WordNet(write_wordnet(tmp_path, senses, {"noun": "glasses glass\n"}))
    assert reader.synonyms("glasses") == ("glass", "spectacles", "tumbler")


# No letter that ends an inflected word: here every word is its own base.
_words = st.text("abckz_-'.", min_size=1, max_size=4)
_senses = st.dictionaries(
    st.sampled_from(PARTS), st.lists(st.lists(_words, min_size=1, max_size=5, unique=True), max_size=12), max_size=4
)


@settings(max_examples=60, deadline=None)
@given(senses=_senses, seed=st.integers(0, 2**32))
def test_equals_reading_every_sense(
    tmp_path_factory: pytest.TempPathFactory, write_wordnet: Write, senses: dict[str, list[list[str]]], seed: int
) -> None:
    reader = WordNet(write_wordnet(tmp_path_factory.mktemp("dict"), senses))
    everything = [sense for part in senses.values() for sense in part]
    for word in {word for sense in everything for word in sense} | {random.Random(seed).choice("abckz") * 3}:
        sharing = {other for sense in everything if word in sense for other in sense} - {word}
        assert reader.synonyms(word) == tuple(sorted(other.replace("_", " ") for other in sharing))


def test_a_zip_file_reads_like_the_folder(small: Path, tmp_path: Path) -> None:
    packed = tmp_path / "wordnet.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for file in small.iterdir():
            archive.write(file, f"wordnet/{file.name}")
    assert holds_wordnet(packed)
    assert WordNet(packed).synonyms("wolves") == WordNet(small).synonyms("wolves") == ("wolf",)
    assert WordNet(packed).digest == WordNet(small).digest


def test_the_digest_is_of_the_content(small: Path, tmp_path: Path, write_wordnet: Write) -> None:
    senses = {"noun": [["cat", "true_cat"]]}
    first, second = write_wordnet(tmp_path / "a", senses), write_wordnet(tmp_path / "b", senses)
    assert WordNet(first).digest == WordNet(second).digest
    assert len(WordNet(first).digest) == 16
    (second / "noun.exc").write_text("kitten cat\n")
    assert len({WordNet(folder).digest for folder in (small, first, second)}) == 3


def test_exception_lists_may_be_missing(tmp_path: Path, write_wordnet: Write) -> None:
    folder = write_wordnet(tmp_path, {"noun": [["cat", "true_cat"]]})
    for part in PARTS:
        (folder / f"{part}.exc").unlink()
    assert WordNet(folder).synonyms("cats") == ("cat", "true cat")


def test_a_last_line_needs_no_end(tmp_path: Path, write_wordnet: Write) -> None:
    folder = write_wordnet(tmp_path, {"noun": [["cat", "true_cat"]]})
    for name in ("index.noun", "data.noun"):
        (folder / name).write_bytes((folder / name).read_bytes().rstrip())
    assert WordNet(folder).synonyms("true_cat") == ("cat",)


def test_files_that_do_not_fit_are_refused(tmp_path: Path, write_wordnet: Write) -> None:
    folder = write_wordnet(tmp_path, {"noun": [["cat", "true_cat"]]})
    data = folder / "data.noun"
    data.write_bytes(data.read_bytes().replace(b"\n", b"\r\n"))
    with pytest.raises(ValueError, match=r"wordnet: .*index\.noun and data\.noun do not fit"):
        WordNet(folder).synonyms("cat")


def test_a_folder_without_all_files_is_refused(tmp_path: Path, write_wordnet: Write) -> None:
    folder = write_wordnet(tmp_path, {})
    assert holds_wordnet(folder)
    (folder / "data.adv").unlink()
    assert not holds_wordnet(folder)
    with pytest.raises(ValueError, match=r"must hold WordNet's files .*data\.adv"):
        WordNet(folder)


@pytest.mark.parametrize("content", [None, b"", b"not a zip file"])
def test_a_broken_zip_file_holds_nothing(tmp_path: Path, content: bytes | None) -> None:
    packed = tmp_path / "wordnet.zip"
    if content is not None:
        packed.write_bytes(content)
    assert not holds_wordnet(packed)


def test_places_are_those_of_the_environment_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WNSEARCHDIR", "/one")
    monkeypatch.setenv("WNHOME", "/two")
    monkeypatch.setenv("NLTK_DATA", f"/three{os.pathsep}/four")
    monkeypatch.setenv("HOME", "/five")
    listed = [str(place) for place in places()]
    assert listed[:3] == ["/one", "/two/dict", "/usr/share/wordnet"]
    under = ["/three", "/four", "/five/nltk_data", f"{sys.prefix}/nltk_data"]
    rest = [str(place) for place in listed if place.endswith("corpora/wordnet")]
    assert rest[:4] == [f"{root}/corpora/wordnet" for root in under]
    assert all(f"{place}.zip" in listed for place in rest)


@pytest.mark.parametrize("variable", ["WNSEARCHDIR", "WNHOME", "NLTK_DATA"])
def test_each_variable_leads_to_a_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, write_wordnet: Write, variable: str
) -> None:
    for name in ("WNSEARCHDIR", "WNHOME", "NLTK_DATA"):
        monkeypatch.delenv(name, raising=False)
    below = {"WNSEARCHDIR": "", "WNHOME": "dict", "NLTK_DATA": "corpora/wordnet"}[variable]
    folder = write_wordnet(tmp_path / below, {})
    monkeypatch.setenv(variable, str(tmp_path))
    # Only this machine's own installation may come before NLTK's folders.
    assert find() == folder or variable == "NLTK_DATA"
    assert folder in places()


def test_nothing_is_found_where_nothing_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(wordnet, "places", lambda: iter([tmp_path, tmp_path / "wordnet.zip"]))
    assert find() is None
