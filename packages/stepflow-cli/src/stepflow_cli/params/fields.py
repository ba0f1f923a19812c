"""`--fields a,b.c`: parts of records, by dotted names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import nearest, usage

if TYPE_CHECKING:
    from ..output.columns import View

__all__ = ["check_known", "select", "value_of"]

_MISSING = object()


def select(records: Sequence[Mapping[str, Any]], fields: Sequence[str], view: View) -> Iterator[dict[str, Any]]:
    """Return each record with only these fields, in the given order, nested as in the record.

    Args:
        records: The records.
        fields: Dotted names.
        view: The columns and fields of the view are known even if no record has them.

    Raises:
        Problem: If a field is in none of the records and not in the view.
    """
    for name in fields:
        _check(name, records, view)
    for record in records:
        chosen: dict[str, Any] = {}
        for name in fields:
            _put(chosen, name.split("."), value_of(record, name))
        yield chosen


def check_known(fields: Sequence[str], view: View) -> None:
    """Check that the fields can occur, before there are any records.

    Args:
        fields: Dotted names.
        view: The view; it lists all fields of its records, but not the fields nested in them.

    Raises:
        Problem: If one cannot occur.
    """
    for name in fields:
        _check(name, [], view)


def value_of(record: Mapping[str, Any], name: str, default: Any = None) -> Any:
    """Return the value of a dotted field, or the default if the field does not exist."""
    value: Any = record
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return default
        value = value[part]
    return value


def _put(target: dict[str, Any], parts: Sequence[str], value: Any) -> None:
    for part in parts[:-1]:
        inner = target.get(part)
        if not isinstance(inner, dict):
            inner = target[part] = {}
        target = inner
    target[parts[-1]] = value


def _check(name: str, records: Sequence[Mapping[str, Any]], view: View) -> None:
    if not name:
        raise usage("--fields names fields, such as a,b.c; one of them is empty")
    if name in view.known or any(value_of(record, name, _MISSING) is not _MISSING for record in records):
        return
    if any(name.startswith(f"{each}.") for each in view.open_fields):
        # The contents of an output, for example, are up to the user: a missing field is null.
        return
    parent = name.rpartition(".")[0]
    if parent and any(value_of(record, parent, _MISSING) is None for record in records):
        # The parent is null, so the fields inside of it are unknown.
        return
    if not records and name.partition(".")[0] in {each.partition(".")[0] for each in view.known}:
        # The fields inside of it are known only once there is a record.
        return
    known = {*view.known, *(path for record in records for path in _paths(record))}
    top = sorted({path for path in known if "." not in path})
    raise usage(f"there is no field {name}", nearest(name, known) or f"the fields are {', '.join(top)}")


def _paths(value: Any, before: str = "", depth: int = 3) -> Iterator[str]:
    if isinstance(value, Mapping) and depth:
        for key, inner in value.items():
            yield f"{before}{key}"
            yield from _paths(inner, f"{before}{key}.", depth - 1)
