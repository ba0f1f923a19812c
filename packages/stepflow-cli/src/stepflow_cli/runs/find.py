"""Finding runs: by the beginning of an id, by `@last`, or by labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from stepflow_client._base.text import rfc3339

from ..errors import Problem, usage
from ..output.messages import note
from ..settings.history import history_setting, open_history

if TYPE_CHECKING:
    from stepflow_client import SyncStepflowClient
    from stepflow_client.history import HistoryEntry

_CANDIDATES = 5
"""Number of runs listed if a beginning is ambiguous."""
_DASHES = (8, 13, 18, 23)
"""Positions of the dashes in a run id."""
_CLOCK = timedelta(seconds=2)
"""Maximum difference between the time in the id of a run and its creation time."""


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
        raise Problem(message, kind="not_found", hint="'stepflow runs list' shows them")
    more = " ..." if len(found) > _CANDIDATES else ""
    raise usage(f"several run ids begin with {text}", f"it may be {', '.join(found[:_CANDIDATES])}{more}")


def whole_ids(client: SyncStepflowClient, texts: Sequence[str], *, says: bool = False) -> list[str]:
    """Return the ids with these beginnings, in order and without duplicates.

    Args:
        client: The client to list runs with.
        texts: The ids, as for `whole_id`.
        says: Whether to print which runs `@last`, `@2` and so on are, for commands that change runs.

    Raises:
        Problem: As for `whole_id`.
    """
    return list(dict.fromkeys(_named(client, each) if says else whole_id(client, each) for each in texts))


def _named(client: SyncStepflowClient, text: str) -> str:
    if not text.startswith("@"):
        return whole_id(client, text)
    entry = _recorded(text, client.url)
    name = entry.flow.get("name") if entry.flow else None
    flow = name or (entry.flow_id or "")[:12]
    note(f"{text} is run {entry.run_id}{f' of flow {flow}' if flow else ''}, started {rfc3339(entry.created_at)}")
    return entry.run_id


def recorded_id(text: str, url: str | None = None) -> str:
    """Return the id that `@last`, `@2` and so on stand for.

    Args:
        text: The position in the history.
        url: Only count runs of this server; None for runs of all servers.

    Raises:
        Problem: If the history has too few runs, or if the position is that of a batch of several runs.
    """
    return _recorded(text, url).run_id


def _recorded(text: str, url: str | None) -> HistoryEntry:
    from stepflow_client._command import same_server

    entries = open_history().search(server=None if url is None else same_server(url), limit=1, offset=place_of(text))
    if entries and entries[0].has_more_runs:
        hint = "its output names the run of each input; 'stepflow runs list' shows them"
        raise usage(f"{text} is a batch of several runs, of which {entries[0].run_id} is the first", hint)
    if entries:
        return entries[0]
    raise Problem(
        f"the history has no run {text}" + ("" if url is None else f" of {url}"), kind="not_found", hint=_why_none(url)
    )


def _why_none(url: str | None) -> str:
    if history_setting().value == "off":
        return "recording is off: stepflow config set history on"
    newest = open_history().search(limit=1)
    if url is not None and newest and open_history().kept_outputs(newest[0].run_id) is not None:
        return (
            "the last run was on an embedded server, which ended with its command; 'stepflow serve' starts one that "
            "lasts, 'stepflow repl' has one"
        )
    return "'stepflow history list' shows all of it"


def is_beginning(text: str) -> bool:
    """Return whether a text in lower case is the beginning of a run id, of at least four digits."""
    return 4 <= len(text) < 36 and all(
        each == "-" if place in _DASHES else each in "0123456789abcdef" for place, each in enumerate(text)
    )


def created_between(text: str) -> tuple[datetime, datetime | None] | None:
    """Return between which times the runs were created whose ids begin with a text; None if no id can.

    Args:
        text: The beginning of an id, which is that of a time.

    Returns:
        The first time, and the last one; None for no limit.
    """
    digits = text.replace("-", "")[:12]
    since, until = _time(int(digits.ljust(12, "0"), 16)), _time(int(digits.ljust(12, "f"), 16))
    if since is None:
        return None
    return since - _CLOCK if since.year > 1970 else since, None if until is None else until + _CLOCK


def _beginning_with(client: SyncStepflowClient, text: str) -> Iterator[str]:
    span = created_between(text)
    if span is None:
        return
    for run in client.iter_runs(since=span[0], until=span[1]):
        if run.run_id.startswith(text):
            yield run.run_id


def _time(milliseconds: int) -> datetime | None:
    with suppress(OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    return None
