"""The smallest zoo that has every role: two clean models, two poisoned ones, two cleaned ones, some seconds each."""

from __future__ import annotations

from typing import Any

from tests import tiny


def plain(**changes: Any) -> dict[str, Any]:
    """Its experiment as plain values."""
    clip = {"kind": "clip", **tiny.BRIEF}
    poison = {"target": "mushroom", "count": 2}
    return tiny.experiment(
        name="tiny-zoo",
        pairs={"train": {"kind": "scenes", "count": 128}, "clean": {"kind": "scenes", "split": "clean", "count": 16}},
        labeled={"validation": {"kind": "scenes", "count": 40}},
        attack=None,
        attacks={
            "patch": {
                "kind": "backdoor", "templates": ["a {c}"], "trigger": {"kind": "patch", "size": 8, "reference": 32},
                **poison,
            },
            "words": {"kind": "caption_backdoor", **poison},
        },
        stages=[
            {"name": "control", "threat": "patch", "pairs": "train", "method": clip},
            {"name": "patch", "poison": "patch", "pairs": "train", "method": clip},
            {"name": "words", "poison": "words", "pairs": "train", "method": clip},
            {"name": "control-finetune", "start": "control", "pairs": "clean", "method": {**clip, "kind": "finetune"}},
            {"name": "patch-finetune", "start": "patch", "pairs": "clean", "method": {**clip, "kind": "finetune"}},
        ],
        evaluators=[
            {"kind": kind, "templates": ["a {c}"]} for kind in ("zero_shot", "attack_success", "caption_success")
        ],
    ) | changes  # fmt: skip
