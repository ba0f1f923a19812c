"""The folder of an evaluation: its cases, the results of its items, and its scores.

The folder has one SQLite file `evaluation.db` (WAL, mode 0600), which only one evaluation can have open, and the
journals of the batches in `runs/`, a file for each variant.

The tables of version 1:

| table | a row |
|---|---|
| `about` | a name and a JSON value: `version`, `id`, `name`, `flow`, `repeat`, `count` (of cases), `scores` (the keys of the score functions of the last call, in their order), `sources` (by the key of a score function, the digest of its source text when its first value was stored), `lower_is_better` (the names of those whose low values are good), `timed` (the names of those that measure time), `moments` (by variant, the number of the call in which it ran first), `flows` (of the variants), `began` (the time of the first call) |
| `cases` | some cases: `number` of the first one, from 0, and as JSON a list of `names` and `content`: of lists of the input and the expected output, and of the metadata and the tags of a case that has them |
| `variants` | `number` from 0, `name`, `settings` (a digest of flow, variables and overrides), `is_used` (by the last call) |
| `items` | items that ended together: `variant`, `number` of the first one (case x repeats + repeat), `count`, and as JSON a list of the `outputs`, `hidden` (the same with `***` in place of secrets; NULL if they have none), and `details`: an object of the columns `status`, `error`, `run_id`, `item`, `duration` |
| `scores` | `variant`, `score` (the key of the score function), `number` of the first item, `count`, and as JSON `found` (columns of values by name) and `failed` (columns of messages by name) |

A column is a list with a value for each item, or with one value if all are the same. In `found` and `failed`, null means
that the item has none. Rows of items and scores are never changed. Scores of a function that has another version
now have another key, so they stay in the file and are not read.
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
from .._data.secrets import NO_SECRETS, Secrets, find_secrets
from .._data.values import encode
from .._rules.chunks import ReadAhead
from .._stores.sqlite import DATABASE_ERRORS, open_private
from ..drawing.report_data import read_flow_environment
from ..errors import InvalidArgumentError, JournalError
from .records import Block, BlockScores, EvaluationCase, EvaluationItem, ItemResults, decode_case, encode_cases

_VERSION = 1
_TABLES = """
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

# The names of the columns that are stored of items beside their outputs.
_DETAILS = ("status", "error", "run_id", "item", "duration")
_FILE = "evaluation.db"
# Maximum size of the cases that are stored together, unless they become larger all at once.
_MAX_BYTES = 8 << 20

_Columns: TypeAlias = dict[str, list[Any]]


class EvaluationStore:
    """The folder of one evaluation.

    Args:
        folder: The folder; it is created if it does not exist.
        is_new: Whether to write: the file is locked, and created if it does not exist. Default False.

    Raises:
        InvalidArgumentError: If the path cannot be the path of a folder.
        JournalError: If the folder has no evaluation, if another one is using it, or if its file cannot be opened, read
            or written.
    """

    def __init__(self, folder: str | os.PathLike[str], *, is_new: bool = False) -> None:
        """Open the file."""
        self.folder = file_path(folder, "journal")
        self.secrets = NO_SECRETS
        """Values that are hidden in what reports read later, when nobody knows them any more."""
        self._lock = threading.Lock()
        self._cases: list[tuple[int, list[EvaluationCase]]] = []
        """The cases that were read last, together with the number of the first one."""
        if not is_new and not self.exists(self.folder):
            raise JournalError(f"{self.folder} has no evaluation")
        try:
            (self.folder / "runs").mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = open_private(self.folder / _FILE, timeout=0)
        except (*DATABASE_ERRORS, OSError) as error:
            raise JournalError(f"the folder {self.folder} cannot be used: {error}") from None
        try:
            with self._locked_file() as file:
                if is_new:
                    # Whoever has opened the file keeps everybody else out until the evaluation ends.
                    file.execute("PRAGMA locking_mode=EXCLUSIVE")
                    file.execute("PRAGMA journal_mode=WAL")
                    # A killed process loses nothing; after a power failure, the last items are read from the journals.
                    file.execute("PRAGMA synchronous=NORMAL")
                    file.execute("BEGIN EXCLUSIVE")
                    file.execute("COMMIT")
                    file.executescript(_TABLES)
            version = self.value("version", _VERSION)
            if version != _VERSION:
                raise JournalError(f"{self.folder} has version {version} of the file; this release reads {_VERSION}")
        except BaseException:
            self._file.close()
            raise

    @classmethod
    def exists(cls, folder: str | os.PathLike[str]) -> bool:
        """Return whether a folder has an evaluation."""
        return (Path(folder) / _FILE).exists()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; others can then open it."""
        with self._lock:
            self._file.close()

    @contextmanager
    def _locked_file(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._file
            except DATABASE_ERRORS as error:
                if "locked" in str(error):
                    raise JournalError(f"the folder {self.folder} is in use by another evaluation") from None
                raise JournalError(f"the evaluation in {self.folder} cannot be used: {error}") from None

    def _query(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._locked_file() as file:
            return file.execute(query, values).fetchall()

    def value(self, name: str, missing: Any = None) -> Any:
        """Return a value of the evaluation; `missing` if it was never set."""
        rows = self._query("SELECT value FROM about WHERE name = ?", [name])
        return _parse_json(rows[0][0]) if rows else missing

    def begin(self, cases: Iterable[EvaluationCase], repeat: int, variants: Mapping[str, str], **about: Any) -> int:
        """Store what is evaluated, or check that it is what the folder has, and return the number of cases.

        Args:
            cases: The cases. New ones are added to those that the folder has.
            repeat: How often each case is run.
            variants: The digest of the settings of each variant, by its name. Variants may be added later.
            about: More values of the evaluation.

        Raises:
            JournalError: If a case of the folder is missing, or if it has another number of repeats, or a variant with
                other settings.
        """
        before, changed = self.value("count"), []
        if before is not None:
            # Digests instead of cases: there may be many.
            missing, new = set(map(_digest_case, self.cases())), []
            for case in cases:
                digest = _digest_case(case)
                if digest in missing:
                    missing.remove(digest)
                else:
                    new.append(case)
            cases = new
            changed += ["cases"] if missing else []
            changed += ["repeats"] if self.value("repeat") != repeat else []
            settings = dict(self._query("SELECT name, settings FROM variants"))
            others = [repr(name) for name, digest in variants.items() if settings.get(name, digest) != digest]
            changed += [f"flows, variables or overrides of {', '.join(others)}"] if others else []
        if changed:
            raise JournalError(
                f"{self.folder} is of an evaluation with other {' and '.join(changed)}",
                hint="a changed evaluation needs a folder of its own",
            )
        count = self._store_cases(cases, before or 0)
        if not count:
            raise InvalidArgumentError("there are no cases to evaluate")
        with self._locked_file() as file, _transaction(file):
            file.execute("UPDATE variants SET is_used = 0")
            file.executemany(
                "INSERT INTO variants VALUES ((SELECT count(*) FROM variants), ?, ?, 1) "
                "ON CONFLICT (name) DO UPDATE SET is_used = 1",
                variants.items(),
            )
        values = {"version": _VERSION, "count": count, "repeat": repeat, **about}
        rows = [(name, json.dumps(value)) for name, value in values.items()]
        with self._locked_file() as file, _transaction(file):
            file.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", rows)
        return count

    def _store_cases(self, cases: Iterable[EvaluationCase], first: int) -> int:
        """Store the cases after the first ones, and return the number of all. They are read some at a time."""
        count = first

        def rows() -> Iterator[tuple[int, str, str]]:
            nonlocal count
            left, size = iter(cases), ReadAhead(_MAX_BYTES)
            while some := list(islice(left, size.count)):
                names, content = encode_cases(some)
                yield count, names.decode(), content.decode()
                count += len(some)
                size.add_inputs(len(some), len(content))

        with self._locked_file() as file, _transaction(file):
            # A call that was killed may have stored some of its cases.
            file.execute("DELETE FROM cases WHERE number >= ?", [first])
            file.executemany("INSERT INTO cases VALUES (?, ?, ?)", rows())
        return count

    @property
    def id(self) -> str | None:
        """What identifies the evaluation on a server; None for one that is not continued after a crash."""
        evaluation_id: str | None = self.value("id")
        return evaluation_id

    @property
    def variants(self) -> dict[str, int]:
        """The numbers of the variants of the last call, by name."""
        return dict(self._query("SELECT name, number FROM variants WHERE is_used ORDER BY number"))

    def journal(self, variant: int) -> Path:
        """Return the path of the journal of a variant's runs."""
        return self.folder / "runs" / f"{variant}.journal"

    def cases(self) -> Iterator[EvaluationCase]:
        """Yield the cases. They are read some at a time, and several readers at about the same place share them."""
        number, count = 0, self.value("count")
        while number < count:
            first, page = self._read_page(number)
            yield from page
            number = first + len(page)

    def _read_page(self, number: int) -> tuple[int, list[EvaluationCase]]:
        """Return the cases that are stored together with one, and the number of the first of them."""
        for first, cases in self._cases:
            if first <= number < first + len(cases):
                return first, cases
        query = "SELECT number, names, content FROM cases WHERE number <= ? ORDER BY number DESC LIMIT 1"
        ((first, names, content),) = self._query(query, [number])
        rows = zip(_parse_json(names), _parse_json(content), strict=True)
        page = first, [decode_case(name, fields) for name, fields in rows]
        self._cases = [*self._cases[-1:], page]
        return page

    def read_ended(self, variant: int) -> dict[int, int]:
        """Return which items of a variant have ended: how many from each first number on."""
        return dict(self._query("SELECT number, count FROM items WHERE variant = ? ORDER BY number", [variant]))

    def store_blocks(self, blocks: Collection[Block]) -> None:
        """Store items that have ended."""
        rows = []
        for block in blocks:
            errors = self.secrets.hide_in(block.errors) if any(block.errors) else block.errors
            details = (block.statuses, errors, block.run_ids, block.indexes, block.durations)
            columns = dict(zip(_DETAILS, map(_pack_column, details), strict=True))
            hidden = self.secrets.hide_in(block.outputs) if self.secrets else block.outputs
            texts = _to_json(columns), _to_json(block.outputs), None if hidden == block.outputs else _to_json(hidden)
            rows.append((block.variant, block.first, len(block), *texts))
        with self._locked_file() as file, _transaction(file):
            file.executemany("INSERT OR IGNORE INTO items VALUES (?, ?, ?, ?, ?, ?)", rows)

    def store_scores(self, scored: BlockScores) -> None:
        """Store scores."""
        columns = (scored.scores, scored.errors)
        texts = (json.dumps({name: _pack_column(values) for name, values in column.items()}) for column in columns)
        with self._locked_file() as file:
            query = "INSERT OR IGNORE INTO scores VALUES (?, ?, ?, ?, ?, ?)"
            file.execute(query, (scored.variant, scored.key, scored.number, scored.length, *texts))

    def iterate_unscored(self, key: str, known: Mapping[int, Mapping[int, int]]) -> Iterator[tuple[Block, list[int]]]:
        """Yield blocks that have successful items without a score of a function, with the places of these.

        Args:
            key: The key of the function.
            known: The blocks to look at, by variant: the number of the first item and how many there are.
        """
        query = "SELECT number, count FROM scores WHERE variant = ? AND score = ?"
        for variant in self.variants.values():
            scored = set[int]()
            for number, count in self._query(query, (variant, key)):
                scored.update(range(number, number + count))
            for first, count in known[variant].items():
                if not scored.issuperset(range(first, first + count)):
                    block = self._read_block(variant, first)
                    if places := [place for place in block.successes if first + place not in scored]:
                        yield block, places

    def _read_block(self, variant: int, first: int, outputs: str = "outputs") -> Block:
        query = f"SELECT count, details, {outputs} FROM items WHERE variant = ? AND number = ?"  # noqa: S608
        ((count, details, values),) = self._query(query, (variant, first))
        columns = _unpack_columns(details, count)
        statuses, errors, run_ids, indexes, durations = (columns[name] for name in _DETAILS)
        repeat, start = int(self.value("repeat")), 0
        page: list[EvaluationCase] = []
        cases = []
        for number in range(first, first + count):
            if not start <= number // repeat < start + len(page):
                start, page = self._read_page(number // repeat)
            cases.append(page[number // repeat - start])
        return Block(variant, first, cases, statuses, _parse_json(values), errors, run_ids, indexes, durations)

    def items(self, *, hidden: bool = False) -> Iterator[EvaluationItem]:
        """Yield the items of the variants of the last call, by case and repeat, with their scores.

        Args:
            hidden: Whether outputs have `***` in place of the secrets of the evaluation. Default False.
        """
        keys, repeat = self.value("scores", []), int(self.value("repeat"))
        for name, variant in self.variants.items():
            for first in self.read_ended(variant):
                block = self._read_block(variant, first, "coalesce(hidden, outputs)" if hidden else "outputs")
                columns = self._read_scores(variant, first, len(block), keys)
                for place in range(len(block)):
                    scores, failed = (
                        {score: values[place] for score, values in column.items() if values[place] is not None}
                        for column in columns
                    )
                    yield block.build_item(place, name, repeat, scores=scores, score_errors=failed)

    def results(self) -> Iterator[ItemResults]:
        """Yield what reports keep of the items of the variants of the last call."""
        keys, repeat = self.value("scores", []), int(self.value("repeat"))
        pages = self._query("SELECT names FROM cases ORDER BY number")
        cases = [name for (names,) in pages for name in _parse_json(names)]
        for name, variant in self.variants.items():
            query = "SELECT number, count, details FROM items WHERE variant = ? ORDER BY number"
            for number, count, details in self._query(query, [variant]):
                columns = _unpack_columns(details, count)
                names = [cases[item // repeat] for item in range(number, number + count)]
                statuses, errors, run_ids, _, durations = (columns[detail] for detail in _DETAILS)
                scores, failed = self._read_scores(variant, number, count, keys)
                repeats = min(repeat, number + count)
                yield ItemResults(name, names, repeats, statuses, errors, run_ids, durations, scores, failed)

    def _read_scores(self, variant: int, first: int, count: int, keys: Sequence[str]) -> tuple[_Columns, _Columns]:
        """Return the scores of the items of a block, and the messages of those that failed."""
        query = (
            "SELECT number, count, found, failed FROM scores WHERE variant = ? AND score = ? AND number BETWEEN ? AND ?"
        )
        scores: _Columns = {}
        failed: _Columns = {}
        for key in keys:
            for number, several, *texts in self._query(query, (variant, key, first, first + count - 1)):
                place = number - first
                for columns, text in zip((scores, failed), texts, strict=True):
                    for name, values in _unpack_columns(text, several).items():
                        columns.setdefault(name, [None] * count)[place : place + several] = values
        return scores, failed


def _to_json(value: Any) -> str:
    return encode(value).decode()


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise JournalError(f"a row of the evaluation is damaged: {error}") from None


def _pack_column(values: Sequence[Any]) -> Sequence[Any]:
    """Return a column, with one value if all are the same."""
    return values[:1] if values.count(values[0]) == len(values) else values


@lru_cache(maxsize=64)
def _unpack_columns(text: str, count: int) -> _Columns:
    """Return columns with a value for each item. They are cached for equal texts: do not mutate them."""
    columns: _Columns = _parse_json(text)
    return {name: values * count if len(values) == 1 else values for name, values in columns.items()}


def _digest_case(case: EvaluationCase) -> bytes:
    """Return a digest of a case that survives storing and loading it."""
    texts = [_parse_json(text.decode()) for text in encode_cases([case])]
    return hashlib.sha256(json.dumps(texts).encode()).digest()


@contextmanager
def _transaction(file: sqlite3.Connection) -> Iterator[None]:
    file.execute("BEGIN")
    with file:
        yield


class TemporaryFolder:
    """A folder that is removed with this object."""

    def __init__(self) -> None:
        """Create the folder."""
        self.path = tempfile.mkdtemp(prefix="stepflow-eval-")
        # A `TemporaryDirectory` warns unless it is closed, and nobody closes a report.
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class StoredItems:
    """The items in the folder of an evaluation, which are read again each time.

    Args:
        folder: The folder.
        keep: An object that is kept as long: a temporary folder, which is removed with it.
        hidden: Whether outputs have `***` in place of the secrets of the evaluation. Default False.
    """

    def __init__(self, folder: str | os.PathLike[str], keep: object = None, *, hidden: bool = False) -> None:
        """Read nothing yet."""
        self._folder = folder
        self._keep = keep
        self._is_hidden = hidden

    def __iter__(self) -> Iterator[EvaluationItem]:
        """Yield the items."""
        with EvaluationStore(self._folder) as store:
            yield from store.items(hidden=self._is_hidden)

    def results(self) -> Iterator[ItemResults]:
        """Yield what a report keeps of the items, without reading their inputs and outputs."""
        with EvaluationStore(self._folder) as store:
            yield from store.results()

    def describe(self, variables: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], Mapping[str, int], Secrets]:
        """Return the arguments of the report, when each variant ran first, and the values that pages must not show.

        Args:
            variables: The values of variables that were passed to each variant; empty if they are not known.

        Raises:
            JournalError: If the folder has no evaluation, or cannot be read.
        """
        with EvaluationStore(self._folder) as store:
            if store.value("count") is None:
                raise JournalError(f"the evaluation in {self._folder} has not begun", hint="run it again")
            arguments = {"name": store.value("name", ""), "variants": list(store.variants)}
            arguments |= {name: store.value(name, []) for name in ("lower_is_better", "timed")}
            return arguments, store.value("moments", {}), collect_secrets(store.value("flows", []), variables)


def collect_secrets(flows: Iterable[Mapping[str, Any]], variables: Sequence[Mapping[str, Any]] = ()) -> Secrets:
    """Return the secrets of the flows of all variants: defaults, values of the environment, and passed values.

    Args:
        flows: The flows.
        variables: The values of variables that were passed to each flow. Default: they are not known.
    """
    declared: dict[str, Any] = {}
    values: dict[str, Any] = {}
    for number, flow in enumerate(flows):
        # A variable may be secret in one of the flows only.
        declarations, defaults = read_flow_environment(flow)
        passed = variables[number] if number < len(variables) else {}
        declared |= {f"{number}.{name}": declaration for name, declaration in declarations.items()}
        values |= {f"{number}.{name}": value for name, value in {**defaults, **passed}.items()}
    return find_secrets(values, declared)
