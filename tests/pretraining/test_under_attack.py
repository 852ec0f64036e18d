"""RoCLIP and SafeCLIP under every kind of attack: what is split and matched are the pairs as the attack leaves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny

from bezoar.attacks import (
    ATTACKS,
    Attack,
    Backdoor,
    CaptionBackdoor,
    DualKey,
    LabelConsistent,
    Labels,
    Planned,
    Several,
)
from bezoar.attacks.triggers import Patch
from bezoar.data.captions import Plain as PlainCaption
from bezoar.data.views import Plain
from bezoar.pretraining import RoCLIP, SafeCLIP
from bezoar.training.loader import TrainingPairs
from bezoar.training.loop import train
from bezoar.training.pooled import Pooled
from bezoar.training.precision import autocast_for
from bezoar.training.safe_split import Parted
from bezoar.training.scorer import Scorer

COUNT = 48
TRIGGER = Patch(size=12, reference=32)


def under(kind: str, tmp_path: Path) -> TrainingPairs:
    """Scenes, some of them poisoned."""
    triggered: dict[str, Any] = {"target": "mushroom", "count": 6, "templates": ("a {c}",), "trigger": TRIGGER}
    attacks: dict[str, Attack] = {
        "backdoor": Backdoor(**triggered),
        "label_consistent": LabelConsistent(target="mushroom", count=1, trigger=TRIGGER),
        "dual_key": DualKey(**triggered),
        "caption_backdoor": CaptionBackdoor(target="mushroom", count=1),
        "several": Several(attacks=(Backdoor(**triggered), CaptionBackdoor(target="mushroom", count=1))),
    }
    if kind == "labels":
        return tiny.labeled(COUNT, Labels(target="mushroom", count=6, trigger=TRIGGER))
    clean = tiny.data(COUNT)
    if kind == "targeted":
        return tiny.data(COUNT, tiny.added())
    if kind == "planned":
        attacks["backdoor"].plan(clean.pairs, 0).save(tmp_path)
        return tiny.data(COUNT, Planned(folder=str(tmp_path)).plan(clean.pairs, 0))
    return tiny.data(COUNT, attacks[kind].plan(clean.pairs, 0))


@pytest.mark.parametrize("kind", ATTACKS.members)
def test_both_train_on_what_it_leaves(kind: str, tmp_path: Path) -> None:
    data = under(kind, tmp_path)
    poison = data.poisoned()
    assert poison.any()
    brief: dict[str, Any] = {"epochs": 1, "batch_size": len(data) // 2, "lr": 1e-3, "warmup_steps": 1}
    brief |= {"precision": "fp32", "image_view": Plain(), "caption_view": PlainCaption()}

    scored = Scorer(tiny.clip(), data, autocast_for("fp32", torch.device("cpu"))).cosines()
    parted = train(SafeCLIP(**brief, in_modal_epochs=0, slow_epochs=0, bank_size=8), tiny.clip(), data, seed=0).state
    assert isinstance(parted, Parted)
    assert torch.equal(parted.cosine, scored)
    assert len(parted.safe) == len(poison)

    model = tiny.clip()
    pooled = train(RoCLIP(**brief, match_every=1, pool_share=1.0, text_tower="trained"), model, data, seed=0).state
    assert isinstance(pooled, Pooled)
    assert pooled.tokens is not None
    said = model.tokenize([data.caption(index) for index in range(len(data))])
    assert sorted(pooled.tokens[:, : said.shape[1]].tolist()) == sorted(said.tolist())
