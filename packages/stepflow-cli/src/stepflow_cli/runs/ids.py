"""Run ids given by a unique beginning, or by their position in the history.

Ids begin with their creation time in milliseconds, as 12 hexadecimal digits. The beginning of an id therefore limits
the time of creation, and only the runs of that time are requested.
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
"""Number of runs listed if a beginning is ambiguous."""
_CLOCK = timedelta(seconds=2)
"""Servers up to 0.9 report creation times in whole seconds."""


def is_whole(text: str) -> bool:
    """Return whether a text is a complete run id."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def place_of(text: str) -> int:
    """Return the position in the history that `@last`, `@2` and so on stand for, with 0 for the newest run."""
    return 0 if text == "@last" else int(text[1:]) - 1


def whole_id(client: SyncStepflowClient, text: str) -> str:
    """Return the id with this beginning; a complete id is returned without a request.

    Args:
        client: The client to list runs with.
        text: The id, its beginning, or `@last`, `@2` and so on: the newest runs recorded for this server.

    Raises:
        Problem: If no run's id begins with the text (exit code 1), or several do (exit code 2; the hint lists them), or
            the history has too few runs.
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
    """Return the ids with these beginnings, in order and without duplicates.

    Raises:
        Problem: As for `whole_id`.
    """
    return list(dict.fromkeys(whole_id(client, each) for each in texts))


def recorded_id(text: str, url: str | None = None) -> str:
    """Return the id that `@last`, `@2` and so on stand for.

    Args:
        text: The position in the history.
        url: Only count runs of this server; None for runs of all servers.

    Raises:
        Problem: If the history has too few runs.
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
    if since is None:  # the time is out of range, so the text cannot be an id
        return
    begin = since - _CLOCK if since.year > 1970 else since
    for run in client.iter_runs(since=begin, until=None if until is None else until + _CLOCK):
        if run.run_id.startswith(text):
            yield run.run_id


def _time(milliseconds: int) -> datetime | None:
    with suppress(OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    return None
