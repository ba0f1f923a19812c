"""Reading a run's events in a thread, so that the caller can do other things meanwhile."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import closing
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from stepflow_client import SyncStepflowClient
    from stepflow_client.events import RunEvent

__all__ = ["EventReader"]

_AT_MOST = 1000
"""Maximum number of events returned at a time; after that, the caller checks its deadline and updates the screen."""


class EventReader:
    """The events of a run as they arrive; a context manager.

    Args:
        client: Creates a client for the thread only: closing it ends a read that is waiting.
        run_id: The run.
        **options: Options of `run_events`.
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
            with closing(self._client.run_events(**self._arguments)) as events:
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
