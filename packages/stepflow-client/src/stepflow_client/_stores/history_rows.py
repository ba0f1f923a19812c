"""Converts history entries to table rows and back."""

from __future__ import annotations

import json
import re
import time
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from .._data.flow_declarations import holds_secret
from .._data.secrets import HIDDEN, HIDDEN_IN_URL, Secrets, find_flow_secrets, get_variable_schemas, hide_flow_secrets
from ..types.statuses import ExecutionStatus

# Maximum size of a flow, input, variables or overrides, in characters of JSON. Larger ones are left out.
_MAX_LENGTH = 1_000_000
FIELDS = ("flow", "input", "variables", "overrides")
COLUMNS = (
    "run_id, created, server, flow_id, flow_file, status, labels, note, omitted, flow, input, variables, overrides, "
    "rerun_of, kept, rerun_items, has_more_runs, is_embedded, checksum"
)
PENDING, OWN = "pending:", "pending:own:"
"""ID prefixes for unconfirmed runs in general, and for unconfirmed runs with a flow ID of their own."""
SCHEMA = (
    """
    CREATE TABLE IF NOT EXISTS runs (
        number INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL UNIQUE, created DOUBLE PRECISION, server TEXT,
        flow_id TEXT, flow_file TEXT, status TEXT, labels TEXT, note TEXT, omitted TEXT, flow TEXT, input TEXT,
        variables TEXT, overrides TEXT, rerun_of TEXT, kept TEXT, rerun_items TEXT, has_more_runs BIGINT,
        is_embedded BIGINT, checksum BIGINT
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
"""The statements that create the tables, in SQLite's dialect."""
_STATUS, _LABELS = (COLUMNS.split(", ").index(name) for name in ("status", "labels"))
_STATUSES = frozenset(status.value for status in ExecutionStatus)
_PASSWORD_IN_URL = re.compile(r"(?<=://)[^/?#\s@\"]*@")


class DamagedRowError(ValueError):
    """A row's checksum does not match."""


def hide_secrets(
    entry: dict[str, Any], flow: Mapping[str, Any] | None, variables: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the values to record, with secrets replaced by `***`."""
    schemas = get_variable_schemas(flow)
    names = {name for name in variables or {} if flow is None or holds_secret(schemas.get(name))}
    secrets = Secrets([value for name, value in (variables or {}).items() if name in names], include_short=False)
    hidden: dict[str, Any] = secrets.hide_in(entry | {"flow": None if flow is None else hide_flow_secrets(flow)})
    if variables is not None:
        hidden["variables"] = {k: HIDDEN if k in names else secrets.hide_in(v) for k, v in variables.items()}
    # Also hide defaults from the flow.
    return hidden if flow is None else find_flow_secrets(flow).hide_in(hidden)


def encode_row(run_id: str, entry: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the column values for an entry."""
    texts = {name: None if entry[name] is None else encode_json(entry[name]) for name in FIELDS}
    too_large = {name for name, text in texts.items() if text is not None and len(text) > _MAX_LENGTH}
    omitted = [name for name in FIELDS if name in too_large or name in entry["omitted"]]
    texts |= dict.fromkeys(omitted)
    columns = [entry[name] for name in ("server", "flow_id", "flow_file")]
    plain = [None if value is None else _PASSWORD_IN_URL.sub("", str(value)) for value in columns]
    note = None if entry["note"] is None else _hide_passwords(str(entry["note"]))
    row = (
        *(run_id, time.time(), *plain, None, encode_json(entry["labels"]), note, json.dumps(omitted), *texts.values()),
        *(entry["rerun_of"], json.dumps(entry["kept"]), json.dumps(entry["rerun_items"])),
        *(int(entry["has_more_runs"]), int(entry["is_embedded"])),
    )
    return (*row, _compute_checksum(row))


def make_confirmed_row(row: tuple[Any, ...], run_id: str) -> tuple[Any, ...]:
    """Return an unconfirmed run's row with the run's real ID."""
    changed = (run_id, *row[1:-1])
    return (*changed, _compute_checksum(changed))


def _compute_checksum(row: tuple[Any, ...]) -> int:
    """Return a row's checksum. Leaves out the status, which is updated separately."""
    return zlib.crc32(json.dumps([*row[:_STATUS], *row[_STATUS + 1 :]]).encode())


def annotate_row(row: tuple[Any, ...], note: str | None, labels: Mapping[str, str]) -> tuple[Any, ...]:
    """Return a row with labels added, and with a new note (unless `note` is None).

    Raises:
        DamagedRowError: If the row is damaged.
    """
    changed = list(row[:-1])
    changed[_LABELS] = encode_json(decode_row(row)["labels"] | labels)
    if note is not None:
        changed[_LABELS + 1] = _hide_passwords(note)
    return (*changed, _compute_checksum(tuple(changed)))


def encode_json(value: Any) -> str:
    """Return a value as JSON, with passwords in URLs hidden."""
    return _hide_passwords(json.dumps(value, ensure_ascii=False))


def _hide_passwords(text: str) -> str:
    """Hide users and passwords in URLs.

    They are replaced by a mark, so that a rerun doesn't mistake what's left for the real argument.
    """
    # Also replace NUL, which PostgreSQL can't store.
    return _PASSWORD_IN_URL.sub(HIDDEN_IN_URL.removeprefix("://"), text.replace("\0", "\ufffd"))


def decode_row(row: tuple[Any, ...]) -> dict[str, Any]:
    """Return the entry fields stored in a row.

    Raises:
        DamagedRowError: If the row is damaged.
    """
    try:
        if row[-1] != _compute_checksum(row[:-1]):
            raise ValueError("checksum mismatch")
        fields: dict[str, Any] = dict(zip(COLUMNS.split(", "), row[:-1], strict=False))
        for name in ("labels", "omitted", "kept", "rerun_items", *FIELDS):
            fields[name] = None if fields[name] is None else json.loads(fields[name])
        fields |= {name: tuple(fields[name]) for name in ("omitted", "kept", "rerun_items")}
        fields |= {name: bool(fields[name]) for name in ("has_more_runs", "is_embedded")}
        fields["created_at"] = datetime.fromtimestamp(fields.pop("created"), UTC)
    except (TypeError, ValueError, OverflowError, OSError, RecursionError) as error:
        raise DamagedRowError(str(error)) from error
    status = fields["status"]
    # Check the status separately, since the checksum doesn't cover it.
    is_status = isinstance(status, str) and (status in _STATUSES or status.startswith("unknown_"))
    fields["status"] = status if is_status else None
    return fields


def decode_outputs(content: str) -> list[dict[str, Any]] | None:
    """Decode each item's step outputs, or return None if the text is damaged."""
    try:
        # Raises if the value isn't a string, or contains bytes that aren't UTF-8.
        outputs = json.loads(str.encode(content))
    except (TypeError, ValueError, RecursionError):
        return None
    is_valid = isinstance(outputs, list) and all(isinstance(item, dict) for item in outputs)
    return outputs if is_valid else None
