"""A matplotlib figure as SVG text that stands inside a page: no addresses, no dates, ids of its own, the page's ink."""

from __future__ import annotations

import contextlib
import html
import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#010203"
"""Drawn in this color, a line or a word gets the color of the page's text."""
_FONT = re.compile(r"(font(?:-family)?:[^;\"]*?)'DejaVu Sans'[^;\"]*")


@contextlib.contextmanager
def style() -> Iterator[None]:
    """The look of all plots: what is drawn inside has no ground of its own and text stays text."""
    import matplotlib

    look: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "bezoar",
        "text.parse_math": False,
        "font.family": "DejaVu Sans",  # the one that comes with matplotlib, to measure words with
        "font.size": 11,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": INK,
        "axes.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.8,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": INK,
        "grid.alpha": 0.12,
        "grid.linewidth": 0.8,
        "xtick.color": INK,
        "ytick.color": INK,
        "figure.facecolor": "none",
        "legend.frameon": False,
        "savefig.facecolor": "none",
    }
    with matplotlib.rc_context(look):
        yield


def inline(figure: Figure, name: str, label: str) -> str:
    """``figure`` as an ``<svg>`` element whose ids begin with ``name``; ``label`` says what it shows."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<style[^>]*>.*?</style>", "", text, flags=re.DOTALL)  # it would hold for the whole page
    head, body = text.split(">", 1)
    view = re.search(r'viewBox="([^"]*)"', head)
    assert view, head
    body = re.sub(r'(\sid="|xlink:href="#|url\(#)', rf"\g<1>{name}-", body).replace("xlink:href=", "href=")
    body = _FONT.sub(r"\1system-ui, sans-serif", body).replace(INK, "currentColor")
    said = html.escape(label, quote=True)
    head = f'<svg viewBox="{view[1]}" role="img" aria-label="{said}" stroke-linejoin="round" stroke-linecap="butt"'
    return f"{head}>{body.strip()}"
