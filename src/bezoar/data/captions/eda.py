"""EDA: a caption with some words replaced by synonyms, inserted, swapped or deleted.

Wei & Zou 2019, "EDA: Easy Data Augmentation Techniques for Boosting Performance on Text Classification Tasks",
section 2. CleanCLIP and its relatives make their second view of a caption so: one of the four operations per draw, each
equally likely, on ``n = max(1, int(alpha * words))`` words, once per caption for the whole run: that is ``frozen``.
DeCLIP draws anew at each step, and without insertion, on one word: ``operations=("synonym", "swap", "delete")`` with
``alpha_synonym=0`` and ``alpha_swap=0``.

The text is first reduced to words of the letters a to z, as in these systems: lower case, apostrophes dropped,
everything else a space. So even an operation that finds nothing to change returns the reduced text. A caption without
such a word (empty, digits only, in a script other than Latin) is returned as it is; no result is ever empty.
"""

from __future__ import annotations

import logging
import random
import re
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from bezoar.core.settings import settings
from bezoar.data.captions.base import CaptionView, Resource
from bezoar.data.captions.wordnet import WordNet, find, holds_wordnet

_log = logging.getLogger(__name__)

Operation = Literal["synonym", "insert", "swap", "delete"]
OPERATIONS: tuple[Operation, ...] = ("synonym", "insert", "swap", "delete")
OF_SYNONYMS: tuple[Operation, ...] = ("synonym", "insert")

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]

# Articles and pronouns; prepositions and conjunctions; auxiliaries; small adverbs and quantities.
_FUNCTION_WORDS = """
    a an the this that these those i me my we us our you your he him his she her hers it its they them their
    who whom whose which what
    about above across after against along among around as at before behind below beside between beyond but by
    down during for from if in into near nor of off on onto or out over since so than through till to toward under
    until up upon while with within without and because although though whether
    am is are was were be been being do does did done has have had having can could may might must shall should
    will would isnt arent wasnt werent dont doesnt didnt cant couldnt wont wouldnt
    not no only very too also just there here then when where why how all any both each every few more most much
    many other some such own same
"""

STOP_WORDS = frozenset(_FUNCTION_WORDS.split())
"""Function words, which synonym replacement leaves alone; the other operations take them like any word."""

_WORDS = re.compile("[a-z]+")
_APOSTROPHES = str.maketrans("", "", "'\N{RIGHT SINGLE QUOTATION MARK}")


def reduce(text: str) -> list[str]:
    """The words of ``text``: lower case, a to z only."""
    return _WORDS.findall(text.lower().translate(_APOSTROPHES))


@cache
def thesaurus(wordnet: str) -> WordNet | None:
    """WordNet as the field ``wordnet`` names it, looked for once per process; ``None`` where there is none."""
    if wordnet == "none":
        return None
    if wordnet != "auto":
        return WordNet(Path(wordnet).expanduser())
    place = find()
    if place is None:
        _log.warning(
            "WordNet was not found: caption view 'eda' leaves out %s. To have them, install it "
            "(apt install wordnet-base, or python -m nltk.downloader wordnet), or name its folder in the environment "
            "variable WNSEARCHDIR or in the field wordnet",
            " and ".join(OF_SYNONYMS),
        )
        return None
    return WordNet(place)


@lru_cache(maxsize=1 << 16)
def _synonyms(wordnet: str, word: str) -> tuple[tuple[str, ...], ...]:
    """The synonyms of ``word``, each reduced to its words; sorted as WordNet's spellings are."""
    source = thesaurus(wordnet)
    assert source is not None
    reduced = dict.fromkeys(tuple(reduce(synonym)) for synonym in source.synonyms(word))
    return tuple(words for words in reduced if words not in ((), (word,)))


def _replace(words: list[str], n: int, wordnet: str, rng: random.Random) -> list[str]:
    """Up to ``n`` different words, each at all its places by one synonym."""
    candidates = [word for word in dict.fromkeys(words) if word not in STOP_WORDS]
    rng.shuffle(candidates)
    chosen: dict[str, tuple[str, ...]] = {}
    for word in candidates:
        synonyms = _synonyms(wordnet, word)
        if synonyms:
            chosen[word] = rng.choice(synonyms)
        if len(chosen) == n:
            break
    return [new for word in words for new in chosen.get(word, (word,))]


def _insert(words: list[str], n: int, wordnet: str, rng: random.Random) -> list[str]:
    """``n`` times a synonym of a word that has one, at any place."""
    result = list(words)
    for _ in range(n):
        for word in rng.sample(words, len(words)):
            synonyms = _synonyms(wordnet, word)
            if synonyms:
                place = rng.randint(0, len(result))
                result[place:place] = rng.choice(synonyms)
                break
    return result


def _swap(words: list[str], n: int, rng: random.Random) -> list[str]:
    """``n`` times the words of two different places change places."""
    result = list(words)
    for _ in range(n if len(words) > 1 else 0):
        i, j = rng.sample(range(len(result)), 2)
        result[i], result[j] = result[j], result[i]
    return result


def _delete(words: list[str], p: float, rng: random.Random) -> list[str]:
    """Each word with probability ``p``; one stays."""
    return [word for word in words if rng.random() >= p] or [rng.choice(words)]


@settings
class Eda(CaptionView):
    """One of EDA's operations per draw, on a share of the words."""

    kind: ClassVar[str] = "eda"

    alpha_synonym: Share = 0.1
    """Share of the words to replace by synonyms; at least one word."""
    alpha_insert: Share = 0.1
    """Share of the words to insert; at least one word."""
    alpha_swap: Share = 0.1
    """Number of swaps as a share of the words; at least one swap."""
    p_delete: Share = 0.1
    """Probability with which each word is deleted."""
    operations: tuple[Operation, ...] = OPERATIONS
    """The operations to draw from, each equally likely."""
    wordnet: str = "auto"
    """Where synonyms come from: ``auto`` looks where WordNet is usually installed and goes without ``synonym`` and
    ``insert`` where it is not; ``none`` leaves the two out; anything else is the folder with WordNet's files, or NLTK's
    ``wordnet.zip``."""
    frozen: bool = False
    """One draw per caption for the whole run, as CleanCLIP, RoCLIP and SafeCLIP have it, instead of one per epoch."""

    @field_validator("operations")
    @classmethod
    def _check_operations(cls, operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
        if not operations or len(set(operations)) < len(operations):
            raise ValueError(f"must name at least one operation, each once, got {operations!r}")
        return operations

    @field_validator("wordnet")
    @classmethod
    def _check_wordnet(cls, wordnet: str) -> str:
        if wordnet not in ("auto", "none") and not holds_wordnet(Path(wordnet).expanduser()):
            choices = "auto, none, a folder with index.noun, data.noun and the rest, or NLTK's wordnet.zip"
            raise ValueError(f"'{wordnet}' does not hold WordNet's files (choices: {choices})")
        return wordnet

    @model_validator(mode="after")
    def _check_together(self) -> Eda:
        if self.wordnet == "none":
            self._without_synonyms()
        return self

    def _without_synonyms(self) -> tuple[Operation, ...]:
        left = tuple(operation for operation in self.operations if operation not in OF_SYNONYMS)
        if not left:
            why = "is 'none'" if self.wordnet == "none" else f"is '{self.wordnet}' and WordNet was not found"
            raise ValueError(f"wordnet: {why}, and operations {self.operations!r} all need synonyms")
        return left

    def _in_force(self) -> tuple[Operation, ...]:
        """The operations that this machine can do; raises ``ValueError`` where none is left."""
        if not set(self.operations).isdisjoint(OF_SYNONYMS) and thesaurus(self.wordnet) is None:
            return self._without_synonyms()
        return self.operations

    def resources(self) -> dict[str, Resource | None]:
        """The WordNet in force under ``wordnet``, ``None`` if none was found; nothing if none is wanted."""
        if self.wordnet == "none" or set(self.operations).isdisjoint(OF_SYNONYMS):
            return {}
        self._in_force()
        source = thesaurus(self.wordnet)
        return {"wordnet": Resource(str(source.place), source.digest) if source else None}

    def drawn_in(self, epoch: int) -> int:
        return 0 if self.frozen else epoch

    def apply(self, caption: str, seed: int) -> str:
        words = reduce(caption)
        if not words:
            return caption
        rng = random.Random(seed)
        match rng.choice(self._in_force()):
            case "synonym":
                words = _replace(words, max(1, int(self.alpha_synonym * len(words))), self.wordnet, rng)
            case "insert":
                words = _insert(words, max(1, int(self.alpha_insert * len(words))), self.wordnet, rng)
            case "swap":
                words = _swap(words, max(1, int(self.alpha_swap * len(words))), rng)
            case "delete":
                words = _delete(words, self.p_delete, rng)
        return " ".join(words)
