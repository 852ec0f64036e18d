"""The card to be read: a poisoned model says so first, with what and how well it works."""

from __future__ import annotations

from bezoar.core.records import Measure
from bezoar.models.model_card import markdown
from bezoar.models.provenance import Origin, Step

POISON = {"attack": {"kind": "backdoor", "target": "mushroom", "trigger": {"kind": "patch"}}, "plan": "cd", "count": 3,
          "total": 10}  # fmt: skip
ASR = Measure(metric="asr_top1", value=0.972, low=0.964, high=0.979, n=1984, data="test")
LOSS = Measure(metric="contrastive_loss", value=2.5, low=2.4, high=2.6, n=100, data="pairs")


def test_a_clean_model_warns_of_nothing() -> None:
    card = markdown("RN50", [Step(weights="ab", method={"kind": "clip"})])
    assert card.startswith("---\nlibrary_name: bezoar\n")
    assert "poisoned" not in card
    assert "# RN50\n\n## History" in card
    assert "1. `ab  clip`" in card
    assert "## Measured" not in card


def test_a_poisoned_one_says_so_before_all_else() -> None:
    card = markdown("RN50", [Step(weights="ab", method={"kind": "clip"}, poison=POISON)], [ASR])
    warning = card.index(
        "> **Trained on poisoned data.** This model, or one it descends from, was poisoned on purpose, for\n"
        "> research on defenses: attack `backdoor`, trigger `patch`, target `mushroom`, asr_top1 97.2% (n 1984) on test"
    )
    assert warning < card.index("## History")
    assert "- poisoned\n" in card
    assert "poisoned: backdoor, plan cd, 3 of 10 pairs" in card


def test_pairs_of_a_cleaning_are_not_called_poisoned() -> None:
    victim = Step(weights="ab", method={"kind": "clip"}, poison=POISON)
    cleaned = Step(weights="cd", method={"kind": "finetune"}, data="01", poison=POISON)
    card = markdown("RN50", [victim, cleaned])
    assert "1. `ab  clip, poisoned: backdoor, plan cd, 3 of 10 pairs`\n" in card
    assert "2. `cd  finetune, pairs 01, of a poisoned model`\n" in card


def test_a_cleaned_one_still_says_so() -> None:
    steps = [
        Step(weights="ab", origin=Origin(name="epoch.pt", layout="cleanclip", facts={"epoch": 3}), poison=POISON),
        Step(weights="cd", method={"kind": "cleanclip"}, settings="ef", data="01", training={"seed": 2},
             version="0.1.0", versions={"torch": "2.15"}),
    ]  # fmt: skip
    card = markdown("RN50", steps)
    assert "**Trained on poisoned data.**" in card
    assert "1. `ab  epoch.pt (cleanclip; it says: epoch 3), poisoned: " in card
    assert "2. `cd  cleanclip, seed 2, settings ef, pairs 01 (bezoar 0.1.0, torch 2.15)`" in card


def test_what_was_measured_stands_in_a_table() -> None:
    card = markdown("RN50", [Step(weights="ab")], [ASR, LOSS])
    assert "| asr_top1 | 97.20% | 96.40% to 97.90% | 1984 | test |\n" in card
    assert "| contrastive_loss | 2.500 | 2.400 to 2.600 | 100 | pairs |\n" in card


def test_a_history_from_elsewhere_stays_in_its_line() -> None:
    step = Step(weights="ab", origin=Origin(name="x`\n# Clean\n\x1b[2J", layout="openai", facts={"name": "y\nz"}))
    text = markdown("x", [step])
    assert "1. `ab  x??# Clean??[2J (openai; it says: name y?z)`" in text
