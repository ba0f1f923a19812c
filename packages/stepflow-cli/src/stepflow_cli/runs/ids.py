"""Run ids by their beginning: the id that begins so, if there is one and no other; and by their place in the history.

Ids begin with the time of their creation, in milliseconds: 12 digits in base 16. So the beginning of an id bounds when
the run was created, and only the runs of that time are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from ..errors import Problem, usage
from ..exit_codes import ExitCode
from ..settings.history import history_setting, open_history, same_server

if TYPE_CHECKING:
    from stepflow_client import SyncStepflowClient

__all__ = ["is_whole", "place_of", "recorded_id", "whole_id", "whole_ids"]

_CANDIDATES = 5
"""How many are listed where the beginning is that of several."""
_CLOCK = timedelta(seconds=2)
"""Servers up to 0.9 tell the time of creation in whole seconds."""


def is_whole(text: str) -> bool:
    """Return whether this is a whole id."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def place_of(text: str) -> int:
    """Return which of the recorded runs `@last`, `@2` and so on mean, counted from 0 for the newest."""
    return 0 if text == "@last" else int(text[1:]) - 1


def whole_id(client: SyncStepflowClient, text: str) -> str:
    """Return the id that begins like this; a whole id is returned as it is, without a request.

    Args:
        client: Asked for the runs.
        text: The id, its beginning, or `@last`, `@2` and so on: the newest runs that were recorded of this server.

    Raises:
        Problem: If no run's id begins so (exit code 1), or several do (exit code 2): the hint lists them. If the
            history has not so many runs.
    """
    if text.startswith("@"):
        return recorded_id(text, client.url)
    if is_whole(text):
        return text
    found: list[str] = []
    for run_id in _beginning_with(client, text):
        found.append(run_id)
        if len(found) > _CANDIDATES:
            break
    if len(found) == 1:
        return found[0]
    if not found:
        message = f"no run's id begins with {text}"
        raise Problem(message, kind="not_found", exit_code=ExitCode.FAILED, hint="'stepflow runs list' shows them")
    more = " ..." if len(found) > _CANDIDATES else ""
    raise usage(f"several run ids begin with {text}", f"it may be {', '.join(found[:_CANDIDATES])}{more}")


def whole_ids(client: SyncStepflowClient, texts: Sequence[str]) -> list[str]:
    """Return the ids that begin like these, each once, in their order.

    Raises:
        Problem: As for `whole_id`.
    """
    return list(dict.fromkeys(whole_id(client, each) for each in texts))


def recorded_id(text: str, url: str | None = None) -> str:
    """Return the id that `@last`, `@2` and so on mean.

    Args:
        text: The place in the history.
        url: Only runs of this server count; None for those of all servers.

    Raises:
        Problem: If the history has not so many runs.
    """
    entries = open_history().search(server=None if url is None else same_server(url), limit=1, offset=place_of(text))
    if entries:
        return entries[0].run_id
    off = history_setting().value == "off"
    raise Problem(
        f"the history has no run {text}" + ("" if url is None else f" of {url}"),
        kind="not_found",
        exit_code=ExitCode.FAILED,
        hint="recording is off: stepflow config set history on" if off else "'stepflow history list' shows all of it",
    )


def _beginning_with(client: SyncStepflowClient, text: str) -> Iterator[str]:
    digits = text.replace("-", "")[:12]
    first, last = int(digits.ljust(12, "0"), 16), int(digits.ljust(12, "f"), 16)
    since, until = _time(first), _time(last)
    if since is None:  # no such time will come: the id cannot be one
        return
    begin = since - _CLOCK if since.year > 1970 else since
    for run in client.iter_runs(since=begin, until=None if until is None else until + _CLOCK):
        if run.run_id.startswith(text):
            yield run.run_id


def _time(milliseconds: int) -> datetime | None:
    with suppress(OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    return None
