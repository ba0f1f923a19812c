"""What records of one kind are made of: their columns in a table, and their fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

__all__ = ["Column", "View"]


class Column(NamedTuple):
    """One column of a table."""

    field: str
    """The dotted name of the field it shows."""
    title: str = ""
    """Its heading. By default the last part of the field's name."""
    kind: Literal["text", "id", "status", "time", "number"] = "text"
    """A status has a colour, a time is shown local and relative, a number stands to the right."""
    show: Callable[[Any], str] | None = None
    """Makes text of a value, where the usual one would not be what people read."""
    optional: bool = False
    """It is left out on a terminal that is too narrow, the rightmost first."""

    @property
    def heading(self) -> str:
        """What stands above it."""
        return self.title or self.field.rpartition(".")[2].replace("_", " ").upper()


class View(NamedTuple):
    """What records of one kind are made of."""

    columns: tuple[Column, ...]
    """Of a table, where --fields does not name others."""
    name: str = "run_id"
    """The field that `-o name` prints."""
    fields: tuple[str, ...] = ()
    """Further fields that records have; these and the columns' may be asked for though no record is there."""
    folds: bool = False
    """Whether a text that is too long for its column is folded, and not cut: sentences that people have to read."""
    open_fields: tuple[str, ...] = ()
    """Fields that hold any JSON value, so that nobody can tell what is in them."""

    @property
    def known(self) -> tuple[str, ...]:
        """The fields that exist for sure."""
        return tuple(dict.fromkeys([*(column.field for column in self.columns), self.name, *self.fields]))

    def only(self, fields: Sequence[str]) -> View:
        """Return the view whose columns are these fields."""
        # What was asked for is not left out.
        known = {column.field: column._replace(optional=False) for column in self.columns}
        columns = tuple(known.get(name) or Column(name, title=name.upper()) for name in fields)
        return View(columns, self.name, folds=self.folds, open_fields=self.open_fields)
