"""Caption views: random changes of a caption, each a pure function of the caption and a seed."""

from typing import Annotated

from bezoar.core.settings import Family
from bezoar.data.captions.base import CaptionView, Resource
from bezoar.data.captions.eda import Eda
from bezoar.data.captions.plain import Plain

CAPTION_VIEWS = Family(
    "caption view",
    CaptionView,
    (
        Eda,
        Plain,
    ),
)

AnyCaptionView = Annotated[CaptionView, CAPTION_VIEWS]

__all__ = ["CAPTION_VIEWS", "AnyCaptionView", "CaptionView", "Eda", "Plain", "Resource"]
