"""EDA: the four operations, how often each is drawn, and the captions that must survive it."""

from __future__ import annotations

import itertools
import logging
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bezoar.core.seeds import stream_seed
from bezoar.core.settings import validate
from bezoar.data.captions import CAPTION_VIEWS, CaptionView, eda, wordnet
from bezoar.data.captions.eda import OPERATIONS, STOP_WORDS, Eda, Operation, reduce
from bezoar.data.captions.wordnet import WordNet

relaxed = settings(deadline=None)

Write = Callable[..., Path]
Install = Callable[[Path, Path], Path]

CAPTION = "The big dog ran quickly to a cat!"
WORDS = ["the", "big", "dog", "ran", "quickly", "to", "a", "cat"]
SYNONYMS = {
    "big": ["large"],
    "dog": ["canis familiaris", "chase", "domestic dog", "frump", "give chase"],
    "ran": ["run", "sprint"],
    "quickly": ["apace", "chop chop"],
    "cat": ["true cat"],
}
LETTERLESS = ["", " ", "   ", "\t\n", "123", "12 + 3", "…", "''", "一只狗在跑", "собака бежит", "犬", "🐕", "日本 2024"]

captions = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from([*WORDS, "wolves", "Dogs,", "well-known", "42", "犬"]), max_size=14).map(" ".join),
)
seeds = st.integers(0, 2**63 - 1)


def one(operation: Operation, wordnet: Path | str = "none", **shares: float) -> Eda:
    return validate(Eda, {"operations": [operation], "wordnet": str(wordnet), **shares})


def drawn(view: Eda, caption: str = CAPTION, count: int = 400) -> Counter[str]:
    return Counter(view.apply(caption, seed) for seed in range(count))


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without WordNet."""
    monkeypatch.setattr(eda, "find", lambda: None)


# ------------------------------------------------------------------------------------------------- the operations


def replacements() -> dict[str, list[str]]:
    """Each text that replacing any words of WORDS can give, with the words that are replaced in it."""
    choices = [[word, *SYNONYMS.get(word, ())] for word in WORDS]
    return {
        " ".join(text): [word for word, new in zip(WORDS, text, strict=True) if word != new]
        for text in itertools.product(*choices)
    }


def test_synonym_reaches_each_replacement_of_one_word(small: Path) -> None:
    assert set(drawn(one("synonym", small))) == {text for text, gone in replacements().items() if len(gone) == 1}


def test_synonym_chooses_the_words_equally(small: Path) -> None:
    made_by = replacements()
    hits = Counter(made_by[text][0] for text in drawn(one("synonym", small), count=2000).elements())
    # Chi-square with four degrees of freedom: 23.5 is passed by chance once in ten thousand.
    assert sum((hits[word] - 400) ** 2 / 400 for word in SYNONYMS) < 23.5


def test_synonym_replaces_a_word_at_all_its_places(small: Path) -> None:
    assert set(drawn(one("synonym", small), "big and big")) == {"large and large"}


@pytest.mark.parametrize(("share", "count"), [(0.0, 1), (0.1, 1), (0.3, 2), (0.5, 4), (1.0, 5)])
def test_synonym_replaces_a_share_of_the_words(small: Path, share: float, count: int) -> None:
    made_by = replacements()
    assert {len(made_by[text]) for text in drawn(one("synonym", small, alpha_synonym=share), count=50)} == {count}


def test_synonym_leaves_function_words_alone(tmp_path: Path, write_wordnet: Write) -> None:
    folder = write_wordnet(tmp_path, {"adv": [["the", "yonder"]], "noun": [["cat", "puss"]]})
    assert set(drawn(one("synonym", folder, alpha_synonym=1.0), "the cat")) == {"the puss"}
    assert "the yonder cat" in drawn(one("insert", folder), "the cat")


def test_a_synonym_that_reduces_to_the_word_is_none(tmp_path: Path, write_wordnet: Write) -> None:
    folder = write_wordnet(tmp_path, {"noun": [["mr", "Mr.", "mister"], ["fox", "42"]]})
    assert set(drawn(one("synonym", folder), "Mr Fox", count=50)) == {"mister fox"}


def test_insert_reaches_each_synonym_at_each_place(small: Path) -> None:
    expected = {
        " ".join([*WORDS[:place], synonym, *WORDS[place:]])
        for synonym in itertools.chain(*SYNONYMS.values())
        for place in range(len(WORDS) + 1)
    }
    assert set(drawn(one("insert", small), count=3000)) == expected


def test_insert_adds_a_share_of_the_words(tmp_path: Path, write_wordnet: Write) -> None:
    view = one("insert", write_wordnet(tmp_path, {"noun": [["cat", "puss"]]}), alpha_insert=0.5)
    for text in drawn(view, "one cat two dogs four cows"):
        assert Counter(text.split()) == {**dict.fromkeys(("one", "cat", "two", "dogs", "four", "cows"), 1), "puss": 3}


def test_swap_reaches_each_pair_of_places_equally() -> None:
    expected = set()
    for i, j in itertools.combinations(range(len(WORDS)), 2):
        words = list(WORDS)
        words[i], words[j] = words[j], words[i]
        expected.add(" ".join(words))
    texts = drawn(one("swap"), count=2800)
    assert set(texts) == expected
    # Chi-square with 27 degrees of freedom: 62 is passed by chance less than once in five thousand.
    assert sum((texts[text] - 100) ** 2 / 100 for text in expected) < 62


@relaxed
@given(caption=captions, seed=seeds, share=st.floats(0, 1))
def test_swap_keeps_the_words(caption: str, seed: int, share: float) -> None:
    text = one("swap", alpha_swap=share).apply(caption, seed)
    assert Counter(reduce(text)) == Counter(reduce(caption))


@relaxed
@given(caption=captions, seed=seeds, share=st.floats(0, 1))
def test_delete_leaves_some_of_the_words_in_their_order(caption: str, seed: int, share: float) -> None:
    rest = iter(reduce(caption))
    words = reduce(one("delete", p_delete=share).apply(caption, seed))
    assert all(word in rest for word in words)
    assert bool(words) == bool(reduce(caption))


def test_delete_drops_each_word_equally_often() -> None:
    texts = drawn(one("delete", p_delete=0.3), count=2000)
    for word in WORDS:
        kept = sum(count for text, count in texts.items() if word in text.split())
        assert abs(kept / 2000 - 0.7) < 0.05, word


def test_delete_of_everything_keeps_any_one_word() -> None:
    assert set(drawn(one("delete", p_delete=1.0))) == set(WORDS)


def test_delete_of_nothing_keeps_all() -> None:
    assert set(drawn(one("delete", p_delete=0.0), count=20)) == {" ".join(WORDS)}


# ------------------------------------------------------------------------------------------------------ the draw


def operation_of(text: str) -> str:
    """Which operation made ``text`` of WORDS, where synonyms are single words and deletion drops at least one."""
    words = text.split()
    if set(words) < set(WORDS):
        return "delete"
    if sorted(words) == sorted(WORDS):
        return "swap"
    return "insert" if len(words) > len(WORDS) else "synonym"


def test_operations_are_equally_likely(tmp_path: Path, write_wordnet: Write) -> None:
    folder = write_wordnet(tmp_path, {"adj": [["big", "large"]], "noun": [["dog", "hound"]]})
    view = Eda(wordnet=str(folder), p_delete=0.9)
    hits = Counter(operation_of(text) for text in drawn(view, count=4000).elements())
    assert sum(hits.values()) == 4000
    # Chi-square with three degrees of freedom: 21.1 is passed by chance once in ten thousand.
    assert sum((hits[operation] - 1000) ** 2 / 1000 for operation in OPERATIONS) < 21.1, hits


def test_without_wordnet_the_other_two_are_equally_likely() -> None:
    hits = Counter(operation_of(text) for text in drawn(Eda(wordnet="none", p_delete=0.9), count=2000).elements())
    assert set(hits) == {"swap", "delete"}
    assert abs(hits["swap"] - 1000) < 100


DECLIP = {"kind": "eda", "operations": ["synonym", "swap", "delete"], "alpha_synonym": 0, "alpha_swap": 0}


def declip(wordnet: Path | str) -> CaptionView:
    """DeCLIP's view of a caption, as it is written in a file."""
    return CAPTION_VIEWS.parse({**DECLIP, "wordnet": str(wordnet)})


def test_declip_is_one_of_three_equally_likely(tmp_path: Path, write_wordnet: Write) -> None:
    folder = write_wordnet(tmp_path, {"adj": [["big", "large"]], "noun": [["dog", "hound"]]})
    view = CAPTION_VIEWS.parse({**DECLIP, "wordnet": str(folder), "p_delete": 0.9})
    hits = Counter(operation_of(view.apply(CAPTION, seed)) for seed in range(3000))
    assert set(hits) == {"synonym", "swap", "delete"}
    # Chi-square with two degrees of freedom: 18.4 is passed by chance once in ten thousand.
    assert sum((count - 1000) ** 2 / 1000 for count in hits.values()) < 18.4, hits


def test_declip_changes_one_word_of_a_caption_of_any_length(small: Path) -> None:
    caption = " ".join(f"{word}{letter * 3}" for word in "klmno" for letter in "abcdefghij") + " quickly big ran"
    words, view, found = caption.split(), declip(small), Counter[str]()
    for seed in range(300):
        text = view.apply(caption, seed).split()
        gone, moved = (Counter(words) - Counter(text)).total(), sum(map(str.__ne__, words, text))
        if text == words or Counter(text) < Counter(words):
            found["delete"] += 1
        elif gone == 0:
            assert moved == 2
            found["swap"] += 1
        else:
            assert gone == 1
            found["synonym"] += 1
    assert min(found[operation] for operation in ("delete", "swap", "synonym")) > 60


@relaxed
@given(epoch=st.integers(0, 1000), pair=st.sampled_from(["a", "b", "c"]), number=st.integers(0, 2))
def test_frozen_is_the_draw_of_epoch_0_in_every_epoch(epoch: int, pair: str, number: int) -> None:
    def text(view: Eda, epoch: int) -> str:
        return view.apply(CAPTION, stream_seed(7, "caption view", view.drawn_in(epoch), pair, number))

    fresh, frozen = Eda(wordnet="none"), Eda(wordnet="none", frozen=True)
    assert text(frozen, epoch) == text(fresh, 0)


def test_frozen_captions_and_views_still_differ_from_each_other() -> None:
    def texts(view: Eda, epoch: int) -> list[str]:
        names = [(pair, number) for pair in "abcdefgh" for number in range(2)]
        return [view.apply(CAPTION, stream_seed(7, "caption view", view.drawn_in(epoch), *name)) for name in names]

    fresh, frozen = Eda(wordnet="none"), Eda(wordnet="none", frozen=True)
    assert len({tuple(texts(frozen, epoch)) for epoch in range(6)}) == 1
    assert len({tuple(texts(fresh, epoch)) for epoch in range(6)}) == 6
    assert len(set(texts(frozen, 5))) > 8


@pytest.mark.parametrize("wordnet", ["small", "none"])
def test_same_seed_same_caption(small: Path, wordnet: str) -> None:
    view = Eda(wordnet=str(small) if wordnet == "small" else wordnet)
    once = [view.apply(CAPTION, seed) for seed in range(100)]
    eda._synonyms.cache_clear()
    assert [view.apply(CAPTION, seed) for seed in reversed(range(100))] == once[::-1]
    assert len(set(once)) > 20


def test_a_few_results_are_pinned(small: Path) -> None:
    assert [one(operation, small).apply(CAPTION, 7) for operation in OPERATIONS] == [
        "the big dog ran quickly to a true cat",
        "give chase the big dog ran quickly to a cat",
        "the big ran dog quickly to a cat",
        "the big ran to a cat",
    ]


def test_no_global_state_is_touched(small: Path) -> None:
    before = random.getstate()
    drawn(Eda(wordnet=str(small)), count=50)
    assert random.getstate() == before


# ------------------------------------------------------------------------------------------------ the odd captions


@pytest.mark.parametrize("caption", LETTERLESS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_caption_without_words_comes_back(small: Path, caption: str, operation: Operation) -> None:
    assert set(drawn(one(operation, small), caption, count=10)) == {caption}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_single_word_survives(small: Path, operation: Operation) -> None:
    texts = set(drawn(one(operation, small, p_delete=1.0), "Wolf.", count=20))
    assert texts == {"wolf"}  # no synonym, no partner to swap with, nothing that may be deleted


@relaxed
@given(caption=captions, seed=seeds)
def test_the_result_is_reduced_words_or_the_caption_itself(small: Path, caption: str, seed: int) -> None:
    text = Eda(wordnet=str(small), p_delete=0.9).apply(caption, seed)
    if reduce(caption):
        assert text
        assert text == " ".join(reduce(text))
    else:
        assert text == caption


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A Dog's life", ["a", "dogs", "life"]),
        ("the dog\N{RIGHT SINGLE QUOTATION MARK}s well-known\ttail\n", ["the", "dogs", "well", "known", "tail"]),
        ("café №5, 2 cats", ["caf", "no", "cats"][::2]),
        ("<end_of_text>", ["end", "of", "text"]),
    ],
)
def test_reduction(text: str, words: list[str]) -> None:
    assert reduce(text) == words


@relaxed
@given(text=st.text())
def test_reduction_equals_going_letter_by_letter(text: str) -> None:
    kept = ""
    for letter in text.lower():
        if letter not in "'\N{RIGHT SINGLE QUOTATION MARK}":
            kept += letter if letter in "abcdefghijklmnopqrstuvwxyz" else " "
    assert reduce(text) == kept.split()


def test_function_words_are_reduced_words() -> None:
    assert all(reduce(word) == [word] for word in STOP_WORDS)
    assert STOP_WORDS.isdisjoint(SYNONYMS)


# --------------------------------------------------------------------------------------------- where WordNet lies


def test_auto_finds_it(monkeypatch: pytest.MonkeyPatch, small: Path) -> None:
    monkeypatch.setenv("WNSEARCHDIR", str(small))
    resource = Eda().resources()["wordnet"]
    assert resource is not None
    assert resource.path == str(small)
    assert resource.digest == WordNet(small).digest
    assert drawn(Eda()) == drawn(Eda(wordnet=str(small)))


def folder_of_debian(root: Path, source: Path) -> Path:
    return shutil.copytree(source, root / "usr/share/wordnet")


def folder_of_nltk(root: Path, source: Path) -> Path:
    return shutil.copytree(source, root / "nltk_data/corpora/wordnet")


def zip_of_nltk(root: Path, source: Path) -> Path:
    place = shutil.copytree(source, root / "packed/wordnet")
    (root / "nltk_data/corpora").mkdir(parents=True)
    return Path(shutil.make_archive(str(root / "nltk_data/corpora/wordnet"), "zip", place.parent, "wordnet"))


@pytest.mark.parametrize("install", [folder_of_debian, folder_of_nltk, zip_of_nltk])
def test_an_installed_wordnet_is_found_and_used(
    tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, install: Install
) -> None:
    for name in ("WNSEARCHDIR", "WNHOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NLTK_DATA", "/nltk_data")
    # A machine of the test's own, whatever this one has installed.
    monkeypatch.setattr(wordnet, "places", lambda known=wordnet.places: (tmp_path / str(at)[1:] for at in known()))
    place = install(tmp_path, small)
    assert Eda().resources()["wordnet"] == (str(place), WordNet(small).digest)
    assert drawn(Eda()) == drawn(Eda(wordnet=str(small))) == drawn(Eda(wordnet=str(place)))
    assert not caplog.records


@pytest.mark.usefixtures("nowhere")
def test_without_it_one_warning_says_how_to_get_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        texts = drawn(Eda(p_delete=0.9))
        assert Eda(alpha_swap=0.2).resources() == Eda(frozen=True).resources() == {"wordnet": None}
        Eda(operations=("synonym", "swap", "delete")).apply("another caption", 1)
    (record,) = caplog.records
    assert record.name == "bezoar.data.captions.eda"
    for hint in ("synonym and insert", "apt install", "nltk.downloader wordnet", "WNSEARCHDIR", "field wordnet"):
        assert hint in record.getMessage()
    assert {operation_of(text) for text in texts} == {"swap", "delete"}
    assert texts == drawn(Eda(p_delete=0.9, wordnet="none"))


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("view", [Eda(wordnet="none"), Eda(operations=("swap", "delete"))])
def test_nobody_is_warned_who_wants_no_synonyms(view: Eda, caplog: pytest.LogCaptureFixture) -> None:
    view.apply(CAPTION, 0)
    assert view.resources() == {}
    assert not caplog.records


@pytest.mark.usefixtures("nowhere")
def test_without_it_synonyms_alone_are_refused() -> None:
    view = Eda(operations=("insert", "synonym"))
    message = r"wordnet: is 'auto' and WordNet was not found, and operations \('insert', 'synonym'\) all need synonyms"
    with pytest.raises(ValueError, match=message):
        view.apply(CAPTION, 0)
    with pytest.raises(ValueError, match=message):
        view.resources()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"wordnet": "none", "operations": ["synonym"]}, r"wordnet: is 'none', and operations .* all need synonyms"),
        ({"wordnet": "/no/such/folder"}, r"view\.wordnet: '/no/such/folder' does not hold .*choices: auto, none"),
        ({"operations": []}, r"view\.operations: must name at least one operation"),
        ({"operations": ["swap", "swap"]}, r"view\.operations: .* each once, got \('swap', 'swap'\)"),
        ({"operations": ["shuffle"]}, r"view\.operations\.0: .*'synonym', 'insert', 'swap' or 'delete'.*'shuffle'"),
        ({"alpha_swap": 1.5}, r"view\.alpha_swap: .*less than or equal to 1.*1\.5"),
        ({"p_delete": -0.1}, r"view\.p_delete: .*greater than or equal to 0"),
        ({"alpha": 0.1}, r"unknown key 'alpha'"),
    ],
)
def test_mistakes_are_refused_by_name(data: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate(Eda, data, "view")


def test_the_defaults_are_those_of_the_paper_and_the_systems() -> None:
    view = Eda()
    assert (view.alpha_synonym, view.alpha_insert, view.alpha_swap, view.p_delete) == (0.1, 0.1, 0.1, 0.1)
    assert view.operations == ("synonym", "insert", "swap", "delete")
    assert view.wordnet == "auto"
