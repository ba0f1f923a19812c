"""The rows of the history's file: what is stored of a run, and how it is read again. Pure."""

from __future__ import annotations

import json
import re
import time
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from .._data.flow_declarations import holds_secret
from .._data.secrets import HIDDEN, HIDDEN_IN_URL, Secrets, flow_secrets, hidden_flow, variable_schemas
from ..types.statuses import ExecutionStatus

_LARGEST = 1_000_000
"""Maximum size of a flow, an input, variables or overrides, in characters of JSON; larger ones are left out."""
FIELDS = ("flow", "input", "variables", "overrides")
_FIRST = "run_id, created, server, flow_id, flow_file, status, labels, note, omitted, flow, input, variables, overrides"
ADDED = ("rerun_of", "kept", "rerun_items", "has_more_runs", "is_embedded", "checksum")
"""Columns that the first version of the file did not have."""
COLUMNS = f"{_FIRST}, {', '.join(ADDED)}"
PENDING, OWN = "pending:", "pending:own:"
"""The beginning of the ids of runs whose creation is not confirmed; of those that have a flow of their own."""
_TYPES = {
    "run_id": "TEXT NOT NULL UNIQUE",
    "created": "DOUBLE PRECISION",
    **dict.fromkeys(("has_more_runs", "is_embedded", "checksum"), "BIGINT"),
}


def type_of(column: str) -> str:
    """Return the type of a column of the runs."""
    return _TYPES.get(column, "TEXT")


SCHEMA = (
    f"""
    CREATE TABLE IF NOT EXISTS runs (
        number INTEGER PRIMARY KEY AUTOINCREMENT, {", ".join(f"{each} {type_of(each)}" for each in COLUMNS.split(", "))}
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS outputs (
        number INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL UNIQUE, server TEXT NOT NULL,
        content TEXT NOT NULL
    )
    """,
    f"CREATE INDEX IF NOT EXISTS pending ON runs (flow_id) WHERE substr(run_id, 1, {len(PENDING)}) = '{PENDING}'",
)
"""The statements that create the tables."""
_STATUS, _LABELS = (COLUMNS.split(", ").index(each) for each in ("status", "labels"))
_STATUSES = frozenset(each.value for each in ExecutionStatus)
_PASSWORD_IN_URL = re.compile(r"(?<=://)[^/?#\s@\"]*@")

Item = TypeVar("Item")


class DamagedRowError(ValueError):
    """A row is not as it was written."""


def without_secrets(
    kept: dict[str, Any], flow: Mapping[str, Any] | None, variables: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the values to record, with each secret replaced by `***`."""
    declared = variable_schemas(flow)
    names = {name for name in variables or {} if flow is None or holds_secret(declared.get(name))}
    found = Secrets([each for name, each in (variables or {}).items() if name in names], words=False)
    hidden: dict[str, Any] = found.hide_in(kept | {"flow": None if flow is None else hidden_flow(flow)})
    if variables is not None:
        hidden["variables"] = {
            name: HIDDEN if name in names else found.hide_in(each) for name, each in variables.items()
        }
    # Defaults in the flow are secret too.
    return hidden if flow is None else flow_secrets(flow).hide_in(hidden)


def row_of(run_id: str, kept: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the values of the columns."""
    texts = {name: None if kept[name] is None else encoded(kept[name]) for name in FIELDS}
    too_large = {name for name, text in texts.items() if text is not None and len(text) > _LARGEST}
    omitted = [name for name in FIELDS if name in too_large or name in kept["omitted"]]
    texts |= dict.fromkeys(omitted)
    plain = [None if kept[name] is None else str(kept[name]) for name in ("server", "flow_id", "flow_file")]
    plain = [None if each is None else _PASSWORD_IN_URL.sub("", each) for each in plain]
    note = None if kept["note"] is None else _masked(str(kept["note"]))
    row = (
        *(run_id, time.time(), *plain, None, encoded(kept["labels"]), note, json.dumps(omitted), *texts.values()),
        *(kept["rerun_of"], json.dumps(kept["kept"]), json.dumps(kept["rerun_items"]), int(kept["has_more_runs"])),
        int(kept["is_embedded"]) or None,
    )
    return (*row, _checksum(row))


def confirmed(row: tuple[Any, ...], run_id: str) -> tuple[Any, ...]:
    """Return a row with the id of its run."""
    changed = (run_id, *row[1:-1])
    return (*changed, _checksum(changed))


def _checksum(row: tuple[Any, ...]) -> int:
    """Return a checksum of a row without its status, which is updated on its own."""
    # Earlier versions do not have the last column.
    last = len(row) - (row[-1] is None)
    return zlib.crc32(json.dumps([*row[:_STATUS], *row[_STATUS + 1 : last]]).encode())


def annotated(row: tuple[Any, ...], note: str | None, labels: Mapping[str, str]) -> tuple[Any, ...]:
    """Return a row with another note, unless it is None, and with labels added.

    Raises:
        DamagedRowError: If the row is damaged.
    """
    known = fields_of(row)["labels"]
    changed = list(row[:-1])
    changed[_LABELS] = encoded(known | labels)
    if note is not None:
        changed[_LABELS + 1] = _masked(note)
    return (*changed, _checksum(tuple(changed)))


def encoded(value: Any) -> str:
    """Return the JSON text of a value, with the passwords of URLs hidden."""
    return _masked(json.dumps(value, ensure_ascii=False))


def _masked(text: str) -> str:
    """Return a text with the users and passwords of the URLs in it hidden.

    They leave a mark: without one, a rerun would take the rest for what the run was started with.
    """
    # PostgreSQL stores no NUL.
    return _PASSWORD_IN_URL.sub(HIDDEN_IN_URL.removeprefix("://"), text.replace("\0", "\ufffd"))


def fields_of(row: tuple[Any, ...]) -> dict[str, Any]:
    """Return the fields of the entry that a row contains. Rows of earlier versions have no checksum, and no other
    columns of this version.

    Raises:
        DamagedRowError: If the row is damaged.
    """
    try:
        return _fields(row)
    except (TypeError, ValueError, OverflowError, OSError, RecursionError) as error:
        raise DamagedRowError(str(error)) from error


def outputs_of(content: Any) -> list[dict[str, Any]] | None:
    """Return the outputs of the steps of each item, from their text; None if it is damaged."""
    try:
        found = json.loads(_text(content))
        return [_object(each) for each in found] if isinstance(found, list) else None
    except (TypeError, ValueError, RecursionError):
        return None


def _fields(row: tuple[Any, ...]) -> dict[str, Any]:
    *content, checksum = row
    is_earlier = all(each is None for each in row[-len(ADDED) :])
    if not is_earlier and checksum != _checksum(tuple(content)):
        raise ValueError("the checksum is wrong")
    run_id, created, server, flow_id, flow_file, status, labels, note, omitted, *more = content
    texts, (rerun_of, kept, rerun_items, has_more_runs, is_embedded) = more[: len(FIELDS)], more[len(FIELDS) :]
    values = {name: None if text is None else json.loads(_text(text)) for name, text in zip(FIELDS, texts, strict=True)}
    return {
        "run_id": _text(run_id),
        "created_at": datetime.fromtimestamp(created, UTC),
        "server": _optional(server),
        "flow_id": _optional(flow_id),
        "flow_file": _optional(flow_file),
        "status": status if _is_status(status) else None,
        "labels": {name: _text(label) for name, label in _object(json.loads(_text(labels))).items()},
        "note": _optional(note),
        "omitted": _listed(omitted, str),
        "rerun_of": _optional(rerun_of),
        "kept": () if kept is None else _listed(kept, str),
        "rerun_items": () if rerun_items is None else _listed(rerun_items, int),
        "has_more_runs": bool(has_more_runs),
        "is_embedded": bool(is_embedded),
        **values,
        **{name: None if values[name] is None else _object(values[name]) for name in ("flow", "variables")},
    }


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    value.encode()  # raises for bytes that are not UTF-8
    return value


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("not an object")
    return value


def _optional(value: Any) -> str | None:
    return None if value is None else _text(value)


def _is_status(value: Any) -> bool:
    return isinstance(value, str) and (value in _STATUSES or value.startswith("unknown_"))


def _listed(text: Any, kind: type[Item]) -> tuple[Item, ...]:
    found = json.loads(_text(text))
    if not isinstance(found, list) or not all(type(each) is kind for each in found):
        raise TypeError(f"not a list of {kind.__name__}")
    return tuple(found)
