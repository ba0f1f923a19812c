"""The number of ended items of running batches, from their events: servers count the items only when a run ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any, NamedTuple, Self

from stepflow_client._rules.run_progress import RunProgress

from ..server.connect import Target
from .events import EventReader

__all__ = ["BatchCounts"]

_AT_ONCE = 10
"""Maximum number of batches that are followed at once: each takes a connection and a thread."""
_MOST_ITEMS = 10_000
"""Larger batches are not followed: each item takes some memory."""
_READS = 20
"""Maximum number of reads of a batch's events between two updates, each of up to 1,000 events."""


class _Followed(NamedTuple):
    events: EventReader
    progress: RunProgress
    open: ExitStack


class BatchCounts:
    """Follows running batches, and corrects the numbers of their items; a context manager.

    Args:
        target: The server.
    """

    def __init__(self, target: Target) -> None:
        """Follow nothing yet."""
        self._target = target
        self._followed: dict[str, _Followed] = {}

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop following."""
        self._keep(set())

    def updated(self, records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return the records of runs, with the items that have ended so far; follow those that are new.

        Args:
            records: The newest runs. Runs that are not among them are no longer followed.
        """
        batches = {record["run_id"]: record["items"]["total"] for record in records if _is_running_batch(record)}
        self._keep(set(batches))
        for run_id, total in batches.items():
            if run_id not in self._followed and len(self._followed) < _AT_ONCE:
                self._follow(run_id, total)
        return [self._with_counts(record) for record in records]

    def _keep(self, run_ids: set[str]) -> None:
        for run_id in self._followed.keys() - run_ids:
            self._followed.pop(run_id).open.close()

    def _follow(self, run_id: str, total: int) -> None:
        if not self._target.client.server_info().capabilities["events"]:
            return
        with ExitStack() as stack:
            events = stack.enter_context(EventReader(self._target.another_client, run_id))
            self._followed[run_id] = _Followed(events, RunProgress(run_id, total=total), stack.pop_all())

    def _with_counts(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        followed = self._followed.get(record["run_id"])
        if followed is None:
            return record
        _read(followed)
        completed, failed = followed.progress.ended_items()
        running = record["items"]["total"] - completed - failed
        return {**record, "items": record["items"] | {"completed": completed, "failed": failed, "running": running}}


def _is_running_batch(record: Mapping[str, Any]) -> bool:
    return bool(record["status"] == "running" and 1 < record["items"]["total"] <= _MOST_ITEMS)


def _read(followed: _Followed) -> None:
    from stepflow_client import StepflowClientError

    # The list itself tells whether the server is there; what was counted stays until the run has ended.
    with suppress(StepflowClientError):
        for _ in range(_READS):
            if not (events := followed.events.take(0)):
                break
            for event in events:
                followed.progress.see(event)
