"""The family of caption views."""

from __future__ import annotations

import pytest

from bezoar.core.settings import dump
from bezoar.data.captions import CAPTION_VIEWS, CaptionView, Eda, Plain


@pytest.mark.parametrize(
    "view", [Eda(operations=("swap", "delete"), p_delete=0.3), Eda(wordnet="none", frozen=True), Plain()]
)
def test_a_view_comes_back_from_its_plain_form(view: CaptionView) -> None:
    assert CAPTION_VIEWS.parse(dump(view)) == view


def test_an_unknown_kind_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match=r"'edda' is not a caption view; did you mean 'eda'\? \(choices: eda, plain\)"):
        CAPTION_VIEWS.parse("edda")


def test_a_view_reads_nothing_but_its_settings_unless_it_says_so() -> None:
    assert CaptionView().resources() == {}


@pytest.mark.parametrize("view", [CaptionView(), Plain(), Eda(wordnet="none")])
def test_a_view_is_drawn_anew_each_epoch_unless_it_says_so(view: CaptionView) -> None:
    assert [view.drawn_in(epoch) for epoch in range(4)] == [0, 1, 2, 3]


def test_the_base_has_no_behavior() -> None:
    with pytest.raises(NotImplementedError):
        CaptionView().apply("a cat", 0)
