"""What a frame says of itself."""

from __future__ import annotations

import pytest

from bezoar.core.frame import LARGEST, Frame

SIGLIP = Frame(224, "squash")
DECLIP = Frame(224, interpolation="bilinear", larger=256)


def test_only_a_size_is_as_usual() -> None:
    assert Frame(32).usual
    assert not any(frame.usual for frame in (SIGLIP, DECLIP, Frame(32, "longest"), Frame(32, larger=36)))


def test_the_side_is_the_size_unless_it_is_larger() -> None:
    assert [frame.side for frame in (Frame(32), SIGLIP, DECLIP)] == [32, 224, 256]


@pytest.mark.parametrize(
    ("frame", "plain"),
    [
        (Frame(32), {"size": 32}),
        (SIGLIP, {"size": 224, "resize": "squash"}),
        (DECLIP, {"size": 224, "interpolation": "bilinear", "larger": 256}),
    ],
)
def test_files_are_told_what_is_not_as_usual(frame: Frame, plain: dict[str, int | str]) -> None:
    assert frame.plain == plain
    assert Frame(**frame.plain) == frame  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("frame", "field"),
    [
        ((0,), "size"),
        ((LARGEST + 1,), "size"),
        ((224, "shortest", "bicubic", 10**9), "larger"),
        ((224, "shortest", "bicubic", 0), "larger"),
    ],
)
def test_sides_that_no_model_has_are_refused(frame: tuple[int, ...], field: str) -> None:
    with pytest.raises(ValueError, match=rf"^frame\.{field}: must be between 1 and 8,192 px, got "):
        Frame(*frame)  # type: ignore[arg-type]
