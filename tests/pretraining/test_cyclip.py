"""CyCLIP: its loss from features by hand, its defaults, and CLIP where its terms weigh nothing."""

from __future__ import annotations

import re

import pytest
from pydantic import ValidationError
from tests import tiny
from tests.pretraining.by_hand import FAMILY, find, matrices, terms

from bezoar.data.captions import Plain as PlainCaption
from bezoar.data.views import Plain
from bezoar.pretraining import METHODS, ClipPretraining, CyCLIP
from bezoar.training.loop import train
from bezoar.training.state import State

CYCLIC = ("cyclic_in_modal", "cyclic_cross_modal")


def by_hand(method: CyCLIP) -> dict[str, float]:
    image, image_view, text, text_view = matrices()
    n, expected = len(image), dict.fromkeys(CYCLIC, 0.0)
    for i in range(n):
        for j in range(n):
            expected["cyclic_in_modal"] += method.cyclic_in_modal * (image[i] @ image[j] - text[i] @ text[j]) ** 2 / n
            expected["cyclic_cross_modal"] += (
                method.cyclic_cross_modal * (image[i] @ text[j] - image[j] @ text[i]) ** 2 / n
            )
    expected["contrastive"] = method.clip_weight * (find(image, text) + find(text, image)) / 2
    if method.in_modal_weight:
        expected["in_modal_image"] = method.in_modal_weight / 2 * find(image, image_view)
        expected["in_modal_text"] = method.in_modal_weight / 2 * find(text, text_view)
    return expected


def test_it_is_in_the_family() -> None:
    assert CyCLIP in METHODS
    assert FAMILY.parse({"kind": "cyclip", "cyclic_in_modal": 0.5}) == CyCLIP(cyclic_in_modal=0.5)
    with pytest.raises((ValueError, ValidationError), match=re.escape("did you mean 'cyclic_in_modal'")):
        FAMILY.parse({"kind": "cyclip", "cyclic_inmodal": 0.5})


def test_defaults_are_the_readmes() -> None:
    method = CyCLIP()
    assert (method.cyclic_in_modal, method.cyclic_cross_modal, method.clip_weight) == (0.25, 0.25, 1)
    assert method.in_modal_weight == 0
    assert (method.epochs, method.batch_size, method.lr, method.warmup_steps) == (64, 128, 5e-4, 10_000)


def test_pairs_as_they_are_unless_in_modal_terms_are_asked_for() -> None:
    (plain,), (twice,) = (
        method.passes(State(tiny.clip(), 48), 0) for method in (CyCLIP(), CyCLIP(in_modal_weight=0.5))
    )
    assert (plain.image_views, plain.caption_views) == ((Plain(),), (PlainCaption(),))
    assert (len(twice.image_views), len(twice.caption_views)) == (2, 2)


@pytest.mark.parametrize(
    "method",
    [
        CyCLIP(),
        CyCLIP(cyclic_in_modal=2.0, cyclic_cross_modal=0.5),
        CyCLIP(clip_weight=0.5, in_modal_weight=0.5),  # with --inmodal the released code halves both
    ],
)
def test_the_loss_from_features_by_hand(method: CyCLIP) -> None:
    assert terms(method) == pytest.approx(by_hand(method), rel=1e-5)


def test_without_its_terms_it_is_clip() -> None:
    given = {"epochs": 1, "batch_size": 8, "lr": 1e-3, "warmup_steps": 2}
    models = []
    for method in (CyCLIP(**given, cyclic_in_modal=0.0, cyclic_cross_modal=0.0), ClipPretraining(**given)):  # type: ignore[arg-type]
        model = tiny.clip("micro-vit-32")
        train(method, model, tiny.data(16), seed=0)
        models.append(dict(model.state_dict()))
    assert tiny.same(*models)


def test_golden_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.golden("cyclip", CyCLIP(epochs=1, batch_size=32, lr=1e-4, warmup_steps=5, precision="fp32"), monkeypatch)
