"""The folder of an evaluation: its cases, what became of each item, and its scores.

The folder has one SQLite file `evaluation.db` (WAL, mode 0600), which only one evaluation can have open, and the
journals of the batches in `runs/`, a file for each variant.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Self

from .._data.file_paths import file_path
from .._data.secrets import NO_SECRETS
from .._rules.chunks import ReadAhead
from .._stores.sqlite import DATABASE_ERRORS, open_private
from ..errors import InvalidArgumentError, JournalError
from .cases import case_of, encoded
from .item_records import Block, Results, Scored
from .records import EvaluationCase, EvaluationItem
from .tables import TABLES, TOLD, VERSION, Columns, columns, json_of, packed, parsed

_FILE = "evaluation.db"
_MAX_BYTES = 8 << 20
"""Maximum size of the cases that are stored together, unless they become larger all at once."""


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
        file.executescript(TABLES)

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
        return parsed(found[0][0]) if found else missing

    def tell(self, **values: Any) -> None:
        """Set values of the evaluation."""
        rows = [(name, json.dumps(value)) for name, value in values.items()]
        with self._opened() as file, _transaction(file):
            file.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", rows)

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
        known = self.about("count")
        added = None if known is None else self._added(cases)
        changed = [] if known is None else self._changed(variants, repeat=repeat)
        if known is not None and added is None:
            changed.insert(0, "cases")
        if changed:
            raise JournalError(
                f"{self.folder} is of an evaluation with other {' and '.join(changed)}",
                hint="a changed evaluation needs a folder of its own",
            )
        count = (known or 0) + self._store_cases(cases if added is None else added, known or 0)
        if not count:
            raise InvalidArgumentError("there are no cases to evaluate")
        with self._opened() as file, _transaction(file):
            file.execute("UPDATE variants SET is_used = 0")
            file.executemany(
                "INSERT INTO variants VALUES ((SELECT count(*) FROM variants), ?, ?, 1) "
                "ON CONFLICT (name) DO UPDATE SET is_used = 1",
                variants.items(),
            )
        self.tell(version=VERSION, count=count, repeat=repeat, **about)
        return count

    def _store_cases(self, cases: Iterable[EvaluationCase], count: int) -> int:
        """Store the cases after the first `count`, and return their number. They are read some at a time."""
        first = count

        def rows() -> Iterator[tuple[int, str, str]]:
            nonlocal count
            left, size = iter(cases), ReadAhead(_MAX_BYTES)
            while some := list(islice(left, size.count)):
                names, content = encoded(some)
                yield count, names.decode(), content.decode()
                count += len(some)
                size.note(len(some), len(content))

        with self._opened() as file, _transaction(file):
            # Those of a call that was killed before it had stored all of them.
            file.execute("DELETE FROM cases WHERE number >= ?", [first])
            file.executemany("INSERT INTO cases VALUES (?, ?, ?)", rows())
        return count - first

    def _added(self, cases: Iterable[EvaluationCase]) -> list[EvaluationCase] | None:
        """Return the cases that the folder does not have; None if it has others."""
        # Digests instead of cases: there may be many.
        known = {_digest(each) for each in self.cases()}
        new = []
        for case in cases:
            digest = _digest(case)
            if digest in known:
                known.remove(digest)
            else:
                new.append(case)
        return None if known else new

    def _changed(self, variants: Mapping[str, str], **now: Any) -> list[str]:
        """Return what differs from the evaluation in the folder."""
        words = {"cases": "cases", "repeat": "repeats"}
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

    def journal(self, variant: int) -> Path:
        """Return the path of the journal of a variant's runs."""
        return self.folder / "runs" / f"{variant}.journal"

    def cases(self) -> Iterator[EvaluationCase]:
        """Yield the cases. They are read some at a time, and several readers at about the same place share them."""
        number, count = 0, self.about("count")
        while number < count:
            first, found = self._page(number)
            yield from found
            number = first + len(found)

    def _page(self, number: int) -> tuple[int, list[EvaluationCase]]:
        """Return the cases that are stored together with one, and the number of the first of them."""
        for first, found in self._cases:
            if first <= number < first + len(found):
                return first, found
        query = "SELECT number, names, content FROM cases WHERE number <= ? ORDER BY number DESC LIMIT 1"
        ((first, names, content),) = self._rows(query, [number])
        given = zip(parsed(names), parsed(content), strict=True)
        page = first, [case_of(name, each) for name, each in given]
        self._cases = [*self._cases[-1:], page]
        return page

    def _cases_of(self, number: int, count: int) -> list[EvaluationCase]:
        """Return the cases of items."""
        repeat, first = int(self.about("repeat")), 0
        page: list[EvaluationCase] = []
        found = []
        for each in range(number, number + count):
            if not first <= each // repeat < first + len(page):
                first, page = self._page(each // repeat)
            found.append(page[each // repeat - first])
        return found

    def known(self, variant: int) -> dict[int, int]:
        """Return which items of a variant have ended: how many from each first number on."""
        return dict(self._rows("SELECT number, count FROM items WHERE variant = ? ORDER BY number", [variant]))

    def add(self, blocks: Collection[Block]) -> None:
        """Store items that have ended."""
        rows = [
            (it.variant, it.first, len(it), self._told(it), json_of(it.outputs), self._hidden(it.outputs))
            for it in blocks
        ]
        with self._opened() as file, _transaction(file):
            file.executemany("INSERT OR IGNORE INTO items VALUES (?, ?, ?, ?, ?, ?)", rows)

    def _told(self, block: Block) -> str:
        errors = block.errors if not any(block.errors) else self.secrets.hide_in(block.errors)
        told = (block.statuses, errors, block.run_ids, block.indexes, block.durations)
        return json_of(dict(zip(TOLD, map(packed, told), strict=True)))

    def _hidden(self, outputs: list[Any]) -> str | None:
        """Return outputs without their secrets; None if they have none."""
        hidden = self.secrets.hide_in(outputs) if self.secrets else outputs
        return None if hidden == outputs else json_of(hidden)

    def add_scores(self, scored: Scored) -> None:
        """Store scores."""
        texts = (json.dumps({name: packed(values) for name, values in each.items()}) for each in scored[-2:])
        with self._opened() as file:
            query = "INSERT OR IGNORE INTO scores VALUES (?, ?, ?, ?, ?, ?)"
            file.execute(query, (scored.variant, scored.key, scored.number, scored.length, *texts))

    def unscored(self, key: str, known: Mapping[int, Mapping[int, int]]) -> Iterator[tuple[Block, list[int]]]:
        """Yield blocks that have successful items without a score of a function, with the places of these.

        Args:
            key: The key of the function.
            known: The blocks to look at, by variant: the number of the first item and how many there are.
        """
        query = "SELECT number, count FROM scores WHERE variant = ? AND score = ?"
        for variant in self.variants.values():
            scored = {
                each for number, count in self._rows(query, (variant, key)) for each in range(number, number + count)
            }
            for first, several in known[variant].items():
                if scored.issuperset(range(first, first + several)):
                    continue
                block = self._block(variant, first)
                if places := [place for place in block.successes if first + place not in scored]:
                    yield block, places

    def _block(self, variant: int, first: int, outputs: str = "outputs") -> Block:
        query = f"SELECT count, told, {outputs} FROM items WHERE variant = ? AND number = ?"  # noqa: S608
        ((count, told, values),) = self._rows(query, (variant, first))
        found = columns(told, count)
        statuses, errors, run_ids, indexes, durations = (found[name] for name in TOLD)
        cases = self._cases_of(first, count)
        return Block(variant, first, cases, statuses, parsed(values), errors, run_ids, indexes, durations)

    def items(self, variant: str | None = None, *, hidden: bool = False) -> Iterator[EvaluationItem]:
        """Yield the items of a variant, or of all variants of the last call, by case and repeat, with their scores.

        Args:
            variant: The name of the variant.
            hidden: Whether outputs have `***` in place of the secrets of the evaluation. Default False.
        """
        keys, repeat = self.about("scores", []), int(self.about("repeat"))
        numbers = self.variants
        for name in numbers if variant is None else [variant]:
            for first in self.known(numbers[name]):
                block = self._block(numbers[name], first, "coalesce(hidden, outputs)" if hidden else "outputs")
                scored = self._scores(numbers[name], first, len(block), keys)
                for place in range(len(block)):
                    scores, failed = (
                        {name: values[place] for name, values in each.items() if values[place] is not None}
                        for each in scored
                    )
                    yield block.item(place, name, repeat, scores=scores, score_errors=failed)

    def results(self) -> Iterator[Results]:
        """Yield what reports keep of the items of the variants of the last call."""
        keys, repeat = self.about("scores", []), int(self.about("repeat"))
        cases = [name for (names,) in self._rows("SELECT names FROM cases ORDER BY number") for name in parsed(names)]
        for name, variant in self.variants.items():
            query = "SELECT number, count, told FROM items WHERE variant = ? ORDER BY number"
            for number, count, text in self._rows(query, [variant]):
                found = columns(text, count)
                names = [cases[each // repeat] for each in range(number, number + count)]
                statuses, errors, run_ids, durations = (
                    found[each] for each in ("status", "error", "run_id", "duration")
                )
                scores, failed = self._scores(variant, number, count, keys)
                repeats = min(repeat, number + count)
                yield Results(name, names, repeats, statuses, errors, run_ids, durations, scores, failed)

    def _scores(self, variant: int, first: int, count: int, keys: Sequence[str]) -> tuple[Columns, Columns]:
        """Return the scores of the items of a block, and the messages of those that failed."""
        query = (
            "SELECT number, count, found, failed FROM scores WHERE variant = ? AND score = ? AND number BETWEEN ? AND ?"
        )
        found: tuple[Columns, Columns] = ({}, {})
        for key in keys:
            for number, several, *texts in self._rows(query, (variant, key, first, first + count - 1)):
                for named, text in zip(found, texts, strict=True):
                    for name, values in columns(text, several).items():
                        place = number - first
                        named.setdefault(name, [None] * count)[place : place + several] = values
        return found


def _digest(case: EvaluationCase) -> bytes:
    """Return what identifies a case, whether it was read from the folder or not."""
    return hashlib.sha256(json.dumps([parsed(each.decode()) for each in encoded([case])]).encode()).digest()


@contextmanager
def _transaction(file: sqlite3.Connection) -> Iterator[None]:
    file.execute("BEGIN")
    with file:
        yield
