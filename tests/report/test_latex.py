"""LaTeX: every cell stands, and no name can do anything."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from tests.report.handmade import WHOLE, make_run

from bezoar.report.latex import escaped, latex
from bezoar.report.reading import read_run
from bezoar.report.tables import table

HOSTILE = r"\input{/etc/passwd} & 50% of $x_1^2$ #1 ~ {a} <b> [c] \\ `d'"


def test_a_table(tmp_path: Path) -> None:
    rows = table(read_run(make_run(tmp_path, WHOLE)))
    text = latex(rows, "by hand: 100 %", "tab:result", ["captions are templates"])
    lines = text.splitlines()
    assert lines[0] == r"% \usepackage{booktabs}"
    assert [line for line in lines if "rule" in line] == [r"\toprule", r"\midrule", r"\bottomrule"]
    assert r"\caption{by hand: 100 \%}" in lines
    assert r"\label{tab:result}" in lines
    body = [line for line in lines if line.endswith(r" \\")]
    assert len(body) == 1 + len(rows)
    assert {line.count("&") for line in body} == {7}
    assert r"61.0~\% (57.9--64.0, n~1,000) & 96.0~\% (94.6--97.0, n~1,000) & -- & " in body[1]
    assert "$-$4.0" in body[3]
    assert r"{\footnotesize captions are templates}" in text
    assert text.index(r"\end{tabular}") < text.index("captions are") < text.index(r"\end{table}")


def test_hostile_names_are_text(tmp_path: Path) -> None:
    row = dataclasses.replace(table(read_run(make_run(tmp_path, WHOLE)))[0], group=HOSTILE)
    text = latex([row], HOSTILE, r"tab:x} \evil{", [HOSTILE])
    assert r"\input{" not in text
    assert r"\evil" not in text
    own = {
        "usepackage", "begin", "centering", "caption", "label", "toprule", "midrule", "bottomrule", "end", "par",
        "smallskip", "footnotesize", "textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater",
        "textasciigrave", "textquotesingle",
    }  # fmt: skip
    assert set(re.findall(r"\\([a-z]+)", text)) == own
    bare = re.sub(r"\\.", "", text.partition("\n")[2])
    assert "%" not in bare
    assert "#" not in bare
    assert "^" not in bare
    assert bare.count("{") == bare.count("}")


def test_signs() -> None:
    assert escaped("a\x00\nb\u2028c") == "a  b c"
    assert escaped("“x” – y − z ≤ 1 → ×") == r"``x'' -- y $-$ z $\leq$ 1 $\to$ $\times$"


def test_a_long_table_breaks_across_pages(tmp_path: Path) -> None:
    row = table(read_run(make_run(tmp_path, WHOLE)))[0]
    text = latex([row] * 41, "long", "tab:long")
    assert text.startswith("% \\usepackage{booktabs,longtable}\n")
    assert text.count(r"\begin{longtable}") == text.count(r"\end{longtable}") == 1
    assert r"\endfirsthead" in text
    assert "tabular" not in text


def test_no_rows() -> None:
    assert latex([], "c", "l") == "% Nothing has been measured yet.\n"
