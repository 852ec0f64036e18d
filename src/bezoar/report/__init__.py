"""Reports: run folders as tables and as one page that works offline. Importing this imports no plotting library."""

from bezoar.report.export import FORMATS, export
from bezoar.report.fields import differences
from bezoar.report.latex import latex
from bezoar.report.markdown import aligned, markdown
from bezoar.report.page import result, summary, write
from bezoar.report.pooling import pooled, read_runs
from bezoar.report.reading import read_run
from bezoar.report.runs import Run
from bezoar.report.selection import GOAL, MARGIN, Choice, choose, pick
from bezoar.report.sentences import sentences
from bezoar.report.tables import Row, every_epoch, last_epochs, plain, table
from bezoar.report.values import values

__all__ = [
    "FORMATS",
    "GOAL",
    "MARGIN",
    "Choice",
    "Row",
    "Run",
    "aligned",
    "choose",
    "differences",
    "every_epoch",
    "export",
    "last_epochs",
    "latex",
    "markdown",
    "pick",
    "plain",
    "pooled",
    "read_run",
    "read_runs",
    "result",
    "sentences",
    "summary",
    "table",
    "values",
    "write",
]
