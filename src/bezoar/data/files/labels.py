"""A column of labels: numbers in the order of the classes, or names of classes, however a table writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bezoar.data.class_names import classes_of, twins
from bezoar.data.pairs import class_index

if TYPE_CHECKING:
    from bezoar.data.files.frame import Frame, Numbers

NOTHING = ("", "nan")
"""Not ``none``, which may be the name of a class."""


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The labels of a frame; each value that occurs is looked at once."""

    frame: Frame
    numeric: bool
    """Whether the column holds numbers; in text, a name goes before a number."""
    values: list[str]
    """The labels that occur, in the order in which they do."""
    codes: Numbers
    """Of each row the place of its label in ``values``; -1 where it has none."""
    beside: list[str | None]
    """Of each of ``values`` the name in the column beside; empty where there is no such column."""

    @classmethod
    def of(cls, frame: Frame, key: str, beside: str) -> Labels:
        """The labels in column ``key``, and perhaps their names in column ``beside``.

        Raises ``ValueError`` where a label has two names.
        """
        numeric = frame.cells(key).type != pa.large_string()
        cells = pc.utf8_trim_whitespace(frame.texts("label_key", key, NOTHING))
        coded = cells.dictionary_encode()
        codes = np.asarray(coded.indices.fill_null(-1)).astype(np.int64)
        found = cls(frame=frame, numeric=numeric, values=coded.dictionary.to_pylist(), codes=codes, beside=[])
        return found._with_names(beside) if beside else found

    def _with_names(self, beside: str) -> Labels:
        names = self.frame.texts("label_name", beside, NOTHING).dictionary_encode()
        known, of = names.dictionary.to_pylist(), np.asarray(names.indices.fill_null(-1))
        found: list[str | None] = [None] * len(self.values)
        for code, number in np.unique(np.stack([self.codes, of]), axis=1).T.tolist():
            if code >= 0 and number >= 0:
                if found[code] is not None:
                    raise ValueError(
                        f"label_key: {self._file}: label {self.values[code]} is called '{found[code]}' and "
                        f"'{known[number]}' in {beside}"
                    )
                found[code] = known[number]
        return Labels(frame=self.frame, numeric=self.numeric, values=self.values, codes=self.codes, beside=found)

    def named(self) -> tuple[str, ...]:
        """Class names from the table: those beside the numbers, or the labels themselves in alphabetical order.

        Raises ``ValueError`` where they cannot be known.
        """
        if not self.values:
            raise ValueError(f"label_key: no row of {self._file} has a label")
        called = {_number(value): name for value, name in zip(self.values, self.beside or self.values, strict=True)}
        if None in called:
            return tuple(sorted(self.values))
        if not self.beside:
            raise ValueError(
                f"classes: the labels of {self._file} are numbers: say the class names as a list, a JSON or text "
                f"file, or by name, as in {{kind: table, path: {self._file}, classes: imagenet}}"
            )
        names = [called.get(number) for number in range(len(called))]
        if None in names:
            raise ValueError(
                f"classes: no row of {self._file} says how class {names.index(None)} is called: say the names of all"
            )
        return classes_of(tuple(map(str, names)))

    def numbers(self, classes: tuple[str, ...]) -> Numbers:
        """Of each row the place of its class in ``classes``; -1 where it has no label. Raises ``ValueError``."""
        found = [self._place(code, classes) for code in range(len(self.values))]
        return np.array([*found, -1], np.int64)[self.codes]

    def _place(self, code: int, classes: tuple[str, ...]) -> int:
        value = self.values[code]
        row = self.frame.lines[int(np.argmax(self.codes == code))]
        where = f"{self._file}, row {row}: label"
        number = _number(value)
        if number is None or (not self.numeric and value in classes):
            if value in twins(classes):
                raise ValueError(f"{where}: '{value}' is the name of two classes: say their numbers instead")
            return class_index(value, classes, where)
        if not 0 <= number < len(classes):
            raise ValueError(f"{where}: {value} is not the number of a class (0 to {len(classes) - 1})")
        name = self.beside[code] if self.beside else None
        if name is not None and name != classes[number] and name in classes:
            raise ValueError(
                f"{where}: {value} is called '{name}' in the table, and '{classes[number]}' among classes: they are "
                "in another order"
            )
        return number

    @property
    def _file(self) -> str:
        return str(self.frame.columns.files[0])


def _number(value: str) -> int | None:
    """3 of ``3``, and of ``3.0``, as programs write it in a column that has an empty cell."""
    found = re.fullmatch(r"([+-]?[0-9]{1,9})(\.0*)?", value)
    return int(found[1]) if found else None
