"""Sources that lie in files: tables (CSV, TSV, Parquet, JSON lines) and folders of images."""

from bezoar.data.files.folder import ImageFolder, LabeledFolder
from bezoar.data.files.table import LabeledTable, Table

__all__ = ["ImageFolder", "LabeledFolder", "LabeledTable", "Table"]
