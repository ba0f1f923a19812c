"""Run queries (`flow:order status:failed since:2026-11-24 "not found"`), creation windows and sort order. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from .._data.arguments import argument_error
from .lost_creation import get_creation_time

if TYPE_CHECKING:
    from ..types import RunDetails

QUERY_FIELDS = ("flow", "status", "since", "until", "include")
_QUERY_WORD = re.compile(r'(?:(\w+):)?"([^"]*)"(?=\s|$)|(\S+)')


class RunQuery(NamedTuple):
    """A run query. A run matches if it satisfies every word and field."""

    words: tuple[str, ...] = ()
    """Search terms, including labels such as `customer=42`."""
    fields: Mapping[str, str] = {}
    """The `flow:`, `status:`, `since:`, `until:` and `include:` values."""

    def __str__(self) -> str:
        fields = [f"{name}:{quote_word(value)}" for name, value in self.fields.items()]
        return " ".join([*fields, *map(quote_word, self.words)])


def quote_word(text: str) -> str:
    """Quote text if necessary, so that it becomes a single word in a query."""
    return f'"{text}"' if parse_run_query(text) != RunQuery((text,)) else text


def parse_run_query(text: str) -> RunQuery:
    """Parse a query typed by a user. Anything that isn't a field is a word, and quotes group words together."""
    words: list[str] = []
    fields: dict[str, str] = {}
    for name, phrase, plain in _QUERY_WORD.findall(text):
        if plain:
            name, colon, value = plain.partition(":")
            if not (colon and name in QUERY_FIELDS):
                words.append(plain)
                continue
        else:
            value = phrase
        if name in QUERY_FIELDS:
            fields |= {name: value} if value else {}
        elif value:
            words.append(f"{name}:{value}" if name else value)
    return RunQuery(tuple(words), fields)


# Server lists aren't strictly sorted. A run may be up to this many seconds newer than the one before it.
_MAX_DISORDER_SECONDS = 2.0


class CreationWindow:
    """A time window for run creation, by the server's clock.

    Args:
        since: The start of the window (inclusive). None means that it has no start.
        until: The end of the window (exclusive). None means that it has no end.

    Raises:
        InvalidArgumentError: If `since` or `until` is not a valid time.
    """

    def __init__(self, since: datetime | str | None, until: datetime | str | None) -> None:
        self._since, self._until = _to_unix_seconds(since, "since"), _to_unix_seconds(until, "until")

    @property
    def is_unlimited(self) -> bool:
        """Whether the window has neither a start nor an end."""
        return self._since is None and self._until is None

    def __contains__(self, run: RunDetails) -> bool:
        """Return whether a run was created within the window."""
        created = _get_creation_time(run)
        is_early = self._since is not None and created < self._since
        return not is_early and (self._until is None or created < self._until)

    def is_run_too_old(self, run: RunDetails) -> bool:
        """Return whether this run and all runs listed after it are too old for the window."""
        return self._since is not None and _get_creation_time(run) < self._since - _MAX_DISORDER_SECONDS


def _to_unix_seconds(value: object, what: str) -> float | None:
    """Convert a time to seconds since 1970. Times without a time zone are assumed to be local."""
    if value is None:
        return None
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(time, datetime):
            return time.timestamp()
    except (ValueError, OverflowError, OSError):
        pass
    raise argument_error(what, "a datetime or a string such as 2026-11-25T14:00:00Z", value)


def _get_creation_time(run: RunDetails) -> float:
    created = run.created_at
    # If the server stores only whole seconds, the time in the ID is more precise.
    time = None if created is not None and created.microsecond else get_creation_time(run.run_id)
    if time is not None:
        return time
    return created.timestamp() if created is not None else 0.0


def get_creation_second(run: RunDetails) -> int:
    """Return when a run was created, in whole seconds since 1970."""
    return int(run.created_at.timestamp() if run.created_at is not None else _get_creation_time(run))


def has_only_whole_seconds(runs: Iterable[RunDetails]) -> bool:
    """Return whether the server stores times only to the second, e.g. because it uses SQLite.

    If so, it may list runs created within the same second oldest first.
    """
    times = [run.created_at for run in runs if run.created_at is not None]
    return bool(times) and not any(time.microsecond for time in times)


def sort_newest_first(runs: Iterable[RunDetails]) -> list[RunDetails]:
    """Sort runs by creation time, newest first. Within the same second, sort by ID."""
    return sorted(runs, key=lambda run: (get_creation_second(run), run.run_id), reverse=True)
