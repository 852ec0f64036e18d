"""attack-cleanclip's sigmoid loss as a method: by hand, its defaults, and that the model's scale stays as it was."""

from __future__ import annotations

import math

import pytest
from tests import tiny
from tests.pretraining.by_hand import SCALE, find, matrices, terms

from bezoar.pretraining import METHODS, LegacySigLIP


def sigmoid() -> float:
    """The mean over all n² of -log σ(z s I·T)."""
    image, _, text, _ = matrices()
    losses = [
        math.log1p(math.exp((-1 if i == j else 1) * SCALE * float(picture @ caption)))
        for i, picture in enumerate(image)
        for j, caption in enumerate(text)
    ]
    return sum(losses) / len(losses)


def test_it_is_in_the_family() -> None:
    assert LegacySigLIP in METHODS
    assert LegacySigLIP.kind == "legacy_siglip"


def test_defaults_are_the_released_codes() -> None:
    method = LegacySigLIP()
    assert (method.siglip_weight, method.in_modal_weight, method.max_scale) == (0.1, 0, 100)
    assert (method.epochs, method.batch_size, method.lr, method.warmup_steps) == (64, 2048, 1e-3, 10_000)


def test_the_loss_from_features_by_hand() -> None:
    assert terms(LegacySigLIP()) == pytest.approx({"sigmoid": 0.1 * sigmoid()}, rel=1e-5)


def test_with_in_modal_terms() -> None:
    image, image_view, text, text_view = matrices()
    assert terms(LegacySigLIP(siglip_weight=1.0, in_modal_weight=1.0)) == pytest.approx(
        {
            "sigmoid": sigmoid(),
            "in_modal_image": find(image, image_view) / 2,
            "in_modal_text": find(text, text_view) / 2,
        },
        rel=1e-5,
    )


def test_golden_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    method = LegacySigLIP(epochs=1, batch_size=32, lr=1e-4, warmup_steps=5, precision="fp32")
    tiny.golden("legacy_siglip", method, monkeypatch)
