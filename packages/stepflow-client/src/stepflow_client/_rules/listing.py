"""The order of runs in a list, and when they were created. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol, TypeVar

from ..errors import InvalidArgumentError
from .creation import born

__all__ = ["ListedRun", "Run", "Window", "is_coarse", "newest_first", "second"]

_APART = 2.0
"""Seconds by which the order of a list may differ from that of the ids in it."""


class ListedRun(Protocol):
    """What the order of a list needs of its runs."""

    @property
    def run_id(self) -> str: ...
    @property
    def created_at(self) -> datetime | None: ...


Run = TypeVar("Run", bound=ListedRun)


class Window:
    """The time in which runs were created, by the server's clock.

    Args:
        since: Its beginning, which is in it; None for all before `until`.
        until: Its end, which is not in it; None for all since `since`.

    Raises:
        InvalidArgumentError: If one of them is no time.
    """

    def __init__(self, since: datetime | str | None, until: datetime | str | None) -> None:
        """Read both."""
        self._since, self._until = _moment(since, "since"), _moment(until, "until")

    @property
    def is_open(self) -> bool:
        """True if every run is in it."""
        return self._since is None and self._until is None

    def __contains__(self, run: ListedRun) -> bool:
        """Whether a run was created in it."""
        created = _created(run)
        is_early = self._since is not None and created < self._since
        return not is_early and (self._until is None or created < self._until)

    def is_over(self, run: ListedRun) -> bool:
        """True if no run that is listed behind this one was created in it."""
        return self._since is not None and _created(run) < self._since - _APART


def _moment(value: object, what: str) -> float | None:
    """Return a time in seconds since 1970; without a time zone it is local."""
    if value is None:
        return None
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(time, datetime):
            return time.timestamp()
    except (ValueError, OverflowError, OSError):
        pass
    raise InvalidArgumentError(f"{what} is a datetime or a text such as 2026-11-25T14:00:00Z, not {value!r}")


def _created(run: ListedRun) -> float:
    moment = born(run.run_id)
    if moment is not None:
        return moment
    return run.created_at.timestamp() if run.created_at is not None else 0.0


def second(run: ListedRun) -> int:
    """Return the second in which a run was created, counted from 1970."""
    return int(run.created_at.timestamp() if run.created_at is not None else _created(run))


def is_coarse(runs: Iterable[ListedRun]) -> bool:
    """True if the server knows whole seconds only, as with sqlite: within one it may list the oldest run first."""
    times = [run.created_at for run in runs if run.created_at is not None]
    return bool(times) and not any(time.microsecond for time in times)


def newest_first(runs: Iterable[Run]) -> list[Run]:
    """Return runs in the order of their creation, the last one first: to the millisecond, by their ids."""
    return sorted(runs, key=lambda run: (second(run), run.run_id), reverse=True)
