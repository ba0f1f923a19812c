"""Following the events of runs: reading them, putting them into words, and counting the items of batches."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from stepflow_client import StepflowClientError
from stepflow_client._rules.run_progress import RunProgress
from stepflow_client.progress import Progress

from ..records.runs import duration_text
from ..server.connect import Target

if TYPE_CHECKING:
    from stepflow_client import SyncStepflowClient
    from stepflow_client.events import RunEvent

_AT_MOST = 1000
"""Maximum number of events returned at a time; after that, the caller checks its deadline and updates the screen."""


class EventReader:
    """The events of a run as they arrive; a context manager.

    Args:
        client: Creates a client for the thread only: closing it ends a read that is waiting.
        run_id: The run.
        **options: Options of `EventSource.run_events`.
    """

    def __init__(self, client: Callable[[], SyncStepflowClient], run_id: str, **options: Any) -> None:
        """Store the arguments; reading starts when the context is entered."""
        self._make_client = client
        self._arguments = {"run_id": run_id, **options}
        self._queue: queue.Queue[RunEvent | BaseException | None] = queue.Queue(maxsize=10 * _AT_MOST)
        self._closed = threading.Event()
        self.ended = False
        """Whether the last event has been returned."""

    def __enter__(self) -> Self:
        """Start the thread."""
        self._client = self._make_client()
        threading.Thread(target=self._read, name="stepflow-events", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the thread."""
        self._closed.set()
        self._client.close()

    def take(self, seconds: float | None) -> list[RunEvent]:
        """Return the events that have arrived; wait for one if there are none.

        Args:
            seconds: Maximum time to wait; None for no limit.

        Raises:
            StepflowClientError: If the stream ended with this error. The events before it are returned first.
        """
        taken: list[RunEvent] = []
        while not self.ended and len(taken) < _AT_MOST:
            try:
                first = not taken
                next_one = self._queue.get(block=first, timeout=seconds if first else None)
            except queue.Empty:
                break
            if isinstance(next_one, BaseException):
                if taken:
                    # First return the events before the error.
                    self._queue.put(next_one)
                    break
                self.ended = True
                raise next_one
            if next_one is None:
                self.ended = True
            else:
                taken.append(next_one)
        return taken

    def _read(self) -> None:
        try:
            with closing(self._client._parts.events.run_events(**self._arguments)) as events:
                for event in events:
                    self._put(event)
                    if self._closed.is_set():
                        return
        except Exception as error:
            self._put(error)
        else:
            self._put(None)

    def _put(self, what: RunEvent | Exception | None) -> None:
        while not self._closed.is_set():
            try:
                self._queue.put(what, timeout=0.5)
                return
            except queue.Full:
                continue


def words_for(event: RunEvent, root: RunProgress, seconds: float | None = None, error: str | None = None) -> str:
    """Return an event as one line of text.

    Args:
        event: The event; `root` has already processed it.
        root: The run that is followed.
        seconds: How long it took, for the end of a step, item or run.
        error: The error of a failed step.
    """
    run = root.of(event)
    where = f"run {run.run_id}" if run is root else f"sub-run {run.run_id}"
    took = "" if seconds is None else f" in {duration_text(seconds)}"
    match event.type:
        case "run_created" | "sub_run_created":
            items = "" if run.total == 1 else f", {run.total} items"
            return f"{where}: running{items}"
        case "run_completed":
            return f"{where}: {run.status}{took}"
        case "steps_needed":
            return f"{_item(run, root, event)}steps needed: {', '.join(getattr(event, 'step_ids', ())) or 'none'}"
        case "step_ready":
            return f"{_step(run, root, event)}: ready"
        case "step_started":
            attempt = getattr(event, "attempt", 1)
            return f"{_step(run, root, event)}: running{f', attempt {attempt}' if attempt > 1 else ''}"
        case "step_completed":
            step = run.step_of(event)
            cause = step.not_run.get(getattr(event, "item_index", 0))
            if cause is not None:
                return f"{_step(run, root, event)}: not run ({cause} failed)"
            if step.kept and getattr(event, "status", "completed") == "completed":
                return f"{_step(run, root, event)}: kept"
            why = "" if error is None else f": {error}"
            return f"{_step(run, root, event)}: {getattr(event, 'status', 'completed')}{took}{why}"
    return f"{where}: {getattr(event, 'name', event.type).replace('_', ' ')}"


def _item(run: RunProgress, root: RunProgress, event: RunEvent) -> str:
    below = "" if run is root else f"sub-run {run.run_id}, "
    return below if run.total == 1 else f"{below}item {getattr(event, 'item_index', 0)}, "


def _step(run: RunProgress, root: RunProgress, event: RunEvent) -> str:
    return f"{_item(run, root, event)}step {run.step_of(event).step_id}"


_AT_ONCE = 10
"""Maximum number of runs that are followed at once: each takes a connection and a thread."""
_MOST_ITEMS = 10_000
"""Larger batches are not followed: each item takes some memory."""
_READS = 20
"""Maximum number of reads of a batch's events between two updates, each of up to 1,000 events."""


class _Followed(NamedTuple):
    events: EventReader
    progress: RunProgress
    open: ExitStack


class RunningRuns:
    """Follows running runs, counts their items and describes their progress; a context manager."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._followed: dict[str, _Followed] = {}

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop following."""
        self._keep(set())

    def updated(self, records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return the records of runs, with `progress` and the items that have ended so far; follow those that are new.

        Args:
            records: The newest runs. Runs that are not among them are no longer followed.
        """
        running = {record["run_id"]: record["items"]["total"] for record in records if _is_followed(record)}
        self._keep(set(running))
        # Batches first: they are the long ones.
        for run_id, total in sorted(running.items(), key=lambda each: each[1] == 1):
            if run_id not in self._followed and len(self._followed) < _AT_ONCE:
                self._follow(run_id, total)
        return [self._with_progress(record) for record in records]

    def _keep(self, run_ids: set[str]) -> None:
        for run_id in self._followed.keys() - run_ids:
            self._followed.pop(run_id).open.close()

    def _follow(self, run_id: str, total: int) -> None:
        if not self._target.client.server_info().capabilities["events"]:
            return
        with ExitStack() as stack:
            events = stack.enter_context(EventReader(self._target.another_client, run_id))
            self._followed[run_id] = _Followed(events, RunProgress(run_id, total=total), stack.pop_all())

    def _with_progress(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        items, seconds = record["items"], record["duration"] or 0.0
        followed = self._followed.get(record["run_id"])
        if followed is None:
            failed = items["failed"] + items["cancelled"]
            now = Progress(total=items["total"], completed=items["completed"], failed=failed, duration=seconds)
            return {**record, "progress": duration_text(seconds) if now.total == 1 else str(now)}
        _read(followed)
        now = followed.progress.progress(seconds)
        return {**record, "items": items | followed.progress.counts(), "progress": str(now)}


def _is_followed(record: Mapping[str, Any]) -> bool:
    return bool(record["status"] == "running" and 1 <= record["items"]["total"] <= _MOST_ITEMS)


def _read(followed: _Followed) -> None:
    # The list itself tells whether the server is there; what was counted stays until the run has ended.
    with suppress(StepflowClientError):
        for _ in range(_READS):
            if not (events := followed.events.take(0)):
                break
            for event in events:
                followed.progress.see(event)
