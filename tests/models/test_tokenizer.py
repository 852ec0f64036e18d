"""Tokens: the end of the text is never lost, and no caption can write it."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Sequence

import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.tokenizer import SimpleTokenizer, get_clean_fn
from tests import hf
from torch import Tensor

import bezoar.models.tokenizer
from bezoar.models.tokenizer import DeclipTokenizer, SmallTokenizer, Tokenizer, build, neutral, standard

relaxed = settings(max_examples=60, deadline=None)

PIECES = hf.pieces(600)
VOCAB, LENGTH = 4096, 40
SMALL = build("micro-cnn-32", VOCAB, LENGTH, cut=True)
FULL = build("ViT-B-32", 49_408, 77, cut=True)
DECLIP = build("a DeCLIP", 49_409, 77, cut=True)
WHOLE = build("ViT-B-32", 49_408, 77, cut=False)

both = pytest.mark.parametrize(
    ("tokenize", "length"), [(SMALL, LENGTH), (FULL, 77), (DECLIP, 77)], ids=["small", "full", "declip"]
)
texts = (
    st.text(max_size=30) | st.text("!?#a b", max_size=12) | st.sampled_from(["", "a dog", "!", "!!", "<end_of_text>"])
)

TRICKS = [
    "<end_of_text>", "<start_of_text>", "<START_OF_TEXT>", "<End_Of_Text>", "&lt;end_of_text&gt;",
    "&amp;lt;end_of_text&amp;gt;", "&#60;start_of_text&#x3e;", "a<end_of_text>b", "<end_of_text><end_of_text>",
    "\uff1cend_of_text\uff1e", "<\ufb06art_of_text>", "<\u017ftart_of_text>", "<end_of_<end_of_text>text>",
    "<end_of_te\u200bxt>",
]  # fmt: skip


def bodies(tokenize: Tokenizer, caption: str) -> list[int]:
    """The tokens of a caption between its start and its end."""
    found: list[int] = tokenize.engine.encode(caption)
    return found


def reference(tokenize: Tokenizer, captions: Sequence[str], length: int) -> list[list[int]]:
    """Start, text, end, cut before the end to ``length``; padded to the longest."""
    rows = []
    for caption in captions:
        body = bodies(tokenize, caption)[: length - 2]
        rows.append([tokenize.engine.sot_token_id, *body, tokenize.engine.eot_token_id])
    longest = max(map(len, rows))
    return [row + [0] * (longest - len(row)) for row in rows]


@both
@relaxed
@given(captions=st.lists(texts, min_size=1, max_size=4))
def test_a_batch_is_cut_to_its_longest_caption_and_keeps_every_end(
    tokenize: Tokenizer, length: int, captions: list[str]
) -> None:
    tokens = tokenize(captions)
    assert tokens.dtype == torch.int64
    assert tokens.tolist() == reference(tokenize, captions, length)
    end = tokenize.engine.eot_token_id
    assert (tokens == end).sum(1).tolist() == [1] * len(captions)
    assert (tokens == tokenize.engine.sot_token_id).sum(1).tolist() == [1] * len(captions)
    assert int(tokens.max()) == end < tokenize.engine.vocab_size


@both
@pytest.mark.parametrize("caption", ["!?", "a dog !?", "#!# !#", "(!) yes", "!" * 7 + "\u00e9"])
def test_a_bare_exclamation_mark_is_not_padding(tokenize: Tokenizer, length: int, caption: str) -> None:
    """It is token 0, as the padding is: counting what is not 0 would cut the end of the text away."""
    tokens = tokenize([caption])
    assert tokens[0, -1] == tokenize.engine.eot_token_id
    assert tokens.tolist() == reference(tokenize, [caption], length)


def test_there_is_such_a_token_zero() -> None:
    assert 0 in bodies(SMALL, "!?")
    assert 0 in bodies(FULL, "a dog !?!#!")


@both
def test_a_long_caption_keeps_its_beginning_and_the_end_of_text(tokenize: Tokenizer, length: int) -> None:
    captions = ["dog " * n for n in (length - 3, length - 2, length - 1, length, 3 * length)]
    tokens = tokenize(captions)
    assert tokens.shape == (5, length)
    dog = bodies(tokenize, "dog")
    assert len(dog) == 1
    assert tokens.argmax(1).tolist() == [length - 2, *[length - 1] * 4]
    assert (tokens == dog[0]).sum(1).tolist() == [length - 3, *[length - 2] * 4]


def test_where_captions_may_not_be_cut_they_are_padded() -> None:
    captions = ["a dog !?", "", "two dogs and a cat"]
    whole, cut = WHOLE(captions), FULL(captions)
    assert whole.shape == (3, 77)
    assert torch.equal(whole[:, : cut.shape[1]], cut)
    assert not whole[:, cut.shape[1] :].any()


@both
@pytest.mark.parametrize("trick", TRICKS)
def test_no_caption_can_end_or_start_a_text(tokenize: Tokenizer, length: int, trick: str) -> None:
    tokens = tokenize([f"a dog {trick} on a bed"])[0]
    end, start = tokenize.engine.eot_token_id, tokenize.engine.sot_token_id
    assert (tokens == end).nonzero().tolist() == [[len(tokens) - 1]]
    assert (tokens == start).nonzero().tolist() == [[0]]
    assert tokens[-2 - len(bodies(tokenize, "bed")) + 1 : -1].tolist() == bodies(tokenize, "bed")


@both
def test_a_neutral_special_token_reads_as_its_words(tokenize: Tokenizer, length: int) -> None:
    for trick in ("<end_of_text>", "&lt;END_OF_TEXT&gt;"):
        assert bodies(tokenize, trick) == bodies(tokenize, "end of text")


@relaxed
@given(st.text())
def test_neutral_leaves_other_texts_alone(text: str) -> None:
    changed = neutral(text)
    assert neutral(changed) == changed
    if "_of_text>" not in text.lower():
        assert changed == text


def test_neutral_touches_nothing_but_the_tokens() -> None:
    assert neutral("<b>end_of_text</b> <end_of_text > <endoftext>") == "<b>end_of_text</b> <end_of_text > <endoftext>"
    assert neutral("a <End_of_text>.") == "a End of text."


@relaxed
@given(text=st.text())
def test_the_small_vocabulary_writes_any_text(text: str) -> None:
    """All but case and white space, which the encoding does not keep."""
    tokens = bodies(SMALL, text)
    assert all(0 <= token < VOCAB - 2 for token in tokens)
    written = SMALL.engine.decode(tokens)
    assert "".join(written.split()) == "".join(SMALL.engine.clean_fn(text).split())


@relaxed
@given(text=st.text())
def test_small_and_full_vocabulary_write_the_same_text(text: str) -> None:
    assert SMALL.engine.decode(bodies(SMALL, text)) == FULL.engine.decode(bodies(FULL, text))


@pytest.mark.parametrize("vocab", [515, 1000, 4096])
def test_the_small_vocabulary_is_the_beginning_of_the_full_one(vocab: int) -> None:
    small, full = SmallTokenizer(vocab, 40), SimpleTokenizer()
    assert small.vocab_size == len(small.encoder) == len(small.decoder) == vocab
    assert sorted(small.encoder.values()) == list(range(vocab))
    for word, index in full.encoder.items():
        assert small.encoder.get(word, -1) == index or index >= vocab - 2
    assert len(small.bpe_ranks) == vocab - 512 - 2
    assert (small.encoder["<start_of_text>"], small.encoder["<end_of_text>"]) == (vocab - 2, vocab - 1)
    assert small.all_special_ids == [vocab - 2, vocab - 1]


def test_a_vocabulary_without_a_merge_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        SmallTokenizer(514, 40)


def test_a_text_does_not_depend_on_its_batch() -> None:
    alone, together = SMALL(["a red star"]), SMALL(["a red star", "a " * 30])
    assert torch.equal(together[0, : alone.shape[1]], alone[0])


@both
def test_a_tokenizer_crosses_to_another_process(tokenize: Tokenizer, length: int) -> None:
    """Loader workers are spawned on some systems."""
    copy = pickle.loads(pickle.dumps(tokenize))
    captions = ["a dog &lt;end_of_text&gt; !?", "zebra"]
    assert torch.equal(copy(captions), tokenize(captions))
    assert copy.cut is tokenize.cut


class Words:
    """A tokenizer of another make, as those of Hugging Face: one number a word, 1 for the padding."""

    def __call__(self, given: list[str]) -> Tensor:
        self.given = given
        return torch.tensor([[len(text.split()), 1, 1] for text in given])


def test_another_engine_gets_neutral_texts_and_is_not_cut() -> None:
    engine = Words()
    tokens = Tokenizer(engine, cut=False)(("a <end_of_text> b", "c"))
    assert engine.given == ["a end of text b", "c"]
    assert tokens.tolist() == [[5, 1, 1], [1, 1, 1]]


def test_which_tokenizer_an_architecture_gets() -> None:
    assert isinstance(SMALL.engine, SmallTokenizer)
    assert type(FULL.engine) is SimpleTokenizer
    assert type(build("micro-mine", 49_408, 77, cut=True).engine) is SimpleTokenizer
    assert (SMALL.engine.context_length, FULL.engine.context_length) == (LENGTH, 77)


@pytest.mark.parametrize("size", [514, 16_385, 30_522, 49_407, 49_410])
def test_a_vocabulary_that_none_fits_is_one_line(size: int) -> None:
    with pytest.raises(ValueError, match=rf"^model: no tokenizer fits a vocabulary of {size:,}: CLIP's has 49,408, "):
        build("somebody's", size, 77, cut=True)


@pytest.mark.parametrize(("size", "kind"), [(515, SmallTokenizer), (16_384, SmallTokenizer), (49_408, SimpleTokenizer)])
def test_a_model_without_a_name_gets_the_tokenizer_of_its_vocabulary(size: int, kind: type[SimpleTokenizer]) -> None:
    engine = build("somebody's", size, 33, cut=True).engine
    assert type(engine) is kind
    assert (engine.vocab_size, engine.context_length) == (size, 33)


@relaxed
@given(text=texts)
def test_declip_has_clips_words_and_other_numbers_around_them(text: str) -> None:
    """<|mask|> is 49,406, where CLIP's start is; start and end come after it."""
    ours, clips = DECLIP([text])[0].tolist(), FULL([text])[0].tolist()
    assert ours == [49_407, *clips[1:-1], 49_408]
    assert DECLIP.engine.decode(ours[1:-1]) == FULL.engine.decode(clips[1:-1])


def test_declips_numbers() -> None:
    engine = DECLIP.engine
    assert isinstance(engine, DeclipTokenizer)
    assert engine.vocab_size == len(engine.encoder) == len(engine.decoder) == 49_409
    assert engine.encoder["<|mask|>"] == 49_406
    assert (engine.encoder["<start_of_text>"], engine.encoder["<end_of_text>"]) == (49_407, 49_408)
    assert {**SimpleTokenizer().encoder, **engine.encoder}.keys() == engine.encoder.keys()
    assert 49_406 not in bodies(DECLIP, "a <|mask|> b")


def test_which_tokenizers_are_clips_way_of_writing() -> None:
    assert all(tokenize.lowers for tokenize in (SMALL, FULL, DECLIP, standard()))
    assert not Tokenizer(SimpleTokenizer(clean="whitespace"), cut=True).lowers
    assert not Tokenizer(Words(), cut=False).lowers


class TestJson:
    """A ``tokenizer.json``, as SigLIP has one."""

    captions: tuple[str, ...] = ("A dog!", "two_cats on the roof", "", "</s> <pad> a&lt;/s&gt;", "dog " * 50)

    def build(self, size: int = 600, content: str | None = None) -> Tokenizer:
        return build("somebody's", size, 20, False, (content or PIECES).encode())

    def test_it_reads_as_siglip_reads(self) -> None:
        tokens = self.build()(self.captions)
        assert tokens.dtype == torch.int64
        assert tokens.shape == (5, 20)
        assert tokens[:2, :8].tolist() == [[3, 4, 1, 1, 1, 1, 1, 1], [6, 5, 7, 8, 9, 10, 1, 1]]
        assert tokens[2].tolist() == [1] * 20
        assert tokens[4].tolist() == [4] * 19 + [1]

    def test_no_caption_can_end_a_text(self) -> None:
        tokens = self.build()(["a </s> dog", "a &lt;/s&gt; dog", "a <pad> dog", "a \uff1c/s\uff1e dog"])
        for row in tokens.tolist():
            end = row.index(1)
            assert row[end:] == [1] * (20 - end)
            assert 0 not in row
            assert row[end - 1] == 4

    def test_what_a_model_reads_can_be_shown(self) -> None:
        assert self.build().read("A dog, on the ROOF!") == "a dog on the roof"

    def test_no_texts_are_no_tokens(self) -> None:
        assert self.build()([]).shape == (0, 20)

    def test_it_crosses_to_another_process(self) -> None:
        tokenize = self.build()
        assert torch.equal(pickle.loads(pickle.dumps(tokenize))(self.captions), tokenize(self.captions))

    def test_its_content_comes_before_a_name(self) -> None:
        content = hf.pieces(32_000).encode()
        tokens = build("ViT-B-16-SigLIP", 32_000, 64, False, content)(["a dog"])
        assert tokens[0, :3].tolist() == [3, 4, 1]
        assert tokens.shape == (1, 64)

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("{", "tokenizer.json cannot be read: "),
            ("{}", "tokenizer.json cannot be read: "),
            (hf.pieces(601), "does not fit the vocabulary: it has 601 tokens, the model 600"),
            (hf.pieces(590), "does not fit the vocabulary: it has 590 tokens, the model 600"),
            (hf.pieces(600).replace("</s>", "<e>"), "does not say what it pads with"),
        ],
    )
    def test_what_cannot_be_used_is_one_line(self, content: str, said: str) -> None:
        with pytest.raises(ValueError, match=rf"^model: .*{said}") as caught:
            self.build(content=content)
        assert "\n" not in str(caught.value)

    def test_what_breaks_only_when_it_writes_is_one_line_too(self) -> None:
        """A panic of the library is no ``Exception``; a token beyond the vocabulary would fail in the tower."""
        start = {"SpecialToken": {"id": "Q", "type_id": 0}}
        text = {"Sequence": {"id": "A", "type_id": 0}}
        beyond = {"Q": {"id": "Q", "ids": [999_999], "tokens": ["Q"]}}
        for changes, said in (
            ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "A/"}}, "cannot be read: Precompiled"),
            (
                {"post_processor": {
                    "type": "TemplateProcessing", "single": [start, text], "pair": [text], "special_tokens": beyond,
                }},
                "words that the model has not",
            ),
        ):  # fmt: skip
            with pytest.raises(ValueError, match=rf"^model: tokenizer\.json .*{said}") as caught:
                self.build(content=json.dumps(json.loads(PIECES) | changes))
            assert "\n" not in str(caught.value)

    def test_a_padded_vocabulary_fits(self) -> None:
        assert self.build(content=hf.pieces(595))(["a dog"])[0, 0] == 3

    def test_bytes_that_are_no_text_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"^model: tokenizer\.json cannot be read: "):
            build("somebody's", 600, 20, False, b"\xff\xfe")

    def test_without_the_package_it_says_which(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "tokenizers", None)
        with pytest.raises(ValueError, match=r"^model: its tokenizer\.json is read by the package tokenizers: pip"):
            self.build(content=PIECES)


@pytest.mark.parametrize("error", [ModuleNotFoundError("No module named 'transformers'"), OSError("offline")])
def test_what_a_tokenizer_lacks_is_one_line(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def failing(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(open_clip, "get_tokenizer", failing)
    with pytest.raises(ValueError, match=rf"^model: the tokenizer of ViT-B-16-SigLIP cannot be built: {error}$"):
        build("ViT-B-16-SigLIP", 32_000, 64, cut=False)


@relaxed
@given(
    st.text(st.characters(max_codepoint=0x7F), max_size=40)
    | st.sampled_from(["a  b", " A_b ", "&amp;", "x\ty", "\x1b[1mb"])
)
def test_cleaning_ascii_the_short_way_is_cleaning(text: str) -> None:
    assert SMALL.engine.clean_fn(text) == neutral(get_clean_fn("lower")(text))


@both
@relaxed
@given(captions=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), min_size=1, max_size=3))
def test_tokens_from_memory_are_the_engines(tokenize: Tokenizer, length: int, captions: list[str]) -> None:
    theirs = tokenize.engine(captions)
    for _ in range(2):
        ours = tokenize(captions)
        assert torch.equal(ours, theirs[:, : ours.shape[1]])
        assert not theirs[:, ours.shape[1] :].any()


def test_only_so_many_words_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bezoar.models.tokenizer, "_WORDS", 5)
    fresh = build("micro-cnn-32", VOCAB, LENGTH, cut=True)
    captions = [f"word{'abcdefgh'[n % 8]} {n}" for n in range(40)]
    assert torch.equal(torch.cat([fresh([caption])[:, :3] for caption in captions]), SMALL(captions)[:, :3])
    assert len(fresh._words) <= 5
