"""Searching runs: `flow:order status:failed since:2026-11-24 "not found"`, creation times, and the order of lists.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from .._data.arguments import wrong
from .lost_creation import get_creation_time

if TYPE_CHECKING:
    from ..types import RunDetails

QUERY_FIELDS = ("flow", "status", "since", "until", "include")
_WORD = re.compile(r'(?:(\w+):)?"([^"]*)"(?=\s|$)|(\S+)')


class RunQuery(NamedTuple):
    """A query: a run matches all of its words and fields."""

    words: tuple[str, ...] = ()
    """Texts, and labels such as `customer=42`."""
    fields: Mapping[str, str] = {}
    """The values of `flow:`, `status:`, `since:`, `until:` and `include:`."""

    def __str__(self) -> str:
        return " ".join(
            [*(f"{name}:{quote_word(value)}" for name, value in self.fields.items()), *map(quote_word, self.words)]
        )


def quote_word(text: str) -> str:
    """Return a text as one word of a query."""
    return f'"{text}"' if split_query(text) != RunQuery((text,)) else text


def split_query(text: str) -> RunQuery:
    """Return the query that a person has written. Anything but a field is a word, and quotes keep words together."""
    words: list[str] = []
    fields: dict[str, str] = {}
    for name, phrase, plain in _WORD.findall(text):
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


# Maximum number of seconds by which a listed run is newer than the one before it.
_MAX_DISORDER = 2.0


class CreationWindow:
    """A period in which runs were created, by the server's clock.

    Args:
        since: The start of the period, inclusive; None for no start.
        until: The end of the period, exclusive; None for no end.

    Raises:
        InvalidArgumentError: If one of them is not a valid time.
    """

    def __init__(self, since: datetime | str | None, until: datetime | str | None) -> None:
        self._since, self._until = _parse_timestamp(since, "since"), _parse_timestamp(until, "until")

    @property
    def is_open(self) -> bool:
        """True if the period has neither a start nor an end, so that it contains every run."""
        return self._since is None and self._until is None

    def __contains__(self, run: RunDetails) -> bool:
        """Return whether a run was created in the period."""
        created = _get_creation_time(run)
        is_early = self._since is not None and created < self._since
        return not is_early and (self._until is None or created < self._until)

    def is_over(self, run: RunDetails) -> bool:
        """Return whether no run listed after this one can have been created in the period."""
        return self._since is not None and _get_creation_time(run) < self._since - _MAX_DISORDER


def _parse_timestamp(value: object, what: str) -> float | None:
    """Return a time in seconds since 1970. A time without a time zone is local time."""
    if value is None:
        return None
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(time, datetime):
            return time.timestamp()
    except (ValueError, OverflowError, OSError):
        pass
    raise wrong(what, "a datetime or a text such as 2026-11-25T14:00:00Z", value)


def _get_creation_time(run: RunDetails) -> float:
    time = get_creation_time(run.run_id)
    if time is not None:
        return time
    return run.created_at.timestamp() if run.created_at is not None else 0.0


def get_creation_second(run: RunDetails) -> int:
    """Return the creation time of a run in whole seconds since 1970."""
    return int(run.created_at.timestamp() if run.created_at is not None else _get_creation_time(run))


def has_whole_seconds(runs: Iterable[RunDetails]) -> bool:
    """Return whether the server stores only whole seconds, as it does with sqlite.

    Within one second, such a server may list the oldest run first.
    """
    times = [run.created_at for run in runs if run.created_at is not None]
    return bool(times) and not any(time.microsecond for time in times)


def sort_newest_first(runs: Iterable[RunDetails]) -> list[RunDetails]:
    """Return runs sorted by creation time, newest first. Within a second, their ids determine the order."""
    return sorted(runs, key=lambda run: (get_creation_second(run), run.run_id), reverse=True)
