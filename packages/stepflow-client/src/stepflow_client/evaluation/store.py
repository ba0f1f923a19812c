"""The folder of an evaluation: its cases, what became of each item, and its scores.

The folder has one SQLite file `evaluation.db` (WAL, mode 0600), which only one evaluation can have open, and the
journals of the batches in `runs/`, a file for each variant. The tables of version 1:

| table | a row |
|---|---|
| `about` | a name and a JSON value: `version`, `id`, `name`, `flow`, `repeat`, `cases` (a digest), `shared` (steps that ran once per case), `scores` (the keys of the score functions of the last call, in their order), `lower_is_better` (the names of those of which low values are good), `flows` (of the variants) |
| `cases` | `number` from 0, `name`, and `content`: the input and the expected output (JSON, a list of two) |
| `variants` | `number` from 0, `name`, `settings` (a digest of flow, variables and overrides), `is_used` (by the last call) |
| `shared` | `number` of the case, `outputs` of the shared steps by step id (JSON), `error` if one of them failed |
| `items` | `variant`, `number` (case x repeats + repeat), `status`, `output` (JSON), `error`, `run_id`, `item`, `duration`, `hidden` (the output with `***` in place of secrets; NULL if it has none) |
| `scores` | `variant`, `number`, `score` (the key of the score function), and as JSON `found` (values by name) and `failed` (messages by name) |

Rows of items and scores are never changed. Scores of a function that has changed since have another key, so they stay
in the file and are not read.
"""  # noqa: E501 - a table

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from .._data.file_paths import file_path
from .._data.secrets import NO_SECRETS
from .._data.values import encode
from .._stores.sqlite import DATABASE_ERRORS, open_private
from ..errors import InvalidArgumentError, JournalError
from ..types.outcomes import Outcome
from .item_records import EndedItem, ItemResult, Scored, StoredItem, error_of, item_of_row
from .records import EvaluationCase, EvaluationItem, ScoreValue

VERSION = 1
_FILE = "evaluation.db"
_TABLES = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS cases (number INTEGER PRIMARY KEY, name TEXT NOT NULL, content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS variants (
    number INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, settings TEXT NOT NULL, is_used INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS items (
    variant INTEGER, number INTEGER, status TEXT NOT NULL, output TEXT, error TEXT, run_id TEXT, item INTEGER,
    duration REAL, hidden TEXT, PRIMARY KEY (variant, number)
);
CREATE TABLE IF NOT EXISTS shared (number INTEGER PRIMARY KEY, outputs TEXT, error TEXT);
CREATE TABLE IF NOT EXISTS scores (
    variant INTEGER, number INTEGER, score TEXT, found TEXT NOT NULL, failed TEXT NOT NULL,
    PRIMARY KEY (variant, number, score)
) WITHOUT ROWID;
"""
_ITEMS = """
SELECT items.number, cases.name, content, status, {output}, error, run_id, item, duration
FROM items CROSS JOIN cases ON cases.number = items.number / ?
WHERE items.variant = ? AND items.number > ? {condition} ORDER BY items.number LIMIT ?
"""
_UNSCORED = """
AND status = 'completed' AND NOT EXISTS (
    SELECT 1 FROM scores WHERE variant = items.variant AND number = items.number AND score = ?
)
"""
_PAGE, _RESULTS = 200, 2_000
"""Number of items that are read at once, and of items without their inputs and outputs."""
_NONE: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
"""The scores of an item that has none."""


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
        self._cases: dict[int, list[EvaluationCase]] = {}
        """The two pages of cases that were read last."""
        if not is_new and not self.exists(self.folder):
            raise JournalError(f"{self.folder} has no evaluation")
        try:
            (self.folder / "runs").mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = open_private(self.folder / _FILE, timeout=0)
        except (*DATABASE_ERRORS, OSError) as error:
            raise JournalError(f"the folder {self.folder} cannot be used: {error}") from None
        try:
            with self._opened() as file:
                if is_new:
                    self._prepare(file)
            version = self.about("version", VERSION)
            if version != VERSION:
                raise JournalError(f"{self.folder} has version {version} of the file, and this release reads {VERSION}")
        except BaseException:
            self._file.close()
            raise

    @classmethod
    def exists(cls, folder: str | os.PathLike[str]) -> bool:
        """Return whether a folder has an evaluation."""
        return (Path(folder) / _FILE).exists()

    def _prepare(self, file: sqlite3.Connection) -> None:
        # Whoever has opened it keeps everybody else out until it ends.
        file.execute("PRAGMA locking_mode=EXCLUSIVE")
        file.execute("PRAGMA journal_mode=WAL")
        # A killed process loses nothing; after a power failure, the last items are read from the journals again.
        file.execute("PRAGMA synchronous=NORMAL")
        file.execute("BEGIN EXCLUSIVE")
        file.execute("COMMIT")
        file.executescript(_TABLES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; others can then open it."""
        with self._lock:
            self._file.close()

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._file
            except DATABASE_ERRORS as error:
                if "locked" in str(error):
                    raise JournalError(f"the folder {self.folder} is in use by another evaluation") from None
                raise JournalError(f"the evaluation in {self.folder} cannot be used: {error}") from None

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._opened() as file:
            return file.execute(query, values).fetchall()

    def about(self, name: str, missing: Any = None) -> Any:
        """Return a value of the evaluation; `missing` if it was never set."""
        found = self._rows("SELECT value FROM about WHERE name = ?", [name])
        return json.loads(found[0][0]) if found else missing

    def tell(self, **values: Any) -> None:
        """Set values of the evaluation."""
        rows = [(name, json.dumps(value)) for name, value in values.items()]
        with self._opened() as file, _transaction(file):
            file.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", rows)

    def begin(self, cases: Iterable[EvaluationCase], repeat: int, variants: Mapping[str, str], **about: Any) -> int:
        """Store what is evaluated, or check that it is what the folder has, and return the number of cases.

        Args:
            cases: The cases.
            repeat: How often each case is run.
            variants: The digest of the settings of each variant, by its name. Variants may be added later.
            about: More values of the evaluation.

        Raises:
            JournalError: If the folder has other cases, another number of repeats, or a variant with other settings.
        """
        known = self.about("cases")
        digest = self._store_cases(cases, is_new=known is None)
        changed = [] if known is None else self._changed(variants, cases=digest, repeat=repeat, shared=about["shared"])
        if changed:
            raise JournalError(
                f"{self.folder} is of an evaluation with other {' and '.join(changed)}",
                hint="a changed evaluation needs a folder of its own",
            )
        with self._opened() as file, _transaction(file):
            file.execute("UPDATE variants SET is_used = 0")
            file.executemany(
                "INSERT INTO variants VALUES ((SELECT count(*) FROM variants), ?, ?, 1) "
                "ON CONFLICT (name) DO UPDATE SET is_used = 1",
                variants.items(),
            )
        self.tell(version=VERSION, cases=digest, repeat=repeat, **about)
        return int(self._rows("SELECT count(*) FROM cases")[0][0])

    def _store_cases(self, cases: Iterable[EvaluationCase], *, is_new: bool) -> str:
        """Store the cases if they are new, and return their digest. They are read one by one."""
        seen = hashlib.sha256()

        def rows() -> Iterator[tuple[Any, ...]]:
            number = -1
            for number, each in enumerate(cases):
                content = encode([each.input, each.expected])
                seen.update(b"%d %b\n%b\n" % (number, each.name.encode(), content))
                yield number, each.name, content.decode()
            if number < 0:
                raise InvalidArgumentError("there are no cases to evaluate")

        if is_new:
            with self._opened() as file, _transaction(file):
                # Those of a call that was killed before it had stored all of them.
                file.execute("DELETE FROM cases")
                file.executemany("INSERT INTO cases VALUES (?, ?, ?)", rows())
        else:
            deque(rows(), maxlen=0)
        return seen.hexdigest()

    def _changed(self, variants: Mapping[str, str], **now: Any) -> list[str]:
        """Return what differs from the evaluation in the folder."""
        words = {"cases": "cases", "repeat": "repeats", "shared": "shared steps"}
        found = [words[name] for name, value in now.items() if self.about(name) != value]
        before = dict(self._rows("SELECT name, settings FROM variants"))
        different = [name for name, settings in variants.items() if before.get(name, settings) != settings]
        return found + ([f"flows, variables or overrides of {', '.join(map(repr, different))}"] if different else [])

    @property
    def id(self) -> str | None:
        """What identifies the evaluation on a server; None for one that is not continued after a crash."""
        found: str | None = self.about("id")
        return found

    @property
    def variants(self) -> dict[str, int]:
        """The numbers of the variants of the last call, by name."""
        return dict(self._rows("SELECT name, number FROM variants WHERE is_used ORDER BY number"))

    def journal(self, name: str) -> Path:
        """Return the path of the journal of some runs: those of a variant, by its number, or of shared steps."""
        return self.folder / "runs" / f"{name}.journal"

    def cases(self) -> Iterator[EvaluationCase]:
        """Yield the cases. They are read page by page, and several readers at about the same place share a page."""
        number = 0
        while page := self._page(number):
            number += len(page)
            yield from page

    def _page(self, number: int) -> list[EvaluationCase]:
        found = self._cases.get(number)
        if found is None:
            rows = self._rows("SELECT name, content FROM cases WHERE number >= ? LIMIT ?", (number, _PAGE))
            found = [EvaluationCase(name, *json.loads(content)) for name, content in rows]
            self._cases = {**dict(list(self._cases.items())[-1:]), number: found}
        return found

    def known(self, variant: int) -> set[int]:
        """Return the numbers of the items of a variant that have ended."""
        return {number for (number,) in self._rows("SELECT number FROM items WHERE variant = ?", [variant])}

    def add_shared(self, outcomes: Iterable[Outcome]) -> None:
        """Store what became of the shared steps of some cases."""
        rows = [(each.index, _json(each.output), error_of(each)) for each in outcomes]
        with self._opened() as file, _transaction(file):
            file.executemany("INSERT OR IGNORE INTO shared VALUES (?, ?, ?)", rows)

    def has_shared(self) -> bool:
        """Return whether the shared steps of all cases have ended."""
        (count,) = self._rows("SELECT (SELECT count(*) FROM shared) = (SELECT count(*) FROM cases)")[0]
        return bool(count)

    def shared(self) -> Iterator[tuple[Any, str | None]]:
        """Yield the outputs of the shared steps of each case, and the message of a failure."""
        number = 0
        query = "SELECT outputs, error FROM shared WHERE number >= ? ORDER BY number LIMIT ?"
        while rows := self._rows(query, (number, _PAGE)):
            number += len(rows)
            for outputs, error in rows:
                yield json.loads(outputs), error

    def add(self, found: Collection[EndedItem]) -> None:
        """Store items that have ended."""
        if not found:
            return
        rows = [
            (
                *(variant, number, it.status.value, _json(it.output), self._error(it), it.run_id, it.item_index),
                *(duration, self._hidden(it.output) if self.secrets else None),
            )
            for variant, number, _, it, duration in found
        ]
        with self._opened() as file, _transaction(file):
            file.executemany("INSERT OR IGNORE INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def _error(self, outcome: Outcome) -> str | None:
        message = error_of(outcome)
        return None if message is None else self.secrets.hide(message)

    def _hidden(self, output: Any) -> str | None:
        """Return an output without its secrets; None if it has none."""
        hidden = self.secrets.hide_in(output)
        return None if hidden == output else _json(hidden)

    def add_scores(self, scored: Iterable[Scored]) -> None:
        """Store scores."""
        rows = [
            (variant, number, key, json.dumps(found) if found else "{}", json.dumps(failed) if failed else "{}")
            for variant, number, key, found, failed in scored
        ]
        with self._opened() as file, _transaction(file):
            file.executemany("INSERT OR IGNORE INTO scores VALUES (?, ?, ?, ?, ?)", rows)

    def unscored(self, key: str, known: Mapping[int, set[int]]) -> Iterator[list[StoredItem]]:
        """Yield the successful items without a score of a function, page by page, without other scores.

        Args:
            key: The key of the function.
            known: The numbers of the items to look at, by variant.
        """
        for name in self.variants:
            for page in self._pages(name, _UNSCORED, [key]):
                yield [each for each in page if each.number in known[each.variant]]

    def items(self, variant: str | None = None, *, hidden: bool = False) -> Iterator[EvaluationItem]:
        """Yield the items of a variant, or of all variants of the last call, by case and repeat, with their scores.

        Args:
            variant: The name of the variant.
            hidden: Whether outputs have `***` in place of the secrets of the evaluation. Default False.
        """
        keys = self.about("scores", [])
        for name in self.variants if variant is None else [variant]:
            for page in self._pages(name, output="coalesce(hidden, output)" if hidden else "output"):
                scores = self._scores(page[0].variant, page[0].number, page[-1].number, keys)
                for each in page:
                    found, failed = scores.get(each.number, ({}, {}))
                    yield replace(each.item, scores=found, score_errors=failed)

    def results(self) -> Iterator[ItemResult]:
        """Yield what reports keep of the items of the variants of the last call."""
        keys, repeat = self.about("scores", []), int(self.about("repeat"))
        cases = [name for (name,) in self._rows("SELECT name FROM cases ORDER BY number")]
        wanted = "SELECT number, status, error, duration FROM items"
        query = f"{wanted} WHERE variant = ? AND number > ? ORDER BY number LIMIT ?"
        for name, variant in self.variants.items():
            last = -1
            while rows := self._rows(query, (variant, last, _RESULTS)):
                scores = self._scores(variant, rows[0][0], rows[-1][0], keys)
                for number, *told in rows:
                    yield ItemResult(cases[number // repeat], name, number % repeat, *told, *scores.get(number, _NONE))
                last = rows[-1][0]

    def _pages(
        self, name: str, condition: str = "", values: Sequence[Any] = (), output: str = "output"
    ) -> Iterator[list[StoredItem]]:
        variant, repeat, number = self.variants[name], int(self.about("repeat")), -1
        query = _ITEMS.format(condition=condition, output=output)
        while rows := self._rows(query, (repeat, variant, number, *values, _PAGE)):
            yield [StoredItem(variant, row[0], item_of_row(name, row[0] % repeat, row)) for row in rows]
            number = rows[-1][0]

    def _scores(
        self, variant: int, first: int, last: int, keys: Sequence[str]
    ) -> dict[int, tuple[dict[str, ScoreValue], dict[str, str]]]:
        """Return the scores of some items, and the messages of those that failed, by the number of the item."""
        query = "SELECT number, score, found, failed FROM scores WHERE variant = ? AND number BETWEEN ? AND ?"
        order = {key: place for place, key in enumerate(keys)}
        rows = [row for row in self._rows(query, (variant, first, last)) if row[1] in order]
        found: dict[int, tuple[dict[str, ScoreValue], dict[str, str]]] = {}
        for number, _, values, errors in sorted(rows, key=lambda row: order[row[1]]):
            scores, failed = found.setdefault(number, ({}, {}))
            scores.update(_scores_in(values))
            failed.update(_scores_in(errors))
        return found


@lru_cache
def _scores_in(text: str) -> dict[str, Any]:
    """Return the scores in a text. Many items have the same ones; nobody may change what is returned."""
    found: dict[str, Any] = json.loads(text)
    return found


def _json(value: Any) -> str:
    return encode(value).decode()


@contextmanager
def _transaction(file: sqlite3.Connection) -> Iterator[None]:
    file.execute("BEGIN")
    with file:
        yield
