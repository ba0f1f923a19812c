"""The structure of records of one kind: their fields, and the columns of their table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast

from ..errors import suggest, usage

Kind = Literal["text", "words", "id", "status", "time", "number"]


def format_json_cell(value: Any) -> str:
    """Return a JSON value as the text of a cell: as JSON, but strings without quotes; `-` for null."""
    if value is None:
        return "-"
    is_plain = isinstance(value, str) and value.strip()
    return str(value) if is_plain else json.dumps(value, ensure_ascii=False)


class Column(NamedTuple):
    """A column of a table."""

    field: str
    """The dotted name of the field."""
    title: str = ""
    """The heading. By default the last part of the field's name."""
    kind: Kind = "text"
    """A status is coloured, a time is shown as local time and as an age, and a number is aligned to the right. Texts
    are cut if the terminal is narrow, words only if there is nothing else to shorten."""
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


def columns(*written: str) -> tuple[Column, ...]:
    """Return columns that are written as `field`, `field:kind`, `field=TITLE` or `field:kind=TITLE`."""
    result = []
    for text in written:
        name, _, title = text.partition("=")
        field, _, kind = name.partition(":")
        result.append(Column(field, title, cast("Kind", kind or "text")))
    return tuple(result)


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
        columns = []
        for name in fields:
            is_open = any(name == field or name.startswith(f"{field}.") for field in self.open_fields)
            columns.append(known.get(name) or Column(name, name.upper(), show=format_json_cell if is_open else None))
        return View(tuple(columns), self.name, folds=self.folds, open_fields=self.open_fields)


_MISSING = object()


def select_fields(records: Sequence[Mapping[str, Any]], fields: Sequence[str], view: View) -> Iterator[dict[str, Any]]:
    """Return each record with only these fields, in the given order, nested as in the record.

    Args:
        records: The records.
        fields: Dotted names.
        view: The columns and fields of the view are known even if no record has them.

    Raises:
        Problem: If a field is in none of the records and not in the view.
    """
    for name in fields:
        _check_field(name, records, view)
    for record in records:
        selected: dict[str, Any] = {}
        for name in fields:
            *parents, last = name.split(".")
            target = selected
            for part in parents:
                inner = target.get(part)
                if not isinstance(inner, dict):
                    inner = target[part] = {}
                target = inner
            target[last] = get_field(record, name)
        yield selected


def get_field(record: Mapping[str, Any], name: str, default: Any = None) -> Any:
    """Return the value of a dotted field, or the default if the field does not exist."""
    value: Any = record
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return default
        value = value[part]
    return value


def _check_field(name: str, records: Sequence[Mapping[str, Any]], view: View) -> None:
    if not name:
        raise usage("--fields names fields, such as a,b.c; one of them is empty")
    if name in view.known or any(get_field(record, name, _MISSING) is not _MISSING for record in records):
        return
    if any(name.startswith(f"{field}.") for field in view.open_fields):
        # The contents of an output, for example, are up to the user: a missing field is null.
        return
    parent = name.rpartition(".")[0]
    if parent and any(get_field(record, parent, _MISSING) is None for record in records):
        # The parent is null, so the fields inside it are unknown.
        return
    if not records and name.partition(".")[0] in {field.partition(".")[0] for field in view.known}:
        # The fields inside it are known only once there is a record.
        return
    known = {*view.known, *(path for record in records for path in _iter_field_names(record))}
    top = sorted({path for path in known if "." not in path})
    raise usage(f"there is no field {name}", suggest(name, known) or f"the fields are {', '.join(top)}")


def _iter_field_names(value: Any, before: str = "", depth: int = 3) -> Iterator[str]:
    if isinstance(value, Mapping) and depth:
        for key, inner in value.items():
            yield f"{before}{key}"
            yield from _iter_field_names(inner, f"{before}{key}.", depth - 1)
