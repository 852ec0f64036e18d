"""Plots as text and pictures: SVG inside a page (its ink, its ids, points to touch), SVG alone, PNG."""

from __future__ import annotations

import contextlib
import html
import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#010203"
"""Drawn in this color, a line or a word gets the color of the page's text."""
_ALONE = "#22211f"
_FONT = re.compile(r"(font(?:-family)?:[^;\"]*?)'DejaVu Sans'[^;\"]*")


@dataclass(frozen=True)
class Spot:
    """A drawn model that a reader can point at."""

    axes: Axes
    x: float
    y: float
    path: int
    """Which line it is on; points of one line stand together."""
    text: str
    """What is said of it, a few lines."""


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A figure, and what is to be said of it."""

    name: str
    """Its file, and how its ids begin."""
    label: str
    """What it shows, in words."""
    figure: Figure
    spots: tuple[Spot, ...] = ()


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
        "axes.titlesize": 11,
        "grid.color": INK,
        "grid.alpha": 0.12,
        "grid.linewidth": 0.8,
        "xtick.color": INK,
        "ytick.color": INK,
        "figure.facecolor": "none",
        "legend.frameon": False,
        "savefig.facecolor": "none",
    }
    with matplotlib.rc_context(look), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)  # the reader's fonts may have it
        yield


def inline(plot: Plot) -> str:
    """``plot`` as an ``<svg>`` element for a page: no addresses, no dates, ids that begin with its name."""
    head, body = _drawn(plot)
    body = re.sub(r'(\sid="|xlink:href="#|url\(#)', rf"\g<1>{plot.name}-", body).replace("xlink:href=", "href=")
    body = _FONT.sub(r"\1system-ui, sans-serif", body).replace(INK, "currentColor").strip()
    body = body.removesuffix("</svg>") + _spots(plot) + "</svg>"
    role = "group" if plot.spots else "img"
    said = f'role="{role}" aria-label="{html.escape(plot.label, quote=True)}"'
    return f'<svg viewBox="{_view(head)}" {said} stroke-linejoin="round" stroke-linecap="butt">{body}'


def standalone(plot: Plot) -> str:
    """``plot`` as an SVG file that renders anywhere: white ground, dark ink, usual fonts."""
    head, body = _drawn(plot)
    view = _view(head)
    _, _, width, height = view.split()
    body = _FONT.sub(r"\1'DejaVu Sans', Helvetica, Arial, sans-serif", body).replace(INK, _ALONE).strip()
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<svg {spaces} viewBox="{view}" width="{width}pt" height="{height}pt" '
        f'role="img" stroke-linejoin="round" stroke-linecap="butt">\n<title>{html.escape(plot.label)}</title>\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n{body}\n'
    )


def icon(mark: str, color: str) -> str:
    """A mark of a plot as a small ``<svg>`` for a line of a page; besides matplotlib's also what a legend explains.

    Those are ``line``, ``ring``, ``square`` and ``region``.
    """
    import numpy as np
    from matplotlib.markers import MarkerStyle

    color = color.replace(INK, "currentColor")
    shapes = {
        "line": '<path d="M0 6H12" fill="none" stroke-width="1.8"/>',
        "ring": '<circle cx="6" cy="6" r="5" fill="none" stroke-width="1.3"/>',
        "square": '<path d="M1 1H11V11H1Z" fill="none" stroke-width="1.3"/>',
        "region": '<path d="M.7 2.5H11.3V9.5H.7Z" fill-opacity=".15" stroke-width="1.3"/>',
    }
    shape = shapes.get(mark)
    if shape is None:
        found = MarkerStyle(mark)
        outline = found.get_path().transformed(found.get_transform())
        rings = [np.asarray(ring, dtype=float).tolist() for ring in outline.to_polygons()]
        scale = 5 / max(abs(end) for ring in rings for point in ring for end in point)
        path = "".join(f"M{' '.join(f'{6 + scale * x:.1f},{6 - scale * y:.1f}' for x, y in ring)}Z" for ring in rings)
        shape = f'<path d="{path}" stroke="none"/>'
    return f'<svg class="icon" viewBox="0 0 12 12" aria-hidden="true" fill="{color}" stroke="{color}">{shape}</svg>'


def png(plot: Plot, dpi: int = 200) -> bytes:
    """``plot`` as a PNG file on white."""
    stream = io.BytesIO()
    with style():
        plot.figure.savefig(stream, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
    return stream.getvalue()


def _drawn(plot: Plot) -> tuple[str, str]:
    """The root element's start and the rest of matplotlib's SVG, without what would hold for a whole page."""
    stream = io.StringIO()
    with style():
        # Points that are many are drawn as a picture, of this resolution.
        plot.figure.savefig(
            stream, format="svg", dpi=200, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    text = stream.getvalue()
    text = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "", text)  # no XML may hold them, and a name may
    text = re.sub(r"<style[^>]*>.*?</style>", "", text[text.index("<svg") :], flags=re.DOTALL)
    head, body = text.split(">", 1)
    return head, body


def _view(head: str) -> str:
    view = re.search(r'viewBox="([^"]*)"', head)
    assert view, head
    return view[1]


def _spots(plot: Plot) -> str:
    """A circle over each point, for pointers and keys; its title is what a reader without scripts gets."""
    if not plot.spots:
        return ""
    figure = plot.figure
    height = 72 * figure.get_figheight()
    found = []
    for spot in plot.spots:
        x, y = (72 / figure.dpi * at for at in spot.axes.transData.transform((spot.x, spot.y)))
        text = html.escape(spot.text)
        found.append(
            f'<circle cx="{x:.1f}" cy="{height - y:.1f}" r="7" data-path="{spot.path}"><title>{text}</title></circle>'
        )
    return f'<g class="spots">{"".join(found)}</g>'
