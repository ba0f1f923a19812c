"""Describes the fields of records and the columns that tables show for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast

from ..errors import suggest, usage

Kind = Literal["text", "words", "id", "status", "time", "number"]


def format_json_cell(value: Any) -> str:
    """Format a JSON value for a table cell. Strings aren't quoted (unless they are blank), and null is shown as `-`."""
    if value is None:
        return "-"
    is_plain = isinstance(value, str) and value.strip()
    return str(value) if is_plain else json.dumps(value, ensure_ascii=False)


class Column(NamedTuple):
    """A column of a table."""

    field: str
    """The field's dotted name."""
    title: str = ""
    """The heading. If empty, the last part of the field's name is used."""
    kind: Kind = "text"
    """Statuses are colored, times are shown in local time along with their age, and numbers are right-aligned. On a
    narrow terminal, `text` is truncated first, and `words` only as a last resort."""
    show: Callable[[Any], str] | None = None
    """Converts the value to text. Set this if the default conversion isn't readable enough."""
    row: Callable[[Mapping[str, Any]], str] | None = None
    """Converts the whole record to text. Set this if the cell depends on several fields."""
    optional: bool = False
    """Whether the column may be dropped on a narrow terminal. Optional columns are dropped from right to left."""

    @property
    def heading(self) -> str:
        """The column heading."""
        return self.title or self.field.rpartition(".")[2].replace("_", " ").upper()


def columns(*written: str | Column) -> tuple[Column, ...]:
    """Create columns from strings such as `field`, `field:kind`, `field=TITLE` or `field:kind=TITLE`.

    A question mark after the field (`field?:kind`) makes the column optional. `Column` objects are returned unchanged.
    """
    result = []
    for each in written:
        if isinstance(each, str):
            name, _, title = each.partition("=")
            field, _, kind = name.partition(":")
            is_optional = field.endswith("?")
            each = Column(field.removesuffix("?"), title, cast("Kind", kind or "text"), optional=is_optional)
        result.append(each)
    return tuple(result)


class View(NamedTuple):
    """The fields and table columns of one kind of record."""

    columns: tuple[Column, ...]
    """The columns of the table, unless the user selects others with `--fields`."""
    name: str = "run_id"
    """The field printed by `-o name`."""
    fields: tuple[str, ...] = ()
    """Other fields that can be selected, even if there are no records."""
    folds: bool = False
    """Whether to wrap long text instead of truncating it, so that people can read whole sentences."""
    open_fields: tuple[str, ...] = ()
    """Fields that contain arbitrary JSON, so their nested fields aren't known in advance."""

    @property
    def selectable_fields(self) -> tuple[str, ...]:
        """All fields that can be selected, even if there are no records."""
        return tuple(dict.fromkeys([*(column.field for column in self.columns), self.name, *self.fields]))

    def with_selected_columns(self, fields: Sequence[str]) -> View:
        """Return a view whose columns are just these fields, in this order."""
        # Never drop a field that the user asked for.
        known = {column.field: column._replace(optional=False) for column in self.columns}
        columns = []
        for name in fields:
            is_open = any(name == field or name.startswith(f"{field}.") for field in self.open_fields)
            columns.append(known.get(name) or Column(name, name.upper(), show=format_json_cell if is_open else None))
        return View(tuple(columns), self.name, folds=self.folds, open_fields=self.open_fields)


_MISSING = object()


def select_record_fields(
    records: Sequence[Mapping[str, Any]], fields: Sequence[str], view: View
) -> Iterator[dict[str, Any]]:
    """Yield each record with only the selected fields, in the order they were selected. Nested fields stay nested.

    Args:
        records: The records.
        fields: Dotted field names.
        view: The records' view. Its fields can be selected even if no record has them.

    Raises:
        Problem: If a field is neither in the view nor in any record.
    """
    for name in fields:
        _check_field_exists(name, records, view)
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
            target[last] = get_nested_field(record, name)
        yield selected


def get_nested_field(record: Mapping[str, Any], name: str, default: Any = None) -> Any:
    """Return the value of a dotted field, or the default if it doesn't exist."""
    value: Any = record
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return default
        value = value[part]
    return value


def _check_field_exists(name: str, records: Sequence[Mapping[str, Any]], view: View) -> None:
    if not name:
        raise usage("--fields expects fields such as a,b.c, but one of them is empty")
    if name in view.selectable_fields or any(
        get_nested_field(record, name, _MISSING) is not _MISSING for record in records
    ):
        return
    if any(name.startswith(f"{field}.") for field in view.open_fields):
        # The content (such as an output) is up to the user, so treat a missing field as null.
        return
    parent = name.rpartition(".")[0]
    if parent and any(get_nested_field(record, parent, _MISSING) is None for record in records):
        # The parent is null, so we can't tell which fields it has.
        return
    if not records and name.partition(".")[0] in {field.partition(".")[0] for field in view.selectable_fields}:
        # Without a record, we can't tell which nested fields exist.
        return
    known = {*view.selectable_fields, *(path for record in records for path in _iter_nested_field_names(record))}
    top = sorted({path for path in known if "." not in path})
    raise usage(f"unknown field {name}", suggest(name, known) or f"the fields are {', '.join(top)}")


def _iter_nested_field_names(value: Any, before: str = "", depth: int = 3) -> Iterator[str]:
    if isinstance(value, Mapping) and depth:
        for key, inner in value.items():
            yield f"{before}{key}"
            yield from _iter_nested_field_names(inner, f"{before}{key}.", depth - 1)
