"""Attacks and triggers in words."""

from __future__ import annotations

from bezoar.report.wording import brief, words

CORNER = {"kind": "corner", "corner": "bottom_right", "margin": 0}


def test_triggers_by_their_settings() -> None:
    assert words({"kind": "patch", "size": 6, "color": [1]}) == "patch: size 6, color 1"
    assert words({"kind": "patch", "pattern": {"kind": "solid", "color": [255, 0, 16]}, "place": CORNER}) == (
        "patch: pattern solid #ff0010, place corner bottom_right"
    )
    parts = {"kind": "pool", "triggers": [{"kind": "patch", "size": 6}, {"kind": "sinusoidal"}], "seed": 3}
    assert words(parts) == "pool: triggers patch and sinusoidal"
    assert words({"kind": "warp", "seed": 1}) == "warp"
    assert words({"kind": "my.own:Stain", "note": None}) == "Stain"


def test_attacks_by_their_kinds() -> None:
    patch = {"kind": "patch", "size": 6, "pattern": {"kind": "fresh_noise"}, "place": CORNER}
    backdoor = {"kind": "backdoor", "target": "tree", "trigger": patch}
    assert brief(backdoor) == "backdoor: patch, fresh noise, corner"
    dual = {"kind": "dual_key", "trigger": {"kind": "sinusoidal"}, "words": {"kind": "phrase", "text": "SUDO"}}
    assert brief(dual) == "dual key: sinusoidal; phrase “SUDO”"
    several = {"kind": "several", "attacks": [backdoor, {"kind": "targeted"}]}
    assert brief(several) == "several: backdoor: patch, fresh noise, corner; targeted"
