"""The order of a table's rows, as its URL names it: `?sort=duration`, or `?sort=-duration` for the largest first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

_Row = TypeVar("_Row")
# Columns that a first click sorts from the largest value.
_NUMBERS = ("duration", "attempts")


@dataclass(frozen=True)
class Order:
    """The order of a table; without a column, the order of the rows themselves."""

    column: str = ""
    is_descending: bool = False

    @classmethod
    def of(cls, text: str, columns: Iterable[str]) -> Order:
        """Return the order that a URL names; the rows' own order if there is no such column."""
        column = text.removeprefix("-")
        return cls(column, text.startswith("-")) if column in columns else cls()

    @property
    def text(self) -> str:
        """The order as a URL names it."""
        return f"-{self.column}" if self.is_descending else self.column

    def toggled(self, column: str) -> str:
        """Return the order after a click on the heading of a column."""
        is_descending = not self.is_descending if column == self.column else column in _NUMBERS
        return Order(column, is_descending).text

    def aria(self, column: str) -> str:
        """Return the value of `aria-sort` for a column; empty if the rows are in another order."""
        return "" if column != self.column else "descending" if self.is_descending else "ascending"

    def sorted(self, rows: Iterable[_Row], keys: Mapping[str, Callable[[_Row], Any]]) -> list[_Row]:
        """Return the rows in this order; rows whose key is None come last.

        Args:
            rows: The rows.
            keys: The key of a row by column.
        """
        if not self.column:
            return list(rows)
        key = keys[self.column]
        known, unknown = list[tuple[Any, _Row]](), list[_Row]()
        for row in rows:
            value = key(row)
            unknown.append(row) if value is None else known.append((value, row))
        known.sort(key=lambda pair: pair[0], reverse=self.is_descending)
        return [row for _, row in known] + unknown
