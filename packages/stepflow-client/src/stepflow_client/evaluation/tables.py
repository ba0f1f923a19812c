"""The tables in the file of an evaluation, and the columns in their rows.

The tables of version 1:

| table | a row |
|---|---|
| `about` | a name and a JSON value: `version`, `id`, `name`, `flow`, `repeat`, `count` (of cases), `scores` (the keys of the score functions of the last call, in their order), `sources` (by the key of a score function, the digest of its source text when its first value was stored), `lower_is_better` (the names of those of which low values are good), `timed` (the names of those that measure time), `moments` (by variant, the number of the call in which it ran first), `flows` (of the variants) |
| `cases` | some cases: `number` of the first one, from 0, and as JSON a list of `names` and `content`: of lists of the input and the expected output, and of the metadata and the tags of a case that has them |
| `variants` | `number` from 0, `name`, `settings` (a digest of flow, variables and overrides), `is_used` (by the last call) |
| `items` | items that ended together: `variant`, `number` of the first one (case x repeats + repeat), `count`, and as JSON a list of the `outputs`, `hidden` (the same with `***` in place of secrets; NULL if they have none), and `told`: an object of the columns `status`, `error`, `run_id`, `item`, `duration` |
| `scores` | `variant`, `score` (the key of the score function), `number` of the first item, `count`, and as JSON `found` (columns of values by name) and `failed` (columns of messages by name) |

A column is a list with a value for each item, or with one value if all are the same. In `found` and `failed`, null means
that the item has none. Rows of items and scores are never changed. Scores of a function that has another version
now have another key, so they stay in the file and are not read.
"""  # noqa: E501 - a table

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from .._data.values import encode
from ..errors import JournalError

VERSION = 1
TABLES = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS cases (number INTEGER PRIMARY KEY, names TEXT NOT NULL, content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS variants (
    number INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, settings TEXT NOT NULL, is_used INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS items (
    variant INTEGER, number INTEGER, count INTEGER NOT NULL, told TEXT NOT NULL, outputs TEXT NOT NULL, hidden TEXT,
    PRIMARY KEY (variant, number)
);
CREATE TABLE IF NOT EXISTS scores (
    variant INTEGER, score TEXT, number INTEGER, count INTEGER NOT NULL, found TEXT NOT NULL, failed TEXT NOT NULL,
    PRIMARY KEY (variant, score, number)
) WITHOUT ROWID;
"""

Columns: TypeAlias = dict[str, list[Any]]
TOLD = ("status", "error", "run_id", "item", "duration")
"""The names of what is stored of an item beside its output."""


def parsed(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        JournalError: If it is damaged.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise JournalError(f"a row of the evaluation is damaged: {error}") from None


def packed(values: Sequence[Any]) -> Sequence[Any]:
    """Return a column, with one value if all are the same."""
    return values[:1] if values.count(values[0]) == len(values) else values


@lru_cache(maxsize=64)
def columns(text: str, count: int) -> Columns:
    """Return columns with a value for each of so many items. Many texts are the same; nobody changes the columns."""
    found: Columns = parsed(text)
    return {name: values * count if len(values) == 1 else values for name, values in found.items()}


def json_of(value: Any) -> str:
    """Return a value of a server, or of a case, as JSON."""
    return encode(value).decode()
