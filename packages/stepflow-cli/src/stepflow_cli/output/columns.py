"""The structure of records of one kind: the columns of their table, and their fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

__all__ = ["Column", "View"]


class Column(NamedTuple):
    """A column of a table."""

    field: str
    """The dotted name of the field."""
    title: str = ""
    """The heading. By default the last part of the field's name."""
    kind: Literal["text", "id", "status", "time", "number"] = "text"
    """A status is coloured, a time is shown as local time and as an age, and a number is aligned to the right."""
    show: Callable[[Any], str] | None = None
    """Converts a value to text, if the default text is not suitable for people."""
    row: Callable[[Mapping[str, Any]], str] | None = None
    """Converts the whole record to text, for a cell that depends on several fields."""
    optional: bool = False
    """Whether the column is left out on a terminal that is too narrow; the rightmost is left out first."""

    @property
    def heading(self) -> str:
        """The heading above the column."""
        return self.title or self.field.rpartition(".")[2].replace("_", " ").upper()


class View(NamedTuple):
    """The structure of records of one kind."""

    columns: tuple[Column, ...]
    """The columns of a table, unless --fields names others."""
    name: str = "run_id"
    """The field that `-o name` prints."""
    fields: tuple[str, ...] = ()
    """Further fields of the records. These and the columns' fields can be selected even if there are no records."""
    folds: bool = False
    """Whether texts too long for their column are folded, not truncated: sentences that people have to read."""
    open_fields: tuple[str, ...] = ()
    """Fields that hold arbitrary JSON values, whose nested fields are unknown."""

    @property
    def known(self) -> tuple[str, ...]:
        """The fields that are known to exist."""
        return tuple(dict.fromkeys([*(column.field for column in self.columns), self.name, *self.fields]))

    def only(self, fields: Sequence[str]) -> View:
        """Return a view with these fields as its columns."""
        # Requested fields are never left out.
        known = {column.field: column._replace(optional=False) for column in self.columns}
        columns = tuple(known.get(name) or Column(name, title=name.upper()) for name in fields)
        return View(columns, self.name, folds=self.folds, open_fields=self.open_fields)
