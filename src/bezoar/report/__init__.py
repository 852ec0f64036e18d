"""Reports: a run folder as a table and as one page that works offline. Importing this imports no plotting library."""

from bezoar.report.markdown import aligned, markdown
from bezoar.report.page import summary, write
from bezoar.report.reading import read_run
from bezoar.report.runs import Run
from bezoar.report.selection import GOAL, MARGIN, Choice, choose, pick
from bezoar.report.sentences import sentences
from bezoar.report.tables import Row, every_epoch, last_epochs, plain, table

__all__ = [
    "GOAL",
    "MARGIN",
    "Choice",
    "Row",
    "Run",
    "aligned",
    "choose",
    "every_epoch",
    "last_epochs",
    "markdown",
    "pick",
    "plain",
    "read_run",
    "sentences",
    "summary",
    "table",
    "write",
]
