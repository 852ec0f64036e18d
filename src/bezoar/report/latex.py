r"""Tables as LaTeX: booktabs, every cell escaped; longer than a page they break across pages with longtable."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bezoar.report.grid import NOTHING, Grid, grid

if TYPE_CHECKING:
    from bezoar.report.tables import Row

_LONG = 40
"""Rows of a table that is no longer kept on one page."""
_SIGNS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}", "'": r"\textquotesingle{}",
    "[": "{[}", "]": "{]}",  # a bracket after \\ would be its argument
    "\u00a0": "~", "–": "--", "−": "$-$", "“": "``", "”": "''", "×": r"$\times$", "≤": r"$\leq$", "→": r"$\to$",
    "∞": r"$\infty$",
}  # fmt: skip


def latex(rows: Sequence[Row], caption: str, label: str, notes: Sequence[str] = ()) -> str:
    r"""A table that needs ``booktabs`` (and ``longtable`` above 40 rows, ``textcomp`` in old systems).

    ``caption`` is text, ``label`` a word for ``\ref``; ``notes`` stand below the table.
    """
    if not rows:
        return f"% {NOTHING}\n"
    return as_latex(grid(rows), caption, label, notes)


def as_latex(found: Grid, caption: str, label: str, notes: Sequence[str] = ()) -> str:
    """Cells of text as a table in LaTeX."""
    columns = "".join("r" if number else "l" for number in found.numbers)
    head = " & ".join(map(escaped, found.head)) + r" \\"
    body = "\n".join(" & ".join(map(escaped, line)) + r" \\" for line in found.lines)
    below = "".join(f"\n\\par\\smallskip\n{{\\footnotesize {escaped(note)}}}" for note in notes)
    named = f"\\caption{{{escaped(caption)}}}\n\\label{{{re.sub('[^A-Za-z0-9:-]+', '-', label)}}}"
    if len(found.lines) > _LONG:
        lines = [
            r"% \usepackage{booktabs,longtable}", rf"\begin{{longtable}}{{{columns}}}", named + r" \\", r"\toprule",
            head, r"\midrule", r"\endfirsthead", r"\toprule", head, r"\midrule", r"\endhead", r"\bottomrule",
            r"\endfoot", body, r"\end{longtable}" + below,
        ]  # fmt: skip
    else:
        lines = [
            r"% \usepackage{booktabs}", r"\begin{table}", r"\centering", named, rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule", head, r"\midrule", body, r"\bottomrule", r"\end{tabular}" + below, r"\end{table}",
        ]  # fmt: skip
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """``text`` as LaTeX that prints it and does nothing else."""
    return "".join(_SIGNS.get(char, char if char.isprintable() else " ") for char in text)
