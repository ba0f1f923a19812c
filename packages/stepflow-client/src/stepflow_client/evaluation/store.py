"""An evaluation's folder, which holds its cases, item results and scores.

The folder contains an SQLite file `evaluation.db` (WAL, mode 0600), which only one evaluation can have open, and the
batches' journals in `runs/`, one file per variant.

The tables of version 1:

| table | row |
|---|---|
| `about` | a name and a JSON value: `version`, `id`, `name`, `flow`, `repeat`, `count` (number of cases), `scores` (score function keys from the last call, in order), `sources` (source digests by score function key, as of the first stored value), `lower_is_better` (names of scores where low values are good), `timed` (names of scores that measure time), `moments` (by variant, the number of the call in which it first ran), `flows` (the variants' flows), `began` (the time of the first call) |
| `cases` | a page of cases: the first one's `number` (starting at 0), plus JSON lists of their `names` and `content`, the latter with a list per case: input, expected output, and any metadata and tags |
| `variants` | `number` (starting at 0), `name`, `settings` (a digest of flow, variables and overrides), `is_used` (by the last call) |
| `items` | items that finished together: `variant`, the first one's `number` (case x repeats + repeat), `count`, plus, in JSON, a list of `outputs`, `hidden` (the outputs with secrets replaced by `***`, or NULL if there are none), and `details`, an object with the columns `status`, `error`, `run_id`, `item` and `duration` |
| `scores` | `variant`, `score` (the score function's key), the first item's `number`, `count`, plus, in JSON, `found` (value columns by name) and `failed` (error message columns by name) |

A column is a list with one value per item, or a single value if all are the same. In `found` and `failed`, null means
the item has no such value. Rows in `items` and `scores` are never modified. When a function's version changes, so does
its key, so the old scores stay in the file but aren't read.
"""  # noqa: E501 - a table

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
import threading
import weakref
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Self, TypeAlias

from .._data.arguments import file_path
from .._data.secrets import NO_SECRETS, Secrets, find_variable_secrets
from .._data.wire import to_json
from .._rules.chunks import ReadAhead
from .._stores.shared_sqlite_file import DATABASE_ERRORS, LOCK_EXCLUSIVELY, open_private_database
from ..drawing.report_data import read_variables_and_env_values
from ..errors import InvalidArgumentError, JournalError
from .records import EvaluationCase, EvaluationItem, ItemBlock, ResultColumns, build_item, decode_case, encode_case_set

_VERSION = 1
_CREATE_TABLES = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS cases (number INTEGER PRIMARY KEY, names TEXT NOT NULL, content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS variants (
    number INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, settings TEXT NOT NULL, is_used INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS items (
    variant INTEGER, number INTEGER, count INTEGER NOT NULL, details TEXT NOT NULL, outputs TEXT NOT NULL, hidden TEXT,
    PRIMARY KEY (variant, number)
);
CREATE TABLE IF NOT EXISTS scores (
    variant INTEGER, score TEXT, number INTEGER, count INTEGER NOT NULL, found TEXT NOT NULL, failed TEXT NOT NULL,
    PRIMARY KEY (variant, score, number)
) WITHOUT ROWID;
"""

# Maps the columns stored for items (other than their outputs) to the items' fields.
_ITEM_FIELDS = {"status": "status", "error": "error", "run_id": "run_id", "item": "item_index", "duration": "duration"}
_FILE_NAME = "evaluation.db"
# Target size of a page of cases, in bytes. A page may be larger if the cases suddenly get larger.
_TARGET_PAGE_BYTES = 8 << 20

_Columns: TypeAlias = dict[str, list[Any]]


class EvaluationStore:
    """One evaluation's folder.

    Args:
        folder: The folder. It is created if it doesn't exist.
        is_new: Whether to open it for writing, which locks the file and creates it if missing. Defaults to False.

    Raises:
        InvalidArgumentError: If the path is not a valid folder path.
        JournalError: If the folder contains no evaluation or is in use by another evaluation, or if its file cannot be
            opened, read or written.
    """

    def __init__(self, folder: str | os.PathLike[str], *, is_new: bool = False) -> None:
        """Open the file."""
        self.folder = file_path(folder, "journal")
        self.secrets = NO_SECRETS
        """Values to hide in reports that are loaded later, once the values are no longer known."""
        self._lock = threading.Lock()
        self._cases: list[tuple[int, list[EvaluationCase]]] = []
        """The most recently read pages of cases, each with the number of its first case."""
        if not is_new and not self.exists(self.folder):
            raise JournalError(f"{self.folder} contains no evaluation")
        try:
            (self.folder / "runs").mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = open_private_database(self.folder / _FILE_NAME, timeout=0)
        except (*DATABASE_ERRORS, OSError) as error:
            raise JournalError(f"the folder {self.folder} cannot be used: {error}") from None
        try:
            with self._lock_connection() as file:
                if is_new:
                    # If the process is killed, no data is lost. After a power failure, the latest items are restored
                    # from the journals.
                    file.executescript(f"PRAGMA synchronous=NORMAL; {LOCK_EXCLUSIVELY} {_CREATE_TABLES}")
            version = self.read_setting("version", _VERSION)
            if version != _VERSION:
                raise JournalError(f"{self.folder} has version {version} of the file; this release reads {_VERSION}")
        except BaseException:
            self._file.close()
            raise

    @classmethod
    def exists(cls, folder: str | os.PathLike[str]) -> bool:
        """Return whether a folder contains an evaluation."""
        return (Path(folder) / _FILE_NAME).exists()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file so that another evaluation can open it."""
        with self._lock:
            self._file.close()

    @contextmanager
    def _lock_connection(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._file
            except DATABASE_ERRORS as error:
                if "locked" in str(error):
                    raise JournalError(f"the folder {self.folder} is in use by another evaluation") from None
                raise JournalError(f"the evaluation in {self.folder} cannot be used: {error}") from None

    def _fetch_rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._lock_connection() as file:
            return file.execute(query, values).fetchall()

    def read_setting(self, name: str, missing: Any = None) -> Any:
        """Return one of the evaluation's settings, or `missing` if it was never set."""
        rows = self._fetch_rows("SELECT value FROM about WHERE name = ?", [name])
        return _parse_json(rows[0][0]) if rows else missing

    def store_or_check_settings(
        self, cases: Iterable[EvaluationCase], repeat: int, variants: Mapping[str, str], **about: Any
    ) -> int:
        """Store the evaluation's settings, or check that they match the folder's, and return the number of cases.

        Args:
            cases: The cases. New cases are added to those already in the folder.
            repeat: How many times to run each case.
            variants: Each variant's settings digest, by name. Variants can be added later.
            about: Additional values for the evaluation.

        Raises:
            JournalError: If one of the folder's cases is missing from `cases`, or if the number of repeats or a
                variant's settings differ.
        """
        before, changed = self.read_setting("count"), []
        if before is not None:
            # Keep digests rather than the cases themselves, because there may be a lot of cases.
            missing, new = set(map(_digest_case, self.iter_cases())), []
            for case in cases:
                digest = _digest_case(case)
                if digest in missing:
                    missing.remove(digest)
                else:
                    new.append(case)
            cases = new
            changed += ["cases"] if missing else []
            changed += ["repeats"] if self.read_setting("repeat") != repeat else []
            settings = dict(self._fetch_rows("SELECT name, settings FROM variants"))
            others = [repr(name) for name, digest in variants.items() if settings.get(name, digest) != digest]
            changed += [f"flows, variables or overrides of {', '.join(others)}"] if others else []
        if changed:
            message = f"{self.folder} belongs to an evaluation with different {' and '.join(changed)}"
            raise JournalError(message, hint="use a separate folder for a changed evaluation")
        count = self._store_cases(cases, before or 0)
        if not count:
            raise InvalidArgumentError("there are no cases to evaluate")
        values = {"version": _VERSION, "count": count, "repeat": repeat, **about}
        rows = [(name, json.dumps(value)) for name, value in values.items()]
        new_row = "INSERT INTO variants VALUES ((SELECT count(*) FROM variants), ?, ?, 1)"
        with self._lock_connection() as file, _transaction(file):
            file.execute("UPDATE variants SET is_used = 0")
            file.executemany(f"{new_row} ON CONFLICT (name) DO UPDATE SET is_used = 1", variants.items())
            file.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", rows)
        return count

    def _store_cases(self, cases: Iterable[EvaluationCase], first: int) -> int:
        """Store cases in batches, numbered from `first`, and return the new total."""
        count, left, size = first, iter(cases), ReadAhead(_TARGET_PAGE_BYTES)
        with self._lock_connection() as file, _transaction(file):
            # Remove any cases that a killed call left behind.
            file.execute("DELETE FROM cases WHERE number >= ?", [first])
            while some := list(islice(left, size.count)):
                names, content = encode_case_set(some)
                file.execute("INSERT INTO cases VALUES (?, ?, ?)", [count, names.decode(), content.decode()])
                count += len(some)
                size.adapt_count_to_size(len(some), len(content))
        return count

    @property
    def id(self) -> str | None:
        """The evaluation's ID on the server, or None if the evaluation can't be continued after a crash."""
        evaluation_id: str | None = self.read_setting("id")
        return evaluation_id

    @property
    def variants(self) -> dict[str, int]:
        """Maps the names of the variants used by the last call to their numbers."""
        return dict(self._fetch_rows("SELECT name, number FROM variants WHERE is_used ORDER BY number"))

    def get_variant_journal_path(self, variant: int) -> Path | None:
        """Return the path to the journal of a variant's runs, or None if the evaluation can't be continued."""
        return None if self.id is None else self.folder / "runs" / f"{variant}.journal"

    def iter_cases(self) -> Iterator[EvaluationCase]:
        """Yield the cases. They're read in pages, and readers at nearby positions share a page."""
        number, count = 0, self.read_setting("count")
        while number < count:
            first, page = self._read_case_page(number)
            yield from page
            number = first + len(page)

    def _read_case_page(self, number: int) -> tuple[int, list[EvaluationCase]]:
        """Return the page containing a case, along with the number of its first case."""
        for first, cases in self._cases:
            if first <= number < first + len(cases):
                return first, cases
        query = "SELECT number, names, content FROM cases WHERE number <= ? ORDER BY number DESC LIMIT 1"
        ((first, names, content),) = self._fetch_rows(query, [number])
        rows = zip(_parse_json(names), _parse_json(content), strict=True)
        page = first, [decode_case(name, fields) for name, fields in rows]
        self._cases = [*self._cases[-1:], page]
        return page

    def read_block_lengths(self, variant: int) -> dict[int, int]:
        """Return a variant's finished items, as a mapping from each block's first item number to its length."""
        return dict(self._fetch_rows("SELECT number, count FROM items WHERE variant = ? ORDER BY number", [variant]))

    def store_blocks(self, blocks: Collection[ItemBlock]) -> None:
        """Store finished items."""
        rows = []
        for block in blocks:
            details = {name: [getattr(item, field) for item in block.items] for name, field in _ITEM_FIELDS.items()}
            if any(details["error"]):
                details["error"] = self.secrets.hide_in(details["error"])
            columns, outputs = _collapse_constant_columns(details), [item.output for item in block.items]
            hidden = self.secrets.hide_in(outputs) if self.secrets else outputs
            parts = columns, outputs, None if hidden == outputs else hidden
            texts = [None if part is None else to_json(part).decode() for part in parts]
            rows.append((block.variant, block.first, len(block.items), *texts))
        with self._lock_connection() as file, _transaction(file):
            file.executemany("INSERT OR IGNORE INTO items VALUES (?, ?, ?, ?, ?, ?)", rows)

    def store_scores(
        self, variant: int, first: int, count: int, key: str, *columns: Mapping[str, Sequence[Any]]
    ) -> None:
        """Store a function's scores for consecutive items.

        Args:
            variant: The variant's number.
            first: The number of the first item.
            count: Number of items.
            key: The function's key.
            columns: The scores by name, and the error messages of failed scores by name.
        """
        texts = (json.dumps(_collapse_constant_columns(by_name)) for by_name in columns)
        with self._lock_connection() as file:
            query = "INSERT OR IGNORE INTO scores VALUES (?, ?, ?, ?, ?, ?)"
            file.execute(query, (variant, key, first, count, *texts))

    def iter_unscored(self, key: str, known: Mapping[int, Mapping[int, int]]) -> Iterator[tuple[ItemBlock, list[int]]]:
        """Yield each block that contains successful items not yet scored by a function, along with their positions.

        Args:
            key: The function's key.
            known: For each variant, the blocks to check, as a mapping from a block's first item number to its length.
        """
        query = "SELECT number, count FROM scores WHERE variant = ? AND score = ?"
        for name, variant in self.variants.items():
            scored = set[int]()
            for number, count in self._fetch_rows(query, (variant, key)):
                scored.update(range(number, number + count))
            for first, count in known[variant].items():
                if not scored.issuperset(range(first, first + count)):
                    block = self._read_block(name, variant, first)
                    if places := [place for place in block.completed_positions if first + place not in scored]:
                        yield block, places

    def _read_block(
        self, name: str, variant: int, first: int, keys: Sequence[str] = (), *, hidden: bool = False
    ) -> ItemBlock:
        """Read a block of a variant's items, including their scores from these functions."""
        column = "coalesce(hidden, outputs)" if hidden else "outputs"
        query = f"SELECT count, details, {column} FROM items WHERE variant = ? AND number = ?"  # noqa: S608
        ((count, details, outputs),) = self._fetch_rows(query, (variant, first))
        columns, scores = _parse_and_expand_columns(details, count), self._read_scores(variant, first, count, keys)
        repeat, items = int(self.read_setting("repeat")), []
        for place, output in enumerate(_parse_json(outputs)):
            number = first + place
            start, page = self._read_case_page(number // repeat)
            result = {field: columns[detail][place] for detail, field in _ITEM_FIELDS.items()}
            result["scores"], result["score_errors"] = (
                {score: values[place] for score, values in by_name.items() if values[place] is not None}
                for by_name in scores
            )
            items.append(build_item(page[number // repeat - start], name, number % repeat, output=output, **result))
        return ItemBlock(variant, first, items)

    def iter_items(self, *, hidden: bool = False) -> Iterator[EvaluationItem]:
        """Yield all items with their scores, for the variants used by the last call, sorted by case and repeat.

        Args:
            hidden: Whether to replace the evaluation's secrets in outputs with `***`. Defaults to False.
        """
        keys = self.read_setting("scores", [])
        for name, variant in self.variants.items():
            for first in self.read_block_lengths(variant):
                yield from self._read_block(name, variant, first, keys, hidden=hidden).items

    def iter_result_columns(self) -> Iterator[ResultColumns]:
        """Yield the data that reports keep in memory, for the items of all variants used by the last call."""
        keys, repeat = self.read_setting("scores", []), int(self.read_setting("repeat"))
        pages = self._fetch_rows("SELECT names FROM cases ORDER BY number")
        cases = [name for (names,) in pages for name in _parse_json(names)]
        for name, variant in self.variants.items():
            query = "SELECT number, count, details FROM items WHERE variant = ? ORDER BY number"
            for number, count, details in self._fetch_rows(query, [variant]):
                columns = _parse_and_expand_columns(details, count)
                names = [cases[item // repeat] for item in range(number, number + count)]
                statuses, errors, run_ids, _, durations = (columns[detail] for detail in _ITEM_FIELDS)
                scores = self._read_scores(variant, number, count, keys)
                repeats = min(repeat, number + count)
                yield ResultColumns(name, names, repeats, statuses, errors, run_ids, durations, *scores)

    def _read_scores(self, variant: int, first: int, count: int, keys: Sequence[str]) -> tuple[_Columns, _Columns]:
        """Return the scores of a block's items and the error messages of failed scores."""
        conditions = "variant = ? AND score = ? AND number BETWEEN ? AND ?"
        query = f"SELECT number, count, found, failed FROM scores WHERE {conditions}"  # noqa: S608
        scores: _Columns = {}
        failed: _Columns = {}
        for key in keys:
            for number, several, *texts in self._fetch_rows(query, (variant, key, first, first + count - 1)):
                place = number - first
                for columns, text in zip((scores, failed), texts, strict=True):
                    for name, values in _parse_and_expand_columns(text, several).items():
                        columns.setdefault(name, [None] * count)[place : place + several] = values
        return scores, failed


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise JournalError(f"a row of the evaluation is damaged: {error}") from None


def _collapse_constant_columns(columns: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """Shorten columns to a single value if all their values are the same."""
    return {name: values[:1] if values.count(values[0]) == len(values) else values for name, values in columns.items()}


@lru_cache(maxsize=64)
def _parse_and_expand_columns(text: str, count: int) -> _Columns:
    """Parse columns and expand them to one value per item. Results are cached by text, so don't modify them."""
    columns: _Columns = _parse_json(text)
    return {name: values * count if len(values) == 1 else values for name, values in columns.items()}


def _digest_case(case: EvaluationCase) -> bytes:
    """Return a case's digest, which doesn't change when the case is stored and loaded again."""
    texts = [_parse_json(text.decode()) for text in encode_case_set([case])]
    return hashlib.sha256(json.dumps(texts).encode()).digest()


@contextmanager
def _transaction(file: sqlite3.Connection) -> Iterator[None]:
    file.execute("BEGIN")
    with file:
        yield


class StoredItems:
    """The items in an evaluation's folder, which are read again every time you iterate over them.

    Args:
        folder: The folder, or None for a temporary folder that is deleted when this object is.
        hidden: Whether to replace the evaluation's secrets in outputs with `***`. Defaults to False.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, *, hidden: bool = False) -> None:
        """Store the arguments. Nothing is read yet."""
        self.folder = file_path(tempfile.mkdtemp(prefix="stepflow-eval-") if folder is None else folder, "journal")
        self._is_hidden = hidden
        if folder is None:
            # Don't use `TemporaryDirectory`, because it warns if it isn't closed, and nobody closes a report.
            weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def __iter__(self) -> Iterator[EvaluationItem]:
        """Yield the items."""
        with EvaluationStore(self.folder) as store:
            yield from store.iter_items(hidden=self._is_hidden)

    def iter_result_columns(self) -> Iterator[ResultColumns]:
        """Yield the data that reports keep for each item, without reading inputs and outputs."""
        with EvaluationStore(self.folder) as store:
            yield from store.iter_result_columns()


def collect_secrets(flows: Iterable[Mapping[str, Any]], variables: Sequence[Mapping[str, Any]] = ()) -> Secrets:
    """Collect the secrets of all variants' flows: variable defaults, environment values and any values passed.

    Args:
        flows: The flows.
        variables: The variable values passed to each flow. By default, they're treated as unknown.
    """
    declared: dict[str, Any] = {}
    values: dict[str, Any] = {}
    for number, flow in enumerate(flows):
        # A variable may be secret in only one of the flows.
        declarations, defaults = read_variables_and_env_values(flow)
        passed = variables[number] if number < len(variables) else {}
        declared |= {f"{number}.{name}": declaration for name, declaration in declarations.items()}
        values |= {f"{number}.{name}": value for name, value in {**defaults, **passed}.items()}
    return find_variable_secrets(values, declared)
